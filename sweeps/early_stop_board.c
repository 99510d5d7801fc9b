#include "sweeps/early_stop_board.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/run.h"
#include "sweeps/campaign.h"

static const double ema_rate = 0.05; /* of one step: the trainer's (trainer/train_replica.c) */

typedef struct member {
    early_stop_curve curve;
    size_t group;
    double ema;      /* of the training loss, at ema_step */
    int64_t ema_step;
    size_t judged;   /* values that were there when it was judged last */
    off_t seen;      /* bytes of the journal that the curve was read from */
    bool here;       /* trains in this process */
    bool closed;     /* has ended for good */
    bool begun;      /* elsewhere: there was a journal when we looked */
} member;

typedef struct group {
    size_t first, n; /* of `order` */
    bool fresh;      /* others' journals were looked at since the last row of ours */
    bool all;        /* a bank has started since: those that had not begun are looked at, too */
} group;

struct early_stop_board {
    const sweep_plan *p;
    const early_stop_rule *rule;
    const char *campaign;
    pthread_mutex_t lock; /* of all that follows */
    member *members;      /* [p->n_runs] */
    group *groups;
    size_t *order;        /* [p->n_runs] runs by group */
    size_t n_groups;
    const early_stop_curve **others; /* [p->n_runs] scratch */
    double *values;                  /* [p->n_runs + 1] scratch */
};

static status no_memory(const early_stop_board *b, err *e)
{
    return err_set(e, ST_NOMEM, "%s: no memory for the curves of early stopping", b->campaign);
}

static const trainer_config *config_of(const early_stop_board *b, size_t run) { return &b->p->runs[run].config; }

/* ---- groups --------------------------------------------------------------------------------------------------- */

#define BY(field)                                                                                                      \
    if (x->field != y->field) return x->field < y->field ? -1 : 1
static int by_group(const void *a, const void *b, void *runs)
{
    const sweep_run *p = (const sweep_run *)runs + *(const size_t *)a,
                    *q = (const sweep_run *)runs + *(const size_t *)b;
    const trainer_config *x = &p->config, *y = &q->config;
    if (p->class != q->class) return p->class < q->class ? -1 : 1;
    BY(tokens);
    BY(unique_tokens);
    BY(val_every);
    BY(warmup_tokens);
    BY(schedule);
    BY(min_lr_ratio);
    if (x->schedule == SCHED_WSD) {
        BY(decay_fraction);
        BY(decay_shape);
    }
    return 0;
}
#undef BY

static void find_groups(early_stop_board *b)
{
    const size_t n = b->p->n_runs;
    for (size_t i = 0; i < n; i++) b->order[i] = i;
    qsort_r(b->order, n, sizeof *b->order, by_group, b->p->runs);
    for (size_t i = 0; i < n; i++) {
        if (!i || by_group(&b->order[i - 1], &b->order[i], b->p->runs)) b->groups[b->n_groups++].first = i;
        group *g = &b->groups[b->n_groups - 1];
        g->n++;
        b->members[b->order[i]].group = b->n_groups - 1;
    }
}

status early_stop_board_new(early_stop_board **out, const sweep_plan *p, const early_stop_rule *rule,
                            const char *campaign, err *e)
{
    *out = NULL;
    if (rule->kind == EARLY_STOP_NONE) return ST_OK;
    early_stop_board *b = calloc(1, sizeof *b);
    if (!b) return err_set(e, ST_NOMEM, "%s: no memory for early stopping", campaign);
    *b = (early_stop_board){.p = p, .rule = rule, .campaign = campaign, .lock = PTHREAD_MUTEX_INITIALIZER};
    b->members = calloc(p->n_runs + 1, sizeof *b->members);
    b->groups = calloc(p->n_runs + 1, sizeof *b->groups);
    b->order = calloc(p->n_runs + 1, sizeof *b->order);
    b->others = calloc(p->n_runs + 1, sizeof *b->others);
    b->values = calloc(p->n_runs + 1, sizeof *b->values);
    if (!b->members || !b->groups || !b->order || !b->others || !b->values) {
        early_stop_board_free(b);
        return err_set(e, ST_NOMEM, "%s: no memory for early stopping of %zu runs", campaign, p->n_runs);
    }
    find_groups(b);
    *out = b;
    return ST_OK;
}

void early_stop_board_free(early_stop_board *b)
{
    if (!b) return;
    for (size_t i = 0; b->members && i < b->p->n_runs; i++) early_stop_curve_free(&b->members[i].curve);
    free(b->members);
    free(b->groups);
    free(b->order);
    free(b->others);
    free(b->values);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* ---- values --------------------------------------------------------------------------------------------------- */

/* Of the smoothed loss one value in every so many steps is kept: the first at or behind each multiple. */
static bool add_train(const early_stop_board *b, size_t run, int64_t step, double loss)
{
    member *m = &b->members[run];
    const int64_t every = early_stop_every(config_of(b, run)), before = m->ema_step;
    const double weight = before ? 1 - pow(1 - ema_rate, (double)(step - before)) : 1;
    if (step <= before) return true;
    m->ema = before ? m->ema + weight * (loss - m->ema) : loss;
    m->ema_step = step;
    return step / every == before / every || early_stop_add(&m->curve, step, m->ema);
}

/* A journal's rows up to a step. One that cannot be read tells nothing: whoever takes that run says what is wrong. */
static status load(early_stop_board *b, size_t run, int64_t up_to, err *e)
{
    member *m = &b->members[run];
    char dir[IO_PATH_MAX], path[IO_PATH_MAX];
    struct stat st;
    run_record r;
    bool ok = true;
    if (campaign_run_dir(dir, b->campaign, b->p->runs[run].id, NULL) || io_join(path, dir, "journal.jsonl", NULL))
        return ST_OK;
    if (stat(path, &st) || (m->begun && m->seen == st.st_size && up_to == INT64_MAX)) return ST_OK;
    if (run_read_journal(&r, path, NULL)) return ST_OK;
    m->begun = true;
    m->seen = st.st_size; /* of before it was read: what came meanwhile is read again */
    m->closed = run_is_final(&r);
    m->curve.n = 0;
    m->ema_step = 0;
    if (early_stop_by_validation(config_of(b, run)))
        for (size_t i = 0; i < r.n_val && ok && r.val[VAL_STEP][i] <= (double)up_to; i++)
            ok = early_stop_add(&m->curve, (int64_t)r.val[VAL_STEP][i], r.val[VAL_LOSS][i]);
    else
        for (size_t i = 0; i < r.n_train && ok && r.train[TRAIN_STEP][i] <= (double)up_to; i++)
            ok = add_train(b, run, (int64_t)r.train[TRAIN_STEP][i], r.train[TRAIN_LOSS][i]);
    run_free(&r);
    return ok ? ST_OK : no_memory(b, e);
}

static status look_at_others(early_stop_board *b, group *g, err *e)
{
    status s = ST_OK;
    for (size_t i = g->first; i < g->first + g->n && !s; i++) {
        const member *m = &b->members[b->order[i]];
        if (!m->here && !m->closed && (g->all || m->begun)) s = load(b, b->order[i], INT64_MAX, e);
    }
    g->fresh = !s;
    g->all = false;
    return s;
}

status early_stop_board_sit(early_stop_board *b, size_t run, int64_t from_step, err *e)
{
    if (!b) return ST_OK;
    pthread_mutex_lock(&b->lock);
    member *m = &b->members[run];
    m->curve.n = 0;
    m->ema_step = 0;
    status s = from_step > 0 ? load(b, run, from_step, e) : ST_OK;
    m->judged = m->curve.n;
    m->closed = false;
    m->here = true;
    b->groups[m->group].fresh = false;
    b->groups[m->group].all = true;
    pthread_mutex_unlock(&b->lock);
    return s;
}

void early_stop_board_leave(early_stop_board *b, size_t run, bool final)
{
    if (!b) return;
    pthread_mutex_lock(&b->lock);
    member *m = &b->members[run];
    m->here = false;
    m->closed = final;
    m->begun = true;
    m->seen = 0;
    pthread_mutex_unlock(&b->lock);
}

status early_stop_board_row(early_stop_board *b, size_t run, const train_row *row, err *e)
{
    if (!b || early_stop_by_validation(config_of(b, run))) return ST_OK;
    pthread_mutex_lock(&b->lock);
    const bool ok = add_train(b, run, row->step, row->loss);
    b->groups[b->members[run].group].fresh = false;
    pthread_mutex_unlock(&b->lock);
    return ok ? ST_OK : no_memory(b, e);
}

status early_stop_board_val(early_stop_board *b, size_t run, const train_val *val, err *e)
{
    if (!b || !early_stop_by_validation(config_of(b, run))) return ST_OK;
    pthread_mutex_lock(&b->lock);
    const bool ok = early_stop_add(&b->members[run].curve, val->step, val->loss);
    b->groups[b->members[run].group].fresh = false;
    pthread_mutex_unlock(&b->lock);
    return ok ? ST_OK : no_memory(b, e);
}

/* ---- verdicts ------------------------------------------------------------------------------------------------- */

static status compare(early_stop_board *b, size_t run, train_verdict *v, err *e)
{
    member *m = &b->members[run];
    group *g = &b->groups[m->group];
    const trainer_config *c = config_of(b, run);
    size_t n = 0;
    status s = g->fresh ? ST_OK : look_at_others(b, g, e);
    if (s) return s;
    for (size_t i = g->first; i < g->first + g->n; i++)
        if (b->order[i] != run && b->members[b->order[i]].curve.n) b->others[n++] = &b->members[b->order[i]].curve;
    const early_stop_verdict x = early_stop_judge(b->rule, c, &m->curve, b->others, n, b->values);
    if (x.stop)
        *v = (train_verdict){.stop = true, .rule = early_stop_name(b->rule->kind), .metric = early_stop_metric(c),
                             .at = x.at, .value = x.value, .threshold = x.threshold, .n = (int64_t)x.n};
    return ST_OK;
}

status early_stop_board_judge(early_stop_board *b, size_t run, train_verdict *v, err *e)
{
    if (!b) return ST_OK;
    pthread_mutex_lock(&b->lock);
    member *m = &b->members[run];
    const bool news = m->curve.n > m->judged;
    m->judged = m->curve.n;
    const status s = news ? compare(b, run, v, e) : ST_OK;
    pthread_mutex_unlock(&b->lock);
    return s;
}
