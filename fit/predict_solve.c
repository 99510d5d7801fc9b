/* Solving a loss law for what is asked: closed forms with C = k N D, one-dimensional searches with another cost. */
#include "fit/predict.h"

#include <math.h>

enum { SEARCH_STEPS = 200 };
#define SEARCH_SPAN 9.0    /* ln N on each side of the closed-form guess: 4 decades */
#define SLOPE_STEP 0.15    /* ln N, for the elasticity of the cost: wider than a step of the width ladder */

double predict_law_loss(const predict_law *law, const double *theta, double n, double d, double c)
{
    if (law->kind == PREDICT_CHINCHILLA)
        return theta[PREDICT_E] + theta[PREDICT_A] * pow(n, -theta[PREDICT_ALPHA]) + theta[PREDICT_B] * pow(d, -theta[PREDICT_BETA]);
    double x = law->x == PREDICT_N ? n : law->x == PREDICT_D ? d : c;
    return theta[PREDICT_E] + theta[PREDICT_A] * pow(x, -theta[PREDICT_ALPHA]);
}

double predict_flops_per_token(const predict_cost *cost, double n)
{
    size_t rows = cost->n_rows, lo = 0, hi = rows;
    if (!rows) return cost->k * n;
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (cost->n[mid] <= n) lo = mid;
        else hi = mid;
    }
    double k0 = cost->flops_per_token[lo] / cost->n[lo];
    if (n <= cost->n[lo] || hi == rows) return k0 * n; /* beyond the ends */
    double k1 = cost->flops_per_token[hi] / cost->n[hi];
    double t = log(n / cost->n[lo]) / log(cost->n[hi] / cost->n[lo]);
    return (k0 + t * (k1 - k0)) * n;
}

/* d ln f / d ln N */
static double elasticity(const predict_cost *cost, double n)
{
    if (!cost->n_rows) return 1;
    double s = SLOPE_STEP;
    return log(predict_flops_per_token(cost, n * exp(s)) / predict_flops_per_token(cost, n * exp(-s))) / (2 * s);
}

/* --- chinchilla ---------------------------------------------------------------------------------- */

typedef struct problem { const predict_law *law; const double *theta; const predict_cost *cost; double given; } problem;

/* The D at which N is compute-optimal: along C = f(N) D, alpha A N^-alpha / (d ln f/d ln N) = beta B D^-beta. */
static double frontier_d(const problem *p, double ln_n)
{
    const double *t = p->theta;
    double n = exp(ln_n);
    double rate = t[PREDICT_ALPHA] * t[PREDICT_A] * pow(n, -t[PREDICT_ALPHA]) / elasticity(p->cost, n);
    return pow(t[PREDICT_BETA] * t[PREDICT_B] / rate, 1 / t[PREDICT_BETA]);
}

static double needed_d(const problem *p, double n, double loss)
{
    const double *t = p->theta;
    double gap = loss - t[PREDICT_E] - t[PREDICT_A] * pow(n, -t[PREDICT_ALPHA]);
    return gap > 0 ? pow(t[PREDICT_B] / gap, 1 / t[PREDICT_BETA]) : INFINITY;
}

static double loss_on_budget(const problem *p, double ln_n)
{
    double n = exp(ln_n);
    return predict_law_loss(p->law, p->theta, n, p->given / predict_flops_per_token(p->cost, n), p->given);
}

static double ln_cost_of_loss(const problem *p, double ln_n)
{
    double n = exp(ln_n);
    return log(predict_flops_per_token(p->cost, n)) + log(needed_d(p, n, p->given));
}

/* Golden section; f has one minimum in [lo, hi] and may be +infinity at its lower end. */
static double minimise(double (*f)(const problem *, double), const problem *p, double lo, double hi)
{
    const double g = (sqrt(5) - 1) / 2;
    double a = hi - g * (hi - lo), b = lo + g * (hi - lo), fa = f(p, a), fb = f(p, b);
    for (int i = 0; i < SEARCH_STEPS && hi - lo > 1e-10; i++) {
        if (fa < fb) {
            hi = b;
            b = a, fb = fa;
            a = hi - g * (hi - lo), fa = f(p, a);
        } else { /* also both infinite: the minimum is above */
            lo = a;
            a = b, fa = fb;
            b = lo + g * (hi - lo), fb = f(p, b);
        }
    }
    return (lo + hi) / 2;
}

/* x with f(x) = target, f rising on [lo, hi]. */
static double bisect(double (*f)(const problem *, double), const problem *p, double target, double lo, double hi)
{
    for (int i = 0; i < SEARCH_STEPS && hi - lo > 1e-12; i++) {
        double mid = (lo + hi) / 2;
        if (f(p, mid) < target) lo = mid;
        else hi = mid;
    }
    return (lo + hi) / 2;
}

static double flops_at(const problem *p, double ln_n) { return predict_flops_per_token(p->cost, exp(ln_n)); }

static double some_k(const predict_cost *cost) /* flops per parameter and token in the middle of the ladder */
{
    return cost->n_rows ? cost->flops_per_token[cost->n_rows / 2] / cost->n[cost->n_rows / 2] : cost->k;
}

/* Closed form of eq. (4) with C = k N D; with a ladder it is the middle of the search. */
static double best_n_of_budget(const problem *p, double c)
{
    const double *t = p->theta;
    double sum = t[PREDICT_ALPHA] + t[PREDICT_BETA];
    double g = pow(t[PREDICT_ALPHA] * t[PREDICT_A] / (t[PREDICT_BETA] * t[PREDICT_B]), 1 / sum);
    double guess = log(g) + t[PREDICT_BETA] / sum * log(c / some_k(p->cost));
    if (!p->cost->n_rows) return exp(guess);
    return exp(minimise(loss_on_budget, p, guess - SEARCH_SPAN, guess + SEARCH_SPAN));
}

/* At the optimum with C = k N D the two terms stand as beta : alpha, so A N^-alpha = (L - E) beta/(alpha + beta). */
static double best_n_of_loss(const problem *p, double loss)
{
    const double *t = p->theta;
    double share = (loss - t[PREDICT_E]) * t[PREDICT_BETA] / (t[PREDICT_ALPHA] + t[PREDICT_BETA]);
    double guess = log(t[PREDICT_A] / share) / t[PREDICT_ALPHA];
    if (!p->cost->n_rows) return exp(guess);
    double wall = log(t[PREDICT_A] / (loss - t[PREDICT_E])) / t[PREDICT_ALPHA]; /* below it even D = infinity is not enough */
    return exp(minimise(ln_cost_of_loss, p, wall, guess + SEARCH_SPAN));
}

static double best_n_of_tokens(const problem *p, double d)
{
    const double *t = p->theta;
    double guess = log(t[PREDICT_ALPHA] * t[PREDICT_A] * pow(d, t[PREDICT_BETA]) / (t[PREDICT_BETA] * t[PREDICT_B])) / t[PREDICT_ALPHA];
    if (!p->cost->n_rows) return exp(guess);
    return exp(bisect(frontier_d, p, d, guess - SEARCH_SPAN, guess + SEARCH_SPAN));
}

static status solve_chinchilla(predict_point *out, const problem *p, const predict_ask *a, err *e)
{
    const double *t = p->theta;
    bool n = !isnan(a->n), d = !isnan(a->d), c = !isnan(a->c), l = !isnan(a->loss);
    problem q = *p;
    out->n = a->n, out->d = a->d;
    if (n + d + c + l == 0 || n + d + c + l > 2 || (c && l))
        return err_set(e, ST_DOMAIN, "ask for one of FLOPs, parameters, tokens, loss; or for two of them other than FLOPs with loss");
    if (l && a->loss <= t[PREDICT_E])
        return err_set(e, ST_DOMAIN, "loss %.6g cannot be reached: the law's floor is E = %.6g", a->loss, t[PREDICT_E]);
    if (n && c) out->d = a->c / predict_flops_per_token(p->cost, a->n);
    else if (d && c) {
        double mid = log(a->c / a->d / some_k(p->cost));
        out->n = p->cost->n_rows ? exp(bisect(flops_at, p, a->c / a->d, mid - SEARCH_SPAN, mid + SEARCH_SPAN)) : exp(mid);
    } else if (n && l) {
        out->d = needed_d(p, a->n, a->loss);
        if (isinf(out->d))
            return err_set(e, ST_DOMAIN, "loss %.6g cannot be reached with %.4g parameters by any number of tokens: their limit is %.6g",
                           a->loss, a->n, t[PREDICT_E] + t[PREDICT_A] * pow(a->n, -t[PREDICT_ALPHA]));
    } else if (d && l) {
        double gap = a->loss - t[PREDICT_E] - t[PREDICT_B] * pow(a->d, -t[PREDICT_BETA]);
        if (gap <= 0)
            return err_set(e, ST_DOMAIN, "loss %.6g cannot be reached with %.4g tokens by any number of parameters: their limit is %.6g",
                           a->loss, a->d, t[PREDICT_E] + t[PREDICT_B] * pow(a->d, -t[PREDICT_BETA]));
        out->n = pow(t[PREDICT_A] / gap, 1 / t[PREDICT_ALPHA]);
    } else if (c) {
        q.given = a->c;
        out->n = best_n_of_budget(&q, a->c);
        out->d = a->c / predict_flops_per_token(p->cost, out->n);
    } else if (l) {
        q.given = a->loss;
        out->n = best_n_of_loss(&q, a->loss);
        out->d = needed_d(&q, out->n, a->loss);
    } else if (n && !d) out->d = frontier_d(&q, log(a->n));
    else if (d && !n) out->n = best_n_of_tokens(&q, a->d);
    out->c = predict_flops_per_token(p->cost, out->n) * out->d;
    return ST_OK;
}

/* --- power --------------------------------------------------------------------------------------- */

static status solve_power(predict_point *out, const problem *p, const predict_ask *a, err *e)
{
    const double *t = p->theta;
    bool loss_only = !isnan(a->loss) && isnan(a->n) && isnan(a->d) && isnan(a->c);
    out->n = a->n, out->d = a->d, out->c = a->c;
    if (isnan(out->c) && !isnan(out->n) && !isnan(out->d)) out->c = predict_flops_per_token(p->cost, out->n) * out->d;
    if (isnan(out->d) && !isnan(out->n) && !isnan(out->c)) out->d = out->c / predict_flops_per_token(p->cost, out->n);
    double *x = p->law->x == PREDICT_N ? &out->n : p->law->x == PREDICT_D ? &out->d : &out->c;
    if (loss_only) {
        if (a->loss <= t[PREDICT_E])
            return err_set(e, ST_DOMAIN, "loss %.6g cannot be reached: the law's floor is E = %.6g", a->loss, t[PREDICT_E]);
        *x = pow(t[PREDICT_A] / (a->loss - t[PREDICT_E]), 1 / t[PREDICT_ALPHA]);
    } else if (!isnan(a->loss)) {
        return err_set(e, ST_DOMAIN, "a power law of %s alone answers --loss alone", predict_axis_name(p->law->x));
    }
    if (isnan(*x))
        return err_set(e, ST_DOMAIN, "the law is a power of %s; give %s, or a fit of law chinchilla", predict_axis_name(p->law->x),
                       p->law->x == PREDICT_N ? "--params" : p->law->x == PREDICT_D ? "--tokens" : "--flops");
    return ST_OK;
}

status predict_solve(predict_point *out, const predict_law *law, const double *theta, const predict_cost *cost,
                     const predict_ask *ask, err *e)
{
    problem p = {.law = law, .theta = theta, .cost = cost, .given = NAN};
    const double given[] = {ask->n, ask->d, ask->c, ask->loss};
    static const char *const words[] = {"parameters", "tokens", "FLOPs", "loss"};
    for (int i = 0; i < 4; i++)
        if (!isnan(given[i]) && (!isfinite(given[i]) || given[i] <= 0))
            return err_set(e, ST_DOMAIN, "%s: %g is not a positive number", words[i], given[i]);
    status s = law->kind == PREDICT_CHINCHILLA ? solve_chinchilla(out, &p, ask, e) : solve_power(out, &p, ask, e);
    if (s) return s;
    out->tokens_per_param = out->d / out->n;
    out->loss = predict_law_loss(law, theta, out->n, out->d, out->c);
    if (!isfinite(out->loss)) return err_set(e, ST_DOMAIN, "the law gives no finite loss here; its parameters are degenerate");
    return ST_OK;
}
