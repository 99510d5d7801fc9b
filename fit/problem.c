#include "fit/problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>


/* A coordinate at which exp() is 0: the amplitude of a dropped term. */
static const double GONE = -1e4;
static const double DOMAIN_FLOOR = 25; /* ln: an E this far below the losses is none (1e-11 of them) */
static const double DEAD = 1e-8;       /* derivative of ln L */

/* work: arrays of one block, then jac[p], then curv2[p(p+1)/2], then the model's scratch. */
enum { W_LNPRED, W_R, W_F, W_PSI, W_CURV, W_JAC };
static double *work_at(const fit_problem *p, size_t k) { return p->work + k * FIT_BLOCK; }
static size_t n_second(const fit_problem *p) { return p->law->n_params * (p->law->n_params + 1) / 2; }
static double *scratch_of(const fit_problem *p) { return work_at(p, W_JAC + p->law->n_params + n_second(p)); }

static status make_work(fit_problem *p, err *e)
{
    size_t arrays = W_JAC + p->law->n_params + n_second(p);
    p->work = malloc((arrays * FIT_BLOCK + p->model.scratch) * sizeof *p->work);
    return p->work ? ST_OK : err_set(e, ST_NOMEM, "no memory for a fit");
}

/* --- setting up ------------------------------------------------------------------------------------------ */

/* An amplitude that is pinned, bounded or tied must keep its own meaning, so its column stays uncentred. */
static bool centred(const fit_law *law, const fit_opts *o, size_t col)
{
    for (size_t k = 0; k < law->n_terms; k++) {
        int a = law->terms[k].amplitude;
        if (law->terms[k].exponent < 0 || law->terms[k].column != (int)col) continue;
        if (!isnan(o->fix[a]) || o->tie[a] >= 0 || !isnan(o->lo[a]) || !isnan(o->hi[a])) return false;
        for (size_t j = 0; j < law->n_params; j++)
            if (o->tie[j] == a) return false;
    }
    return law->n_terms > 0;
}

static void build_map(fit_problem *p, const fit_opts *o, double lowest)
{
    const fit_law *law = p->law;
    int floor = fit_law_floor(law);
    p->n_free = 0;
    for (size_t j = 0; j < law->n_params; j++) {
        const fit_param *q = &law->params[j];
        p->slot[j] = -1;
        if (!isnan(o->fix[j])) p->fixed[j] = q->log ? log(o->fix[j]) : o->fix[j];
        else if (o->tie[j] < 0) {
            double lo = isnan(o->lo[j]) ? q->lo : o->lo[j], hi = isnan(o->hi[j]) ? q->hi : o->hi[j];
            p->lo[p->n_free] = q->log ? (lo > 0 ? log(lo) : -INFINITY) : lo;
            p->hi[p->n_free] = q->log ? log(hi) : hi;
            p->first[p->n_free] = (int)j;
            p->slot[j] = (int)p->n_free++;
        }
    }
    for (size_t j = 0; j < law->n_params; j++)
        if (isnan(o->fix[j]) && o->tie[j] >= 0) {
            p->slot[j] = p->slot[o->tie[j]];
            p->fixed[j] = p->fixed[o->tie[j]]; /* tied to a pinned one */
        }
    if (floor >= 0 && law->params[floor].log && p->slot[floor] >= 0 && p->lo[p->slot[floor]] == -INFINITY)
        p->lo[p->slot[floor]] = log(lowest) - DOMAIN_FLOOR;
}

static bool is_shared(const fit_problem *p, int param)
{
    for (size_t j = 0; j < p->law->n_params; j++)
        if ((int)j != param && p->slot[j] == p->slot[param]) return true;
    return false;
}

/* Linear parameters that variable projection may set: free, on their own. */
static void find_linear(fit_problem *p)
{
    bool linear[FIT_MAX_PARAMS] = {0};
    p->n_linear = 0;
    for (size_t k = 0; k < p->law->n_terms; k++) linear[p->law->terms[k].amplitude] = true;
    if (p->law->linear) p->law->linear(&p->model, linear);
    for (size_t j = 0; j < p->law->n_params && p->n_linear < FIT_MAX_LINEAR; j++)
        if (linear[j] && p->slot[j] >= 0 && !is_shared(p, (int)j)) p->linear[p->n_linear++] = (int)j;
}

static status allocate(fit_problem *p, size_t n, err *e)
{
    bool ok = (p->y = malloc((n + 1) * sizeof(double))) != NULL;
    ok = (p->ln_y = malloc((n + 1) * sizeof(double))) && ok;
    ok = (p->row = malloc((n + 1) * sizeof *p->row)) && ok;
    for (size_t c = 0; c < p->law->n_cols; c++) {
        ok = (p->x[c] = malloc((n + 1) * sizeof(double))) && ok;
        ok = (p->z[c] = malloc((n + 1) * sizeof(double))) && ok;
    }
    return ok ? ST_OK : err_set(e, ST_NOMEM, "no memory for a fit of %zu rows", n);
}

static double copy_rows(fit_problem *p, const fit_data *data, const fit_opts *o)
{
    double lowest = INFINITY, sum = 0;
    size_t at = 0;
    for (size_t i = 0; i < data->n; i++) {
        if (data->held_out && data->held_out[i]) continue;
        p->row[at] = i;
        p->y[at] = data->y[i];
        p->ln_y[at] = log(data->y[i]);
        if (p->y[at] < lowest) lowest = p->y[at];
        double scale = p->objective->log_residual ? 1 : p->y[at];
        sum += scale * scale;
        at++;
    }
    p->floor = 1e-28 * sum; /* residuals of 1e-14 of the losses */
    for (size_t c = 0; c < p->law->n_cols; c++) {
        const double *x = fit_data_column(data, p->law->cols[c]);
        double mean = 0;
        for (size_t i = 0; i < p->n; i++) {
            p->x[c][i] = x ? x[p->row[i]] : NAN;
            p->z[c][i] = log(p->x[c][i]);
            mean += p->z[c][i] / (double)p->n;
        }
        p->mean[c] = centred(p->law, o, c) ? mean : 0;
        for (size_t i = 0; i < p->n; i++) p->z[c][i] -= p->mean[c];
    }
    return lowest;
}

/* Pinned parameters need no derivatives. */
static status narrow(fit_problem *p, err *e)
{
    bool wanted[FIT_MAX_PARAMS], all = true;
    for (size_t j = 0; j < p->law->n_params; j++) all &= wanted[j] = p->slot[j] >= 0;
    return p->law->narrow && !all ? p->law->narrow(&p->model, wanted, e) : ST_OK;
}

status fit_problem_init(fit_problem *p, const fit_data *data, const fit_opts *o, err *e)
{
    memset(p, 0, sizeof *p);
    p->law = o->law;
    p->objective = o->objective;
    p->delta = isnan(o->delta) ? o->objective->delta : o->delta;
    for (size_t i = 0; i < data->n; i++) p->n += !(data->held_out && data->held_out[i]);
    status s = fit_model_init(&p->model, o->law, data, e);
    if (!s) s = allocate(p, p->n, e);
    if (!s) {
        build_map(p, o, copy_rows(p, data, o));
        find_linear(p);
        s = narrow(p, e);
    }
    if (!s) s = make_work(p, e);
    if (!s) s = fit_problem_fuse(p, e);
    if (s) fit_problem_free(p);
    return s;
}

status fit_problem_share(fit_problem *copy, const fit_problem *from, err *e)
{
    *copy = *from;
    copy->shares = true;
    return make_work(copy, e);
}

void fit_problem_free(fit_problem *p)
{
    free(p->work);
    if (!p->shares) {
        for (size_t c = 0; c < FIT_MAX_COLS; c++) free(p->x[c]), free(p->z[c]);
        free(p->y);
        free(p->ln_y);
        free(p->row);
        fit_model_free(&p->model);
    }
    memset(p, 0, sizeof *p);
}

static void remove_slot(fit_problem *p, int slot)
{
    for (size_t j = 0; j < p->law->n_params; j++)
        if (p->slot[j] > slot) p->slot[j]--;
    for (size_t s = (size_t)slot; s + 1 < p->n_free; s++) p->lo[s] = p->lo[s + 1], p->hi[s] = p->hi[s + 1];
    p->n_free--;
    for (size_t j = p->law->n_params; j-- > 0;)
        if (p->slot[j] >= 0) p->first[p->slot[j]] = (int)j;
}

void fit_problem_pin(fit_problem *p, int param, double coordinate)
{
    int slot = p->slot[param];
    p->slot[param] = -1;
    p->fixed[param] = coordinate;
    p->dropped[param] = true;
    if (slot < 0) return;
    bool shared = false;
    for (size_t j = 0; j < p->law->n_params; j++) shared |= p->slot[j] == slot;
    if (!shared) remove_slot(p, slot);
    find_linear(p);
}

void fit_problem_drop(fit_problem *p, size_t term)
{
    const fit_term *t = &p->law->terms[term];
    fit_problem_pin(p, t->amplitude, GONE);
    if (t->exponent >= 0) fit_problem_pin(p, t->exponent, 1);
}

/* --- evaluating ------------------------------------------------------------------------------------------ */

static void theta_of(const fit_problem *p, double *theta, const double *phi)
{
    for (size_t j = 0; j < p->law->n_params; j++) theta[j] = p->slot[j] < 0 ? p->fixed[j] : phi[p->slot[j]];
}

static fit_rows block_at(const fit_problem *p, size_t at)
{
    fit_rows rows = {.n = p->n - at < FIT_BLOCK ? p->n - at : FIT_BLOCK, .row = p->row + at};
    for (size_t c = 0; c < p->law->n_cols; c++) rows.x[c] = p->x[c] + at, rows.z[c] = p->z[c] + at;
    return rows;
}

size_t fit_problem_affine(fit_problem *p, const double **f, const double **grad, const double *natural, size_t at)
{
    fit_rows rows = block_at(p, at);
    p->law->affine(&p->model, scratch_of(p), work_at(p, W_F), work_at(p, W_JAC), natural, &rows);
    *f = work_at(p, W_F);
    *grad = work_at(p, W_JAC);
    return rows.n;
}

/* Rows from `at` on, at most a block: ln of the prediction, residual, and as many derivatives as asked. */
static size_t predict_block(fit_problem *p, const double *theta, size_t at, bool first, bool second)
{
    fit_rows rows = block_at(p, at);
    double *jac = work_at(p, W_JAC), *r = work_at(p, W_R), *ln_pred = work_at(p, W_LNPRED);
    p->law->eval(&p->model, scratch_of(p), ln_pred, first ? jac : NULL,
                 second ? jac + p->law->n_params * FIT_BLOCK : NULL, theta, &rows);
    if (p->objective->log_residual)
        for (size_t i = 0; i < rows.n; i++) r[i] = p->ln_y[at + i] - ln_pred[i];
    else
        for (size_t i = 0; i < rows.n; i++) r[i] = p->y[at + i] - exp(ln_pred[i]);
    return rows.n;
}

/* Adds a block's gradient and Hessian in the law's coordinates. r = ln L - q: dr = -jac. r = L - exp(q): dr = -L^ jac,
 * d2r = -L^ (jac jac' + jac2). Per row keep psi = -rho' |dr/dq| and curv = what multiplies jac jac'. Gauss-Newton leaves
 * d2r out. */
static void add_block(fit_problem *p, double *g, double *h, size_t n)
{
    double *psi = work_at(p, W_PSI), *curv = work_at(p, W_CURV);
    const double *jac = work_at(p, W_JAC), *jac2 = jac + p->law->n_params * FIT_BLOCK, *ln_pred = work_at(p, W_LNPRED);
    size_t np = p->law->n_params;
    if (!p->objective->log_residual)
        for (size_t i = 0; i < n; i++) {
            double l = exp(ln_pred[i]);
            curv[i] = curv[i] * l * l - (p->gauss ? 0 : psi[i] * l);
            psi[i] *= l;
        }
    for (size_t j = 0; j < np; j++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += psi[i] * jac[j * n + i];
        g[j] -= sum;
    }
    for (size_t j = 0, at = 0; j < np && h; j++)
        for (size_t k = j; k < np; k++, at++) {
            const double *a = jac + j * n, *b = jac + k * n, *c = jac2 + at * n;
            double sum = 0;
            if (p->slot[j] < 0 || p->slot[k] < 0) continue;
            for (size_t i = 0; i < n; i++) sum += curv[i] * a[i] * b[i];
            for (size_t i = 0; i < n && !p->gauss; i++) sum -= psi[i] * c[i];
            h[at] += sum;
        }
}

static void to_phi(const fit_problem *p, double *grad, double *hess, const double *g, const double *h)
{
    size_t np = p->law->n_params, at = 0;
    if (grad) {
        memset(grad, 0, p->n_free * sizeof *grad);
        for (size_t j = 0; j < np; j++)
            if (p->slot[j] >= 0) grad[p->slot[j]] += g[j];
    }
    if (!hess) return;
    memset(hess, 0, p->n_free * p->n_free * sizeof *hess);
    for (size_t j = 0; j < np; j++)
        for (size_t k = j; k < np; k++, at++) {
            int a = p->slot[j], b = p->slot[k];
            if (a < 0 || b < 0) continue;
            hess[(size_t)a * p->n_free + (size_t)b] += h[at];
            if (j != k) hess[(size_t)b * p->n_free + (size_t)a] += h[at];
        }
}

static bool all_zero(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != 0) return false;
    return true;
}

/* Any law, block by block: F, g and h in the law's coordinates. */
static double add_blocks(fit_problem *p, const double *theta, double *g, double *h)
{
    double *r = work_at(p, W_R), *f = work_at(p, W_F), *psi = work_at(p, W_PSI), *curv = work_at(p, W_CURV), total = 0;
    for (size_t at = 0, n; at < p->n; at += n) {
        double sum = 0;
        n = p->n - at < FIT_BLOCK ? p->n - at : FIT_BLOCK;
        if (p->weight && all_zero(p->weight + at, n)) continue; /* runs that a resample leaves out: whole curves */
        predict_block(p, theta, at, g != NULL, h && !p->gauss);
        p->objective->rho(f, psi, curv, r, p->delta, n);
        for (size_t i = 0; i < n && p->gauss; i++) /* a row beyond delta: the parabola through 0 with the same slope */
            if (r[i] != 0) curv[i] = psi[i] / r[i];
        if (p->weight) {
            const double *w = p->weight + at;
            for (size_t i = 0; i < n; i++)
                f[i] = w[i] > 0 ? f[i] * w[i] : 0, psi[i] = w[i] > 0 ? psi[i] * w[i] : 0, curv[i] *= w[i];
        }
        for (size_t i = 0; i < n; i++) sum += f[i];
        total += sum;
        if (!isfinite(total)) break;
        if (g) add_block(p, g, h, n);
    }
    for (size_t j = 0; j < p->law->n_params && g; j++) /* a derivative that overflowed is no direction */
        if (!isfinite(g[j])) total = INFINITY;
    for (size_t k = 0; k < n_second(p) && h; k++)
        if (!isfinite(h[k])) total = INFINITY;
    return total;
}

double fit_problem_eval(fit_problem *p, const double *phi, double *grad, double *hess)
{
    double theta[FIT_MAX_PARAMS], g[FIT_MAX_PARAMS] = {0}, h[FIT_MAX_HESS] = {0};
    theta_of(p, theta, phi);
    p->n_evals++;
    double *first = grad || hess ? g : NULL, *second = hess ? h : NULL;
    double total = p->ops ? fit_problem_fused(p, theta, first, second) : add_blocks(p, theta, first, second);
    if (!isfinite(total)) {
        memset(g, 0, sizeof g);
        memset(h, 0, sizeof h);
        total = INFINITY;
    }
    to_phi(p, grad, hess, g, h);
    return total;
}

void fit_problem_predict(fit_problem *p, const double *phi, double *ln_pred, double *r)
{
    double theta[FIT_MAX_PARAMS];
    theta_of(p, theta, phi);
    for (size_t at = 0, n; at < p->n; at += n) {
        n = predict_block(p, theta, at, false, false);
        if (ln_pred) memcpy(ln_pred + at, work_at(p, W_LNPRED), n * sizeof *ln_pred);
        if (r) memcpy(r + at, work_at(p, W_R), n * sizeof *r);
    }
}

void fit_problem_residuals(fit_problem *p, const double *phi, double *r, double *jac)
{
    double theta[FIT_MAX_PARAMS];
    theta_of(p, theta, phi);
    p->n_evals++;
    if (jac) memset(jac, 0, p->n * p->n_free * sizeof *jac);
    for (size_t at = 0, n; at < p->n; at += n) {
        n = predict_block(p, theta, at, jac != NULL, false);
        const double *j0 = work_at(p, W_JAC), *ln_pred = work_at(p, W_LNPRED);
        if (r) memcpy(r + at, work_at(p, W_R), n * sizeof *r);
        for (size_t j = 0; j < p->law->n_params && jac; j++)
            for (size_t i = 0; i < n && p->slot[j] >= 0; i++)
                jac[(at + i) * p->n_free + (size_t)p->slot[j]] -= j0[j * n + i] *
                                                                  (p->objective->log_residual ? 1 : exp(ln_pred[i]));
    }
}

static bool has_null(const fit_law *law, size_t j)
{
    for (size_t k = 0; k < FIT_MAX_NULLS && law->nulls[k].param; k++)
        if (!strcmp(law->nulls[k].param, law->params[j].name)) return true;
    return false;
}

/* The first parameter that must move something and has moved nothing by more than most[]; -1: none. */
static int unmoved(const fit_problem *p, const double *most)
{
    int floor = fit_law_floor(p->law);
    for (size_t j = 0; j < p->law->n_params; j++)
        if (p->slot[j] >= 0 && (int)j != floor && p->law->params[j].log && !has_null(p->law, j) && !(most[j] >= DEAD))
            return (int)j;
    return -1;
}

int fit_problem_dead(fit_problem *p, const double *phi)
{
    double theta[FIT_MAX_PARAMS], most[FIT_MAX_PARAMS] = {0};
    theta_of(p, theta, phi);
    for (size_t at = 0, n; at < p->n; at += n) {
        n = predict_block(p, theta, at, true, false);
        for (size_t j = 0; j < p->law->n_params; j++)
            for (size_t i = 0; i < n; i++) {
                double d = fabs(work_at(p, W_JAC)[j * n + i]);
                if (d > most[j]) most[j] = d;
            }
        if (unmoved(p, most) < 0) return -1; /* as a rule after the first block */
    }
    return unmoved(p, most);
}

/* --- coordinates ----------------------------------------------------------------------------------------- */

void fit_problem_clip(const fit_problem *p, double *phi)
{
    for (size_t s = 0; s < p->n_free; s++) {
        if (phi[s] < p->lo[s]) phi[s] = p->lo[s];
        if (phi[s] > p->hi[s]) phi[s] = p->hi[s];
    }
}

/* ln A = coordinate + alpha * mean(ln x). */
static double shift(const fit_problem *p, const double *theta, size_t param)
{
    for (size_t k = 0; k < p->law->n_terms; k++) {
        const fit_term *t = &p->law->terms[k];
        if (t->amplitude == (int)param && t->exponent >= 0) return theta[t->exponent] * p->mean[t->column];
    }
    return 0;
}

void fit_problem_natural(const fit_problem *p, double *natural, const double *phi)
{
    double theta[FIT_MAX_PARAMS];
    theta_of(p, theta, phi);
    for (size_t j = 0; j < p->law->n_params; j++)
        natural[j] = p->law->params[j].log ? exp(theta[j] + shift(p, theta, j)) : theta[j];
}

void fit_problem_phi(const fit_problem *p, double *phi, const double *natural)
{
    double theta[FIT_MAX_PARAMS];
    for (size_t j = 0; j < p->law->n_params; j++) theta[j] = p->law->params[j].log ? log(natural[j]) : natural[j];
    for (size_t j = p->law->n_params; j-- > 0;)
        if (p->slot[j] >= 0) phi[p->slot[j]] = theta[j] - shift(p, theta, j);
    fit_problem_clip(p, phi);
}
