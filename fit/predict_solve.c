/* Solving a law for what is asked. Everything rests on two things: the law's value at (N, D), and the frontier, the best N and D
 * for a budget; every other question is a root along one of them. */
#include "fit/predict.h"

#include <math.h>
#include <string.h>

enum { GRID = 256, STEPS = 200 };
#define SPAN 18.0         /* ln N searched on each side of the data, or of the guess: 8 decades */
#define LADDER_SPAN 9.0   /* ln N on each side of a closed-form guess: 4 decades */

/* --- the law at a point -------------------------------------------------------------------------- */

predict_axis predict_law_axis(const predict_law *law)
{
    return law->law->n_cols == 1 && !strcmp(law->law->cols[0], "x") ? law->x : PREDICT_N_AXES;
}

double predict_law_loss(const predict_law *law, const double *theta, double n, double d, double c)
{
    double x[FIT_MAX_COLS];
    for (size_t k = 0; k < law->law->n_cols; k++) {
        const char *name = law->law->cols[k];
        if (!strcmp(name, "N") || (!strcmp(name, "x") && law->x == PREDICT_N)) x[k] = n;
        else if (!strcmp(name, "D") || (!strcmp(name, "x") && law->x == PREDICT_D)) x[k] = d;
        else if (!strcmp(name, "C") || (!strcmp(name, "x") && law->x == PREDICT_C)) x[k] = c;
        else if (!strcmp(name, "M")) x[k] = d / n;
        else if (!strcmp(name, "U")) x[k] = isnan(law->unique_tokens) ? d : fmin(d, law->unique_tokens);
        else x[k] = law->given[k];
    }
    return fit_model_value(&law->model, theta, x);
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

typedef struct problem { const predict_law *law; const double *theta; const predict_cost *cost; double given, other; } problem;

static double loss_at(const problem *p, double n, double d)
{
    return predict_law_loss(p->law, p->theta, n, d, predict_flops_per_token(p->cost, n) * d);
}

/* --- searching in one dimension ------------------------------------------------------------------ */

/* Golden section; f has one minimum in [lo, hi] and may be +infinity at its lower end. */
static double golden(double (*f)(const problem *, double), const problem *p, double lo, double hi)
{
    const double g = (sqrt(5) - 1) / 2;
    double a = hi - g * (hi - lo), b = lo + g * (hi - lo), fa = f(p, a), fb = f(p, b);
    for (int i = 0; i < STEPS && hi - lo > 1e-10; i++) {
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

/* The lowest of a grid, then golden section around it. NaN when it stands at an end: no minimum inside. */
static double minimise(double (*f)(const problem *, double), const problem *p, double lo, double hi)
{
    double step = (hi - lo) / GRID, best = INFINITY;
    int at = 0;
    for (int k = 0; k <= GRID; k++) {
        double v = f(p, lo + step * k);
        if (v < best) best = v, at = k;
    }
    if (!isfinite(best) || at == 0 || at == GRID) return NAN;
    return golden(f, p, lo + step * (at - 1), lo + step * (at + 1));
}

/* x with f(x) = target, f rising on [lo, hi]. */
static double bisect(double (*f)(const problem *, double), const problem *p, double target, double lo, double hi)
{
    for (int i = 0; i < STEPS && hi - lo > 1e-13 * fabs(hi); i++) {
        double mid = (lo + hi) / 2;
        if (f(p, mid) < target) lo = mid;
        else hi = mid;
    }
    return (lo + hi) / 2;
}

/* --- the frontier -------------------------------------------------------------------------------- */

static double some_k(const predict_cost *cost) /* flops per parameter and token in the middle of the ladder */
{
    return cost->n_rows ? cost->flops_per_token[cost->n_rows / 2] / cost->n[cost->n_rows / 2] : cost->k;
}

static double loss_on_budget(const problem *p, double ln_n)
{
    double n = exp(ln_n), loss = loss_at(p, n, p->given / predict_flops_per_token(p->cost, n));
    return isfinite(loss) ? loss : INFINITY; /* outside the law's domain */
}

/* Closed forms: their laws' optimum under C = 6 N D depends on C/6 = N D alone. */
static bool has_closed_form(const predict_law *law) { return law->law->allocation != NULL; }

/* ln N of the best run with budget exp(ln_c); NaN: none inside 8 decades around the data. */
static double frontier_n(const problem *p, double ln_c)
{
    const predict_law *law = p->law;
    problem q = *p;
    double a, b, g, k = some_k(p->cost);
    q.given = exp(ln_c);
    if (has_closed_form(law)) {
        law->law->allocation(&a, &b, &g, p->theta);
        double guess = log(g) + a * (ln_c - log(k));
        return p->cost->n_rows ? golden(loss_on_budget, &q, guess - LADDER_SPAN, guess + LADDER_SPAN) : guess;
    }
    double lo = isnan(law->lo[PREDICT_N]) ? (ln_c - log(k)) / 2 : log(law->lo[PREDICT_N]);
    double hi = isnan(law->hi[PREDICT_N]) ? (ln_c - log(k)) / 2 : log(law->hi[PREDICT_N]);
    return minimise(loss_on_budget, &q, lo - SPAN, hi + SPAN);
}

static double frontier_d_of_c(const problem *p, double ln_c)
{
    double ln_n = frontier_n(p, ln_c);
    return ln_c - log(predict_flops_per_token(p->cost, exp(ln_n)));
}

static double frontier_gain(const problem *p, double ln_c) /* rises with C */
{
    double ln_n = frontier_n(p, ln_c);
    return isnan(ln_n) ? INFINITY : -loss_at(p, exp(ln_n), exp(ln_c) / predict_flops_per_token(p->cost, exp(ln_n)));
}

static double gain_of_d(const problem *p, double ln_d) { return -loss_at(p, p->given, exp(ln_d)); }
static double gain_of_n(const problem *p, double ln_n) { return -loss_at(p, exp(ln_n), p->given); }
static double flops_at(const problem *p, double ln_n) { return predict_flops_per_token(p->cost, exp(ln_n)); }

enum { LN_COUNT_MAX = 230 }; /* counts up to 1e100 */

/* D that reaches the loss at N; infinity where none does. */
static double needed_d(const problem *p, double n, double loss)
{
    problem q = *p;
    q.given = n;
    double ln_d = bisect(gain_of_d, &q, -loss, 0, LN_COUNT_MAX);
    return ln_d > LN_COUNT_MAX - 1 ? INFINITY : exp(ln_d);
}

static double lowest_loss(const problem *p) { return loss_at(p, exp(LN_COUNT_MAX), exp(LN_COUNT_MAX)); }

/* --- one question -------------------------------------------------------------------------------- */

static status no_best(const predict_law *law, double c, err *e)
{
    return err_set(e, ST_DOMAIN, "law %s has no best N for %.4g FLOPs: along that budget its loss has no minimum within 8 decades of the data",
                   law->law->name, c);
}

static status unreachable(const problem *p, double loss, err *e)
{
    return err_set(e, ST_DOMAIN, "loss %.6g cannot be reached: the law's limit is %.6g (its floor, and what no tokens or parameters mend)",
                   loss, lowest_loss(p));
}

/* ln C at which f, rising along the frontier, is `target`. */
static double along_frontier(const problem *p, double (*f)(const problem *, double), double target)
{
    double mid = isnan(p->law->lo[PREDICT_C]) ? 46 : log(p->law->lo[PREDICT_C]); /* 46: 1e20 */
    return bisect(f, p, target, mid - 60, mid + 90);
}

/* With serving: ln of training and serving FLOPs of the cheapest run of size exp(ln_n) that reaches the loss `given`. A token served
 * costs a forward pass, a third of training's. */
static double ln_total(const problem *p, double ln_n)
{
    double n = exp(ln_n), d = needed_d(p, n, p->given);
    return isfinite(d) ? log(predict_flops_per_token(p->cost, n)) + log(d + p->other / 3) : INFINITY;
}

static status solve_serving(predict_point *out, const problem *p, const predict_ask *a, err *e)
{
    problem q = *p;
    double loss = a->loss, ln_c, ln_n;
    if (!isnan(a->c)) {
        ln_n = frontier_n(p, log(a->c));
        if (isnan(ln_n)) return no_best(p->law, a->c, e);
        loss = loss_on_budget(&(problem){p->law, p->theta, p->cost, a->c, NAN}, ln_n);
    }
    if (!(loss > lowest_loss(p))) return unreachable(p, loss, e);
    ln_c = along_frontier(p, frontier_gain, -loss);
    ln_n = frontier_n(p, ln_c);
    if (isnan(ln_n)) return no_best(p->law, exp(ln_c), e);
    q.given = loss, q.other = a->serve;
    double plain = ln_total(&q, ln_n), best = minimise(ln_total, &q, ln_n - SPAN, ln_n + 1);
    if (isnan(best)) return err_set(e, ST_DOMAIN, "no size is cheapest for loss %.6g and %.4g served tokens", loss, a->serve);
    out->n = exp(best);
    out->d = needed_d(p, out->n, loss);
    out->total = exp(ln_total(&q, best)), out->plain_total = exp(plain);
    return ST_OK;
}

static status solve_two(predict_point *out, const problem *p, const predict_ask *a, err *e)
{
    bool n = !isnan(a->n), d = !isnan(a->d), c = !isnan(a->c);
    problem q = *p;
    if (n && d) return ST_OK;
    if (n && c) out->d = a->c / predict_flops_per_token(p->cost, a->n);
    else if (d && c) {
        double mid = log(a->c / a->d / some_k(p->cost));
        out->n = p->cost->n_rows ? exp(bisect(flops_at, p, a->c / a->d, mid - LADDER_SPAN, mid + LADDER_SPAN)) : exp(mid);
    } else if (n) {
        out->d = needed_d(p, a->n, a->loss);
        if (isinf(out->d))
            return err_set(e, ST_DOMAIN, "loss %.6g cannot be reached with %.4g parameters by any number of tokens: their limit is %.6g",
                           a->loss, a->n, loss_at(p, a->n, exp(LN_COUNT_MAX)));
    } else {
        q.given = a->d;
        double ln_n = bisect(gain_of_n, &q, -a->loss, 0, LN_COUNT_MAX);
        if (ln_n > LN_COUNT_MAX - 1)
            return err_set(e, ST_DOMAIN, "loss %.6g cannot be reached with %.4g tokens by any number of parameters: their limit is %.6g",
                           a->loss, a->d, loss_at(p, exp(LN_COUNT_MAX), a->d));
        out->n = exp(ln_n);
    }
    return ST_OK;
}

static status solve_one(predict_point *out, const problem *p, const predict_ask *a, err *e)
{
    double ln_c = !isnan(a->c)      ? log(a->c)
                  : !isnan(a->loss) ? along_frontier(p, frontier_gain, -a->loss)
                  : !isnan(a->n)    ? along_frontier(p, frontier_n, log(a->n))
                                    : along_frontier(p, frontier_d_of_c, log(a->d));
    double ln_n = frontier_n(p, ln_c);
    if (isnan(ln_n)) return no_best(p->law, exp(ln_c), e);
    out->n = isnan(a->n) ? exp(ln_n) : a->n;
    out->d = isnan(a->d) ? exp(ln_c) / predict_flops_per_token(p->cost, exp(ln_n)) : a->d;
    return ST_OK;
}

static status solve_size_and_tokens(predict_point *out, const problem *p, const predict_ask *a, err *e)
{
    bool n = !isnan(a->n), d = !isnan(a->d), c = !isnan(a->c), l = !isnan(a->loss);
    status s;
    out->n = a->n, out->d = a->d;
    if (n + d + c + l == 0 || n + d + c + l > 2 || (c && l))
        return err_set(e, ST_DOMAIN, "ask for one of FLOPs, parameters, tokens, loss; or for two of them other than FLOPs with loss");
    if (l && !(a->loss > lowest_loss(p))) return unreachable(p, a->loss, e);
    if (!isnan(a->serve)) {
        if (n || d) return err_set(e, ST_DOMAIN, "with tokens to serve ask for FLOPs or for a loss alone");
        s = solve_serving(out, p, a, e);
    } else s = n + d + c + l == 2 ? solve_two(out, p, a, e) : solve_one(out, p, a, e);
    if (!s) out->c = predict_flops_per_token(p->cost, out->n) * out->d;
    return s;
}

/* --- laws of one variable ------------------------------------------------------------------------ */

static double gain_of_x(const problem *p, double ln_x)
{
    double x = exp(ln_x);
    return -predict_law_loss(p->law, p->theta, x, x, x);
}

static status solve_x(predict_point *out, const problem *p, const predict_ask *a, err *e)
{
    const predict_axis axis = p->law->x;
    bool loss_only = !isnan(a->loss) && isnan(a->n) && isnan(a->d) && isnan(a->c);
    out->n = a->n, out->d = a->d, out->c = a->c;
    if (isnan(out->c) && !isnan(out->n) && !isnan(out->d)) out->c = predict_flops_per_token(p->cost, out->n) * out->d;
    if (isnan(out->d) && !isnan(out->n) && !isnan(out->c)) out->d = out->c / predict_flops_per_token(p->cost, out->n);
    double *x = axis == PREDICT_N ? &out->n : axis == PREDICT_D ? &out->d : &out->c;
    if (loss_only) {
        double limit = -gain_of_x(p, LN_COUNT_MAX);
        if (!(a->loss > limit)) return err_set(e, ST_DOMAIN, "loss %.6g cannot be reached: the law's floor is E = %.6g", a->loss, limit);
        *x = exp(bisect(gain_of_x, p, -a->loss, 0, LN_COUNT_MAX));
    } else if (!isnan(a->loss)) {
        return err_set(e, ST_DOMAIN, "a power law of %s alone answers --loss alone", predict_axis_name(axis));
    }
    if (isnan(*x))
        return err_set(e, ST_DOMAIN, "the law is a power of %s; give %s, or a fit of law chinchilla", predict_axis_name(axis),
                       axis == PREDICT_N ? "--params" : axis == PREDICT_D ? "--tokens" : "--flops");
    return ST_OK;
}

status predict_solve(predict_point *out, const predict_law *law, const double *theta, const predict_cost *cost,
                     const predict_ask *ask, err *e)
{
    problem p = {.law = law, .theta = theta, .cost = cost, .given = NAN, .other = NAN};
    const double given[] = {ask->n, ask->d, ask->c, ask->loss, ask->serve};
    static const char *const words[] = {"parameters", "tokens", "FLOPs", "loss", "served tokens"};
    for (int i = 0; i < 5; i++)
        if (!isnan(given[i]) && (!isfinite(given[i]) || given[i] < 0 || (given[i] == 0 && i < 4)))
            return err_set(e, ST_DOMAIN, "%s: %g is not a positive number", words[i], given[i]);
    *out = (predict_point){NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    status s = predict_law_axis(law) != PREDICT_N_AXES ? solve_x(out, &p, ask, e) : solve_size_and_tokens(out, &p, ask, e);
    if (s) return s;
    out->tokens_per_param = out->d / out->n;
    out->epochs = out->d / law->unique_tokens;
    out->loss = predict_law_loss(law, theta, out->n, out->d, out->c);
    if (!isfinite(out->loss)) return err_set(e, ST_DOMAIN, "the law gives no finite loss here; its parameters are degenerate");
    return ST_OK;
}
