#include "trainer/train_updates.h"

#include <math.h>
#include <stdlib.h>

#include "mup/coord.h"

struct updates {
    size_t n_tensors, stride;
    shape_tensor *tensors;
    float *before, *after, *v; /* [n][stride], and [stride] twice */
    double *eps;               /* [n][n_tensors], as the bank has it: the gradient is g/theta */
    double *beta2;             /* [n] */
    bool *due;                 /* [n] */
    train_update *out;         /* [n_tensors] */
};

void update_measure(train_update *out, const float *before, const float *after, const float *v, size_t n,
                    double correct, double eps)
{
    double ww = 0, dd = 0, dw = 0, vv = 0;
    size_t seen = 0, felt = 0;
    for (size_t i = 0; i < n; i++) {
        const double w = before[i], d = (double)after[i] - w;
        ww += w * w;
        dd += d * d;
        dw += d * w;
        if (!(v[i] > 0)) continue; /* never had a gradient: a row of the embedding whose token never came */
        const double second = (double)v[i] / correct;
        vv += second;
        seen++;
        felt += eps > MUP_COORD_EPS_SHARE * sqrt(second);
    }
    *out = (train_update){.ratio = ww > 0 ? sqrt(dd / ww) : NAN,
                          .alignment = ww > 0 && dd > 0 ? dw / sqrt(ww * dd) : NAN,
                          .v_over_eps = seen ? sqrt(vv / (double)seen) / eps : NAN,
                          .eps_felt = seen ? (double)felt / (double)seen : NAN};
}

static status set_replica(updates *u, size_t r, const trainer_config *c, err *e)
{
    mup_tensor *t = calloc(u->n_tensors, sizeof *t);
    mup_model model;
    double beta1;
    if (!t) return err_set(e, ST_NOMEM, "no memory for the tensors' hyperparameters");
    status s = config_hparams(c, t, &model, e);
    if (!s) s = config_betas(c, &beta1, &u->beta2[r], e);
    for (size_t i = 0; i < u->n_tensors; i++) u->eps[r * u->n_tensors + i] = t[i].eps / mup_theta(&t[i]);
    free(t);
    return s;
}

static bool wanted(const loop *l)
{
    for (size_t r = 0; r < l->n; r++)
        if (l->jobs[r].config.log_updates_every && l->jobs[r].observer.updates) return true;
    return false;
}

status updates_new(updates **out, const loop *l, err *e)
{
    if (!wanted(l)) return ST_OK;
    const shape *sizes = &l->jobs[0].config.shape;
    updates *u = *out = calloc(1, sizeof *u);
    if (!u) return err_set(e, ST_NOMEM, "no memory to log updates");
    u->n_tensors = shape_tensors(sizes, NULL, 0);
    u->stride = shape_param_stride(sizes);
    u->tensors = calloc(u->n_tensors, sizeof *u->tensors);
    u->out = calloc(u->n_tensors, sizeof *u->out);
    u->before = calloc(l->n * u->stride, sizeof *u->before);
    u->after = calloc(u->stride, sizeof *u->after);
    u->v = calloc(u->stride, sizeof *u->v);
    u->eps = calloc(l->n * u->n_tensors, sizeof *u->eps);
    u->beta2 = calloc(l->n, sizeof *u->beta2);
    u->due = calloc(l->n, sizeof *u->due);
    if (!u->tensors || !u->out || !u->before || !u->after || !u->v || !u->eps || !u->beta2 || !u->due)
        return err_set(e, ST_NOMEM, "log_updates_every: no memory for a second copy of the weights (%.1f MB); set it to 0",
                       4e-6 * (double)((l->n + 2) * u->stride));
    shape_tensors(sizes, u->tensors, u->n_tensors);
    status s = ST_OK;
    for (size_t r = 0; r < l->n && !s; r++) s = set_replica(u, r, &l->jobs[r].config, e);
    return s;
}

void updates_free(updates *u)
{
    if (!u) return;
    free(u->tensors);
    free(u->out);
    free(u->before);
    free(u->after);
    free(u->v);
    free(u->eps);
    free(u->beta2);
    free(u->due);
    free(u);
}

/* The same steps whether or not the run was resumed between them: a function of the step's number alone. */
static bool is_due(const loop *l, size_t r, int64_t step)
{
    const int64_t every = l->jobs[r].config.log_updates_every;
    return every && l->jobs[r].observer.updates && (step == 1 || step % every == 0 || step == l->reps[r].n_steps);
}

bool updates_need_rest(const loop *l)
{
    for (size_t r = 0; l->updates && r < l->n; r++) {
        const int64_t last = l->reps[r].state.step + (int64_t)l->under_way;
        if (l->active[r] && (is_due(l, r, last) || is_due(l, r, last + 1))) return true;
    }
    return false;
}

status updates_before(loop *l, err *e)
{
    updates *u = l->updates;
    status s = ST_OK;
    for (size_t r = 0; u && r < l->n && !s; r++) {
        u->due[r] = l->active[r] && is_due(l, r, l->reps[r].state.step + 1);
        if (u->due[r]) s = bank_read(l->bank, r, u->before + r * u->stride, NULL, NULL, e);
    }
    return s;
}

status updates_after(loop *l, size_t r, err *e)
{
    updates *u = l->updates;
    if (!u || !u->due[r] || !l->out[r].finite) return ST_OK; /* not finite: the weights were left as they were */
    const train_job *j = &l->jobs[r];
    const int64_t step = l->reps[r].state.step;
    status s = bank_read(l->bank, r, u->after, NULL, u->v, e);
    if (s) return s;
    for (size_t i = 0; i < u->n_tensors; i++) {
        const size_t at = u->tensors[i].offset;
        update_measure(&u->out[i], u->before + r * u->stride + at, u->after + at, u->v + at, u->tensors[i].n,
                       1 - pow(u->beta2[r], (double)step), u->eps[r * u->n_tensors + i]);
    }
    train_updates up = {.step = step, .tokens = step * j->config.batch_tokens, .n = u->n_tensors,
                        .tensors = u->tensors, .of = u->out};
    return j->observer.updates(j->observer.self, &up, e);
}
