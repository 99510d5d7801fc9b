#include "trainer/train_replica.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/train_updates.h"

/* Weight of the newest loss in the smoothed one: a horizon of 20 steps, short enough to see a blow-up before the run is
 * over, long enough that one bad batch is none. */
static const double ema_rate = 0.05;

static double wall(const loop *l, size_t r) { return l->jobs[r].wall_before + io_now() - l->started; }

static status set_replica(loop *l, size_t r, err *e)
{
    const trainer_config *c = &l->jobs[r].config;
    bank_hparams h = {.clip_norm = c->clip_norm, .decay = c->decay, .seed = c->seed};
    mup_tensor *tensors = calloc(shape_tensors(&c->shape, NULL, 0), sizeof *tensors);
    if (!tensors) return err_set(e, ST_NOMEM, "no memory for the tensors' hyperparameters");
    status s = config_hparams(c, tensors, &h.model, e);
    if (!s) s = config_betas(c, &h.beta1, &h.beta2, e);
    h.tensors = tensors;
    if (!s) s = bank_set_replica(l->bank, r, &h, e);
    free(tensors);
    return s;
}

static status load(loop *l, size_t r, err *e)
{
    train_job *j = &l->jobs[r];
    replica *p = &l->reps[r];
    char file[IO_PATH_MAX];
    if (!*j->ckpt_dir) return ST_OK;
    if (!l->opts->resume && ckpt_any(j->ckpt_dir))
        return err_set(e, ST_INPUT,
                       "%s: already holds checkpoints; pass --resume to go on, or choose another directory",
                       j->ckpt_dir);
    ckpt_remove_temps(j->ckpt_dir);
    status s = ckpt_find(&p->from_step, file, j->note, j->ckpt_dir, &j->config, e);
    if (s || !p->from_step) return s;
    if ((s = ckpt_read(&p->state, l->bank, r, file, &j->config, e))) return s;
    p->ckpt_step = p->from_step;
    return ST_OK;
}

status replica_start(loop *l, size_t r, err *e)
{
    train_job *j = &l->jobs[r];
    replica *p = &l->reps[r];
    flops_rule rule;
    char id[17];
    *p = (replica){.state = {.best_val = NAN, .loss_ema = NAN, .loss_ema_min = NAN}, .val = NAN, .val_se = NAN,
                   .diverged_at = -1, .n_steps = config_steps(&j->config)};
    status s = set_replica(l, r, e);
    if (!s) s = load(l, r, e);
    if (!s) s = flops_rule_find(&rule, j->config.flops_rule, e);
    if (s) return s;
    p->flops_per_token = shape_flops_per_token(&j->config.shape, rule);
    l->active[r] = true;
    if (!j->observer.start) return ST_OK;
    config_id(id, &j->config);
    train_start start = {.config = &j->config, .id = id, .data = data_about(l->data),
                         .counts = shape_count(&j->config.shape), .flops_per_token = p->flops_per_token,
                         .device = bank_device_name(l->bank), .bytes_needed = l->bytes_needed,
                         .from_step = p->from_step, .bank_size = l->n};
    return j->observer.start(j->observer.self, &start, e);
}

static void smooth(ckpt_state *st, double loss)
{
    st->loss_ema = st->step == 1 ? loss : st->loss_ema + ema_rate * (loss - st->loss_ema);
    if (!(st->loss_ema_min <= st->loss_ema)) st->loss_ema_min = st->loss_ema;
}

status replica_after_step(loop *l, size_t r, const asked *q, err *e)
{
    train_job *j = &l->jobs[r];
    replica *p = &l->reps[r];
    const bank_step_out *out = &l->out[r];
    ckpt_state *st = &p->state;
    st->step++;
    bool finite = out->finite && isfinite(out->loss);
    if (finite) smooth(st, out->loss);
    bool blown = finite && j->config.blowup_nats > 0 && st->loss_ema > st->loss_ema_min + j->config.blowup_nats;
    /* Weights so large that a norm overflows give logits of 0 everywhere: a finite loss of ln V for ever. Such a model has
     * a gradient of exactly 0, a living one only when it predicts with certainty, at loss 0. */
    bool dead = finite && out->grad_norm == 0 && out->loss > 0;
    if (!finite || blown || dead) p->diverged_at = st->step;
    bool log = st->step % j->config.log_every == 0 || st->step == 1 || st->step == p->n_steps || p->diverged_at >= 0;
    if (log && j->observer.row) {
        train_row row = {.step = st->step, .tokens = st->step * j->config.batch_tokens, .loss = out->loss,
                         .lr = q->lr[r] * j->config.base.lr, .grad_norm = out->grad_norm, .step_ms = l->step_ms,
                         .wall_s = wall(l, r)};
        status s = j->observer.row(j->observer.self, &row, e);
        if (s) return s;
    }
    status s = updates_after(l, r, e);
    if (s) return s;
    return p->diverged_at >= 0 ? replica_end(l, r, RUN_DIVERGED, e) : ST_OK;
}

/* Mean over sequences and its standard error: sequences, not tokens, are the independent draws. */
static void mean_se(double *mean, double *se, const double *x, size_t n)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *se = sqrt(squares / (double)(n - 1) / (double)n);
}

status replica_after_val(loop *l, size_t r, err *e)
{
    train_job *j = &l->jobs[r];
    replica *p = &l->reps[r];
    mean_se(&p->val, &p->val_se, l->seq_loss + r * l->n_val, l->n_val);
    p->val_step = p->state.step;
    if (!isfinite(p->val)) p->diverged_at = p->state.step;
    else if (!(p->state.best_val <= p->val)) p->state.best_val = p->val;
    if (j->observer.val) {
        train_val val = {.step = p->state.step, .tokens = p->state.step * j->config.batch_tokens, .loss = p->val,
                         .loss_se = p->val_se, .n_seq = (int64_t)l->n_val};
        status s = j->observer.val(j->observer.self, &val, e);
        if (s) return s;
    }
    return p->diverged_at >= 0 ? replica_end(l, r, RUN_DIVERGED, e) : ST_OK;
}

status replica_judge(loop *l, size_t r, err *e)
{
    train_job *j = &l->jobs[r];
    replica *p = &l->reps[r];
    if (!j->observer.judge) return ST_OK;
    status s = j->observer.judge(j->observer.self, p->state.step, &p->verdict, e);
    return s || !p->verdict.stop ? s : replica_end(l, r, RUN_EARLY_STOPPED, e);
}

static bool done_at(const loop *l, size_t r, int64_t step) { return step >= l->reps[r].n_steps; }

static bool val_at(const loop *l, size_t r, int64_t step)
{
    int64_t every = l->jobs[r].config.val_every;
    return done_at(l, r, step) || (every && step % every == 0);
}

static bool ckpt_at(const loop *l, size_t r, int64_t step, bool by_time)
{
    int64_t every = l->jobs[r].config.ckpt_every;
    return done_at(l, r, step) || (every ? step % every == 0 : by_time);
}

bool replica_is_done(const loop *l, size_t r) { return done_at(l, r, l->reps[r].state.step); }

bool replica_val_due(const loop *l, size_t r) { return val_at(l, r, l->reps[r].state.step); }

bool replica_ckpt_due(const loop *l, size_t r, bool by_time)
{
    return l->stop || ckpt_at(l, r, l->reps[r].state.step, by_time);
}

static bool leaves_at(const loop *l, size_t r, int64_t step)
{
    const train_job *j = &l->jobs[r];
    for (size_t i = 0; i < j->n_leave; i++)
        if (j->leave[i] == step) return *j->ckpt_dir != 0;
    return false;
}

bool replica_rests(const loop *l, size_t r, int64_t step, bool by_time)
{
    return val_at(l, r, step) || (*l->jobs[r].ckpt_dir && ckpt_at(l, r, step, by_time)) || leaves_at(l, r, step);
}

status replica_leave(loop *l, size_t r, err *e)
{
    train_job *j = &l->jobs[r];
    const ckpt_state *now = &l->reps[r].state;
    char file[IO_PATH_MAX];
    status s = ST_OK;
    if (!leaves_at(l, r, now->step)) return ST_OK;
    if (j->observer.sync) s = j->observer.sync(j->observer.self, e);
    if (!s) s = ckpt_leave(file, j->ckpt_dir, l->bank, r, &j->config, now, e);
    return s || !j->observer.left ? s : j->observer.left(j->observer.self, now->step, file, e);
}

status replica_checkpoint(loop *l, size_t r, err *e)
{
    train_job *j = &l->jobs[r];
    replica *p = &l->reps[r];
    char file[IO_PATH_MAX];
    status s = ST_OK;
    if (!*j->ckpt_dir || p->ckpt_step == p->state.step) return ST_OK;
    if (j->observer.sync) s = j->observer.sync(j->observer.self, e);
    if (!s) s = ckpt_write(file, j->ckpt_dir, l->bank, r, &j->config, &p->state, e);
    if (s) return s;
    p->ckpt_step = p->state.step;
    return j->observer.ckpt ? j->observer.ckpt(j->observer.self, p->state.step, file, e) : ST_OK;
}

status replica_end(loop *l, size_t r, run_status why, err *e)
{
    train_job *j = &l->jobs[r];
    const replica *p = &l->reps[r];
    int64_t tokens = p->state.step * j->config.batch_tokens;
    bool final = why == RUN_DONE;
    l->active[r] = false;
    train_end end = {.status = why, .step = p->state.step, .tokens = tokens, .diverged_at = p->diverged_at,
                     .final_val_loss = final ? p->val : NAN, .final_val_loss_se = final ? p->val_se : NAN,
                     .best_val_loss = p->state.best_val, .final_train_loss_ema = p->state.loss_ema,
                     .flops = p->flops_per_token * (double)tokens, .wall_s = wall(l, r), .verdict = p->verdict,
                     .stop_val_loss = why == RUN_EARLY_STOPPED && p->val_step == p->state.step ? p->val : NAN};
    status s = j->observer.end ? j->observer.end(j->observer.self, &end, e) : ST_OK;
    if (!s) j->result = end; /* a result stands when it is recorded */
    return s;
}
