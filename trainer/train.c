/* The loop of a bank: set-up and order of events. What happens to one replica at a step is in train_replica.c. */
#include "trainer/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/checkpoint.h"
#include "trainer/train_replica.h"
#include "trainer/train_updates.h"

const char *run_status_name(run_status s)
{
    static const char *const names[] = {
        [RUN_DONE] = "done", [RUN_FAILED] = "failed", [RUN_DIVERGED] = "diverged",
        [RUN_STOPPED] = "stopped", [RUN_PARTIAL] = "partial", [RUN_EARLY_STOPPED] = "early-stopped",
    };
    return names[s];
}

static bool same_shape(const shape *a, const shape *b)
{
    return a->vocab == b->vocab && a->d_model == b->d_model && a->n_layer == b->n_layer && a->n_head == b->n_head &&
           a->n_kv_head == b->n_kv_head && a->head_dim == b->head_dim && a->d_ff == b->d_ff &&
           a->seq_len == b->seq_len && a->act == b->act && a->tied_head == b->tied_head && a->qk_norm == b->qk_norm &&
           a->norm_gain == b->norm_gain && a->rope_theta == b->rope_theta;
}

bool train_same_bank(const trainer_config *a, const trainer_config *b)
{
    return same_shape(&a->shape, &b->shape) && a->batch_tokens == b->batch_tokens && a->grad_accum == b->grad_accum &&
           a->shards == b->shards && a->val_tokens == b->val_tokens && !strcmp(a->data_sha256, b->data_sha256) &&
           !strcmp(a->backend, b->backend);
}

status train_resume_step(int64_t *step, const char *ckpt_dir, const trainer_config *c, char note[256], err *e)
{
    char file[IO_PATH_MAX];
    return ckpt_find(step, file, note, ckpt_dir, c, e);
}

int train_threads(const trainer_config *c, int wanted)
{
    int64_t n = wanted > 0 ? wanted : c->threads;
    if (n <= 0) n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

bank_opts train_bank_opts(const trainer_config *c, size_t n, int threads)
{
    return (bank_opts){.shape = c->shape, .n_replicas = n, .batch = (size_t)(c->batch_tokens / c->shape.seq_len),
                       .shards = (size_t)c->shards, .grad_accum = (size_t)c->grad_accum, .threads = threads,
                       .backend = c->backend};
}

size_t train_bytes_needed(const trainer_config *c, size_t n, int threads)
{
    bank_opts o = train_bank_opts(c, n, threads);
    return bank_bytes_needed(&o);
}

static status check_jobs(const train_job *jobs, size_t n, err *e)
{
    if (!n) return err_set(e, ST_INPUT, "a bank needs at least one job");
    for (size_t r = 0; r < n; r++) {
        if (!*jobs[r].config.data_sha256)
            return err_set(e, ST_INPUT, "data is missing (job %zu); set data to what `muscale data pack` wrote", r);
        if (!train_same_bank(&jobs[0].config, &jobs[r].config))
            return err_set(e, ST_INPUT, "jobs 0 and %zu differ in shape, batch or validation set: not one bank", r);
        for (size_t q = 0; q < r; q++)
            if (*jobs[r].ckpt_dir && !strcmp(jobs[q].ckpt_dir, jobs[r].ckpt_dir))
                return err_set(e, ST_INPUT, "%s: two jobs of a bank cannot share one directory", jobs[r].ckpt_dir);
    }
    return ST_OK;
}

static status open_data(loop *l, err *e)
{
    const trainer_config *c = &l->jobs[0].config;
    int64_t T = c->shape.seq_len, want = c->val_tokens / T;
    status s = data_open(&l->data, c->data, c->data_dtype, e);
    if (s) return s;
    if (strcmp(data_about(l->data)->sha256, c->data_sha256))
        return err_set(e, ST_INPUT, "%s: the data has changed since the config was resolved (sha256 %.16s, not %.16s)",
                       c->data, data_about(l->data)->sha256, c->data_sha256);
    l->val = malloc((size_t)(want * (T + 1)) * sizeof *l->val);
    if (!l->val) return err_set(e, ST_NOMEM, "no memory for %lld validation sequences", (long long)want);
    l->n_val = (size_t)data_val_windows(l->data, l->val, want, T);
    return l->n_val >= 2 ? ST_OK : err_set(e, ST_INPUT, "%s: fewer than two validation sequences", c->data);
}

static bool asked_make(asked *q, size_t n)
{
    q->tokens = calloc(n, sizeof *q->tokens);
    q->lr = calloc(n, sizeof *q->lr);
    q->step = calloc(n, sizeof *q->step);
    q->active = calloc(n, sizeof *q->active);
    return q->tokens && q->lr && q->step && q->active;
}

static status loop_make(loop *l, train_job *jobs, size_t n, const train_opts *o, err *e)
{
    bank_opts bo = train_bank_opts(&jobs[0].config, n, train_threads(&jobs[0].config, o->threads));
    *l = (loop){.jobs = jobs, .n = n, .opts = o, .started = io_now(), .batch = bo.batch,
                .bytes_needed = bank_bytes_needed(&bo)};
    l->last_ckpt = l->last_progress = l->started;
    l->reps = calloc(n, sizeof *l->reps);
    l->active = calloc(n, sizeof *l->active);
    l->due = calloc(n, sizeof *l->due);
    l->out = calloc(n, sizeof *l->out);
    bool made = l->reps && l->active && l->due && l->out;
    for (size_t k = 0; k < BANK_DEPTH; k++) made = asked_make(&l->asked[k], n) && made;
    if (!made)
        return err_set(e, ST_NOMEM, "no memory for a bank of %zu", n);
    status s = open_data(l, e);
    if (s) return s;
    l->seq_loss = malloc(n * l->n_val * sizeof *l->seq_loss);
    if (!l->seq_loss) return err_set(e, ST_NOMEM, "no memory for %zu validation losses", n * l->n_val);
    s = updates_new(&l->updates, l, e);
    return s ? s : bank_new(&l->bank, &bo, e);
}

/* The bank first: a step may be under way, of what is freed then. */
static void loop_free(loop *l)
{
    bank_free(l->bank);
    updates_free(l->updates);
    data_close(l->data);
    for (size_t k = 0; k < BANK_DEPTH; k++) {
        for (size_t r = 0; l->reps && r < l->n; r++) free(l->reps[r].own_tokens[k]);
        free(l->asked[k].tokens);
        free(l->asked[k].lr);
        free(l->asked[k].step);
        free(l->asked[k].active);
    }
    free(l->reps);
    free(l->active);
    free(l->due);
    free(l->out);
    free(l->val);
    free(l->seq_loss);
}

/* Windows of the next step to be submitted, of every active replica. Replicas that see the same data share one copy:
 * the first such one fills it. */
static status fill_tokens(loop *l, err *e)
{
    const int64_t ahead = (int64_t)l->under_way;
    const int32_t **tokens = l->asked[l->turn].tokens;
    for (size_t r = 0; r < l->n; r++) {
        if (!l->active[r]) continue;
        const trainer_config *c = &l->jobs[r].config;
        int64_t T = c->shape.seq_len;
        size_t q = 0;
        for (; q < r; q++) {
            const trainer_config *d = &l->jobs[q].config;
            if (l->active[q] && l->reps[q].state.step == l->reps[r].state.step && d->data_seed == c->data_seed &&
                d->unique_tokens == c->unique_tokens)
                break;
        }
        if (q < r) {
            tokens[r] = tokens[q];
            continue;
        }
        int32_t **own = &l->reps[r].own_tokens[l->turn];
        if (!*own && !(*own = malloc(l->batch * (size_t)(T + 1) * sizeof **own)))
            return err_set(e, ST_NOMEM, "no memory for a batch of %zu sequences", l->batch);
        data_train_windows(l->data, *own, (l->reps[r].state.step + ahead) * (int64_t)l->batch, (int64_t)l->batch, T,
                           c->unique_tokens, c->data_seed);
        tokens[r] = *own;
    }
    l->filled = true;
    return ST_OK;
}

static status submit(loop *l, err *e)
{
    asked *q = &l->asked[l->turn];
    status s = l->filled ? ST_OK : fill_tokens(l, e);
    if (s) return s;
    memcpy(q->active, l->active, l->n * sizeof *q->active);
    for (size_t r = 0; r < l->n; r++) {
        if (!l->active[r]) continue;
        q->step[r] = (uint64_t)l->reps[r].state.step + l->under_way + 1;
        q->lr[r] = schedule_factor(&l->jobs[r].config, (int64_t)q->step[r]);
    }
    if ((s = updates_before(l, e))) return s;
    q->at = io_now();
    if ((s = bank_submit(l->bank, q->tokens, q->lr, q->step, q->active, e))) return s;
    l->turn = (l->turn + 1) % BANK_DEPTH;
    l->under_way++;
    l->filled = false;
    return ST_OK;
}

/* Rows of the oldest step under way. One that was submitted for a run which ended with the step before it is nobody's:
 * such a run has diverged, or was stopped early: its weights are not read again. */
static status collect(loop *l, err *e)
{
    const asked *q = &l->asked[(l->turn + BANK_DEPTH - l->under_way) % BANK_DEPTH];
    status s = bank_collect(l->bank, l->out, e);
    const double now = io_now(), since = q->at > l->last_step ? q->at : l->last_step;
    l->under_way--;
    l->step_ms = 1e3 * (now - since);
    l->last_step = now;
    for (size_t r = 0; !s && r < l->n; r++)
        if (q->active[r] && l->active[r]) s = replica_after_step(l, r, q, e);
    return s;
}

static bool stop_asked(const loop *l)
{
    return (l->opts->stop && *l->opts->stop) || (l->opts->halt && atomic_load(l->opts->halt));
}

static bool ckpt_by_time(const loop *l) { return io_now() - l->last_ckpt >= CKPT_SECONDS; }

/* Whether the last step submitted is the last before something looks at the weights. A bank at rest was looked at. */
static bool must_rest(const loop *l)
{
    if (!l->under_way) return false;
    if (stop_asked(l)) return true;
    const bool by_time = ckpt_by_time(l);
    for (size_t r = 0; r < l->n; r++)
        if (l->active[r] && replica_rests(l, r, l->reps[r].state.step + (int64_t)l->under_way, by_time)) return true;
    if (updates_need_rest(l)) return true;
    return false;
}

/* One step of rows. While they are written and the next batch is read, a device computes the step after: it is never
 * waited for before it has been given one more. Whoever turns out to have ended has read one batch in vain. */
static status step_all(loop *l, err *e)
{
    status s = ST_OK;
    while (!s && l->under_way < bank_depth(l->bank) && !must_rest(l)) s = submit(l, e);
    if (!s && !l->filled && l->under_way < BANK_DEPTH) s = fill_tokens(l, e);
    return s ? s : collect(l, e);
}

/* Validates the active replicas for which due() holds. */
static status validate(loop *l, bool (*due)(const loop *, size_t), err *e)
{
    size_t any = 0;
    for (size_t r = 0; r < l->n; r++) any += l->due[r] = l->active[r] && due(l, r);
    if (!any) return ST_OK;
    status s = bank_eval(l->bank, l->seq_loss, l->val, l->n_val, l->due, e);
    for (size_t r = 0; !s && r < l->n; r++)
        if (l->due[r]) s = replica_after_val(l, r, e);
    return s;
}

/* Whoever of these is to end here by a rule that compares runs: asked when all have given what belongs to this step, so
 * that none is judged by half of its bank. */
static status judge(loop *l, const bool *of, err *e)
{
    status s = ST_OK;
    for (size_t r = 0; !s && r < l->n; r++)
        if (of[r] && l->active[r] && !replica_is_done(l, r)) s = replica_judge(l, r, e);
    return s;
}

static status checkpoint_all(loop *l, err *e)
{
    status s = ST_OK;
    bool by_time = ckpt_by_time(l);
    /* Before the checkpoint of the same step: a run that goes on from that one would not come by here again. */
    for (size_t r = 0; !s && r < l->n; r++)
        if (l->active[r]) s = replica_leave(l, r, e);
    for (size_t r = 0; !s && r < l->n; r++)
        if (l->active[r] && replica_ckpt_due(l, r, by_time)) s = replica_checkpoint(l, r, e);
    if (by_time) l->last_ckpt = io_now();
    return s;
}

static status end_finished(loop *l, err *e)
{
    status s = ST_OK;
    for (size_t r = 0; !s && r < l->n; r++)
        if (l->active[r] && replica_is_done(l, r)) s = replica_end(l, r, RUN_DONE, e);
    for (size_t r = 0; !s && l->stop && r < l->n; r++)
        if (l->active[r]) s = replica_end(l, r, RUN_STOPPED, e);
    return s;
}

static void report_progress(loop *l, bool now)
{
    double t = io_now();
    if (!l->opts->progress || (!now && t - l->last_progress < 1)) return;
    double done = 0, total = 0;
    for (size_t r = 0; r < l->n; r++) {
        const replica *p = &l->reps[r];
        double per_step = p->flops_per_token * (double)l->jobs[r].config.batch_tokens;
        done += per_step * (double)(p->state.step - p->from_step);
        /* What a diverged run will not do is no longer to be done. */
        total += per_step * (double)((l->active[r] ? p->n_steps : p->state.step) - p->from_step);
    }
    l->opts->progress(l->opts->progress_self, done, total);
    l->last_progress = t;
}

static bool any_active(const loop *l)
{
    for (size_t r = 0; r < l->n; r++)
        if (l->active[r]) return true;
    return false;
}

/* A checkpoint comes after the rows and the validation of its step, and before `end`: whatever a kill cuts off, the
 * journal holds all up to the newest checkpoint, and the rest is made again. */
static status look(loop *l, err *e)
{
    status s = validate(l, replica_val_due, e);
    if (!s) s = judge(l, l->due, e);
    l->stop = stop_asked(l); /* asked once: a checkpoint and `stopped` go together */
    if (!s) s = checkpoint_all(l, e);
    return s ? s : end_finished(l, e);
}

static status loop_run(loop *l, err *e)
{
    status s = ST_OK;
    for (size_t r = 0; !s && r < l->n; r++) s = replica_start(l, r, e);
    /* Killed between the last checkpoint and the end record: only the final validation is left. */
    if (!s) s = validate(l, replica_is_done, e);
    if (!s) s = end_finished(l, e);
    while (!s && any_active(l)) {
        s = step_all(l, e);
        if (!s) s = judge(l, l->active, e);
        if (!s && !l->under_way) s = look(l, e);
        if (!s) report_progress(l, false);
    }
    if (!s) report_progress(l, true);
    return s;
}

status train_bank(train_job *jobs, size_t n, const train_opts *o, err *e)
{
    loop l = {0};
    for (size_t r = 0; r < n; r++) {
        jobs[r].note[0] = 0;
        jobs[r].result = (train_end){.status = RUN_FAILED, .diverged_at = -1};
    }
    status s = check_jobs(jobs, n, e);
    if (!s) s = loop_make(&l, jobs, n, o, e);
    if (!s) s = loop_run(&l, e);
    loop_free(&l);
    return s;
}
