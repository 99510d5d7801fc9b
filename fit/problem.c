#include "fit/problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A coordinate at which exp() is 0: the amplitude of a dropped term. */
static const double GONE = -1e4;
static const double DOMAIN_FLOOR = 25; /* ln: an E this far below the losses is none (1e-11 of them) */

/* work: ln_pred, r, f, psi, curv, then jac[p], then curv2[p(p+1)/2], each of n. */
static double *work_at(const fit_problem *p, size_t k) { return p->work + k * p->n; }
enum { W_LNPRED, W_R, W_F, W_PSI, W_CURV, W_JAC };

const double *fit_problem_ln_pred(const fit_problem *p) { return work_at(p, W_LNPRED); }
const double *fit_problem_residual(const fit_problem *p) { return work_at(p, W_R); }

static const double *data_column(const fit_data *d, const char *name)
{
    if (!strcmp(name, "N")) return d->N;
    if (!strcmp(name, "D")) return d->D;
    if (!strcmp(name, "C")) return d->C;
    return d->x;
}

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
    for (size_t k = 0; k < law->n_terms; k++) {
        int a = law->terms[k].amplitude, s = p->slot[a];
        if (s < 0) continue;
        if (p->lo[s] == -INFINITY && law->terms[k].exponent < 0) p->lo[s] = log(lowest) - DOMAIN_FLOOR;
    }
}

status fit_problem_init(fit_problem *p, const fit_data *data, const fit_opts *o, err *e)
{
    const fit_law *law = o->law;
    size_t n = 0, arrays = W_JAC + law->n_params + law->n_params * (law->n_params + 1) / 2;
    double lowest = INFINITY, sum = 0;
    memset(p, 0, sizeof *p);
    p->law = law;
    p->objective = o->objective;
    p->delta = isnan(o->delta) ? o->objective->delta : o->delta;
    for (size_t i = 0; i < data->n; i++) n += !(data->held_out && data->held_out[i]);
    p->n = n;
    p->y = malloc((n + 1) * sizeof *p->y);
    p->ln_y = malloc((n + 1) * sizeof *p->ln_y);
    p->work = malloc((n + 1) * arrays * sizeof *p->work);
    bool ok = p->y && p->ln_y && p->work;
    for (size_t c = 0; c < law->n_cols; c++) ok = (p->z[c] = malloc((n + 1) * sizeof(double))) && ok;
    if (!ok) {
        fit_problem_free(p);
        return err_set(e, ST_NOMEM, "no memory for a fit of %zu rows", n);
    }
    size_t at = 0;
    for (size_t i = 0; i < data->n; i++) {
        if (data->held_out && data->held_out[i]) continue;
        p->y[at] = data->loss[i];
        p->ln_y[at] = log(data->loss[i]);
        if (p->y[at] < lowest) lowest = p->y[at];
        double scale = p->objective->log_residual ? 1 : p->y[at];
        sum += scale * scale;
        for (size_t c = 0; c < law->n_cols; c++) p->z[c][at] = log(data_column(data, law->cols[c])[i]);
        at++;
    }
    for (size_t c = 0; c < law->n_cols; c++) {
        double mean = 0;
        for (size_t i = 0; i < n; i++) mean += p->z[c][i] / (double)n;
        if (!centred(law, o, c)) mean = 0;
        for (size_t i = 0; i < n; i++) p->z[c][i] -= mean;
        p->mean[c] = mean;
    }
    p->floor = 1e-28 * sum; /* residuals of 1e-14 of the losses */
    build_map(p, o, lowest);
    return ST_OK;
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

static void set_fixed(fit_problem *p, int param, double coordinate)
{
    int slot = p->slot[param];
    p->slot[param] = -1;
    p->fixed[param] = coordinate;
    if (slot < 0) return;
    bool shared = false;
    for (size_t j = 0; j < p->law->n_params; j++) shared |= p->slot[j] == slot;
    if (!shared) remove_slot(p, slot);
}

void fit_problem_drop(fit_problem *p, size_t term)
{
    const fit_term *t = &p->law->terms[term];
    p->dropped[term] = true;
    set_fixed(p, t->amplitude, GONE);
    if (t->exponent >= 0) set_fixed(p, t->exponent, 1);
}

void fit_problem_free(fit_problem *p)
{
    for (size_t c = 0; c < FIT_MAX_COLS; c++) free(p->z[c]);
    free(p->y);
    free(p->ln_y);
    free(p->work);
    memset(p, 0, sizeof *p);
}

static void theta_of(const fit_problem *p, double *theta, const double *phi)
{
    for (size_t j = 0; j < p->law->n_params; j++) theta[j] = p->slot[j] < 0 ? p->fixed[j] : phi[p->slot[j]];
}

static void predict(fit_problem *p, const double *phi, bool first, bool second)
{
    double theta[FIT_MAX_PARAMS];
    double *jac = work_at(p, W_JAC), *r = work_at(p, W_R), *ln_pred = work_at(p, W_LNPRED);
    theta_of(p, theta, phi);
    p->n_evals++;
    p->law->eval(p->law, ln_pred, first ? jac : NULL, second ? jac + p->law->n_params * p->n : NULL, theta,
                 (const double *const *)p->z, p->n);
    if (p->objective->log_residual)
        for (size_t i = 0; i < p->n; i++) r[i] = p->ln_y[i] - ln_pred[i];
    else
        for (size_t i = 0; i < p->n; i++) r[i] = p->y[i] - exp(ln_pred[i]);
}

double fit_problem_eval(fit_problem *p, const double *phi, double *grad, double *hess)
{
    size_t n = p->n, np = p->law->n_params;
    double *r = work_at(p, W_R), *f = work_at(p, W_F), *psi = work_at(p, W_PSI), *curv = work_at(p, W_CURV);
    const double *jac = work_at(p, W_JAC), *jac2 = jac + np * n, *ln_pred = work_at(p, W_LNPRED);
    double total = 0, g[FIT_MAX_PARAMS] = {0}, h[FIT_MAX_HESS] = {0};
    predict(p, phi, grad || hess, hess != NULL);
    p->objective->rho(f, psi, curv, r, p->delta, n);
    if (p->weight)
        for (size_t i = 0; i < n; i++) f[i] *= p->weight[i], psi[i] *= p->weight[i], curv[i] *= p->weight[i];
    for (size_t i = 0; i < n; i++) total += f[i];
    if (!isfinite(total)) {
        if (grad) memset(grad, 0, p->n_free * sizeof *grad);
        return INFINITY;
    }
    if (!grad && !hess) return total;
    /* r = ln L - q: dr = -jac. r = L - exp(q): dr = -L^ jac, d2r = -L^ (jac jac' + jac2). Per row keep
     * first = -rho' |dr/dq| and outer = what multiplies jac jac'; rho' itself multiplies jac2. */
    if (!p->objective->log_residual)
        for (size_t i = 0; i < n; i++) {
            double l = exp(ln_pred[i]);
            curv[i] = curv[i] * l * l - psi[i] * l;
            psi[i] *= l;
        }
    for (size_t j = 0; j < np; j++)
        for (size_t i = 0; i < n; i++) g[j] -= psi[i] * jac[j * n + i];
    if (hess) {
        size_t at = 0;
        for (size_t j = 0; j < np; j++)
            for (size_t k = j; k < np; k++, at++) {
                const double *a = jac + j * n, *b = jac + k * n, *c = jac2 + at * n;
                double s = 0;
                for (size_t i = 0; i < n; i++) s += curv[i] * a[i] * b[i] - psi[i] * c[i];
                h[at] = s;
            }
        memset(hess, 0, p->n_free * p->n_free * sizeof *hess);
        at = 0;
        for (size_t j = 0; j < np; j++)
            for (size_t k = j; k < np; k++, at++) {
                int a = p->slot[j], b = p->slot[k];
                if (a < 0 || b < 0) continue;
                hess[(size_t)a * p->n_free + (size_t)b] += h[at];
                if (j != k) hess[(size_t)b * p->n_free + (size_t)a] += h[at];
            }
    }
    if (grad) {
        memset(grad, 0, p->n_free * sizeof *grad);
        for (size_t j = 0; j < np; j++)
            if (p->slot[j] >= 0) grad[p->slot[j]] += g[j];
    }
    return total;
}

void fit_problem_residuals(fit_problem *p, const double *phi, double *r, double *jac)
{
    predict(p, phi, jac != NULL, false);
    const double *r0 = work_at(p, W_R), *j0 = work_at(p, W_JAC), *ln_pred = work_at(p, W_LNPRED);
    if (r) memcpy(r, r0, p->n * sizeof *r);
    if (!jac) return;
    memset(jac, 0, p->n * p->n_free * sizeof *jac);
    for (size_t j = 0; j < p->law->n_params; j++)
        for (size_t i = 0; i < p->n && p->slot[j] >= 0; i++)
            jac[i * p->n_free + (size_t)p->slot[j]] -= j0[j * p->n + i] *
                                                       (p->objective->log_residual ? 1 : exp(ln_pred[i]));
}

void fit_problem_clip(const fit_problem *p, double *phi)
{
    for (size_t s = 0; s < p->n_free; s++) phi[s] = fmin(fmax(phi[s], p->lo[s]), p->hi[s]);
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

double fit_problem_share(const fit_problem *p, const double *phi, size_t term)
{
    double theta[FIT_MAX_PARAMS], most = 0;
    theta_of(p, theta, phi);
    for (size_t i = 0; i < p->n; i++) {
        double all = 0, own = 0;
        for (size_t k = 0; k < p->law->n_terms; k++) {
            const fit_term *t = &p->law->terms[k];
            double v = exp(theta[t->amplitude] - (t->exponent < 0 ? 0 : theta[t->exponent] * p->z[t->column][i]));
            all += v;
            if (k == term) own = v;
        }
        if (own / all > most) most = own / all;
    }
    return most;
}
