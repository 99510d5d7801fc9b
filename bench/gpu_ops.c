#include "bench/gpu_ops.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "base/rng.h"
#include "kernels/device_ops.h"
#include "trainer/model.h"

enum { SAMPLES = 5, MAX_NODES = 100 };
#define NODES_SECONDS 2e-3 /* of one recorded sequence: far above the time to start it */
#define SAMPLE_SECONDS 5e-3

#define TRY(call)                \
    do {                         \
        status try_s = (call);   \
        if (try_s) return try_s; \
    } while (0)

/* What the ops below receive as their context. */
typedef struct watch {
    const k_ops *real;
    k_ctx *ctx;
    op_rows *out;
    bool timed, dry; /* dry: seen, not called */
    enum { AS_STEP, ALONE, RECORDING } phase;
    int i, nodes;
    double began;
} watch;
static watch *watch_of(k_ctx *c) { return (watch *)(void *)c; }

/* The row of this call; NULL when it needs no timing (any more). */
__attribute__((format(printf, 5, 6))) static op_row *see(watch *w, const char *slot, double flops, double bytes,
                                                         const char *sizes, ...)
{
    char text[64];
    va_list ap;
    va_start(ap, sizes);
    vsnprintf(text, sizeof text, sizes, ap);
    va_end(ap);
    op_rows *t = w->out;
    t->flops += flops;
    t->bytes += bytes;
    size_t i = 0;
    while (i < t->n && (strcmp(t->row[i].slot, slot) || strcmp(t->row[i].sizes, text))) i++;
    if (i == OPS_MAX_ROWS) return NULL; /* the sums still hold */
    op_row *r = &t->row[i];
    if (i == t->n) {
        *r = (op_row){.slot = slot, .flops = flops, .bytes = bytes};
        memcpy(r->sizes, text, sizeof text);
        t->n++;
    }
    r->calls++;
    w->phase = AS_STEP;
    return w->timed && r->calls == 1 ? r : NULL;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static status replays(watch *w, k_graph *g, int n, double *seconds, err *e)
{
    const k_device_ops *d = w->real->device;
    const double from = io_now();
    for (int i = 0; i < n; i++) TRY(d->replay(w->ctx, g, e));
    TRY(d->sync(w->ctx, e));
    *seconds = (io_now() - from) / n;
    return ST_OK;
}

static status measure(watch *w, op_row *r, k_graph *g, err *e)
{
    double once = 0, x[SAMPLES];
    TRY(replays(w, g, 1, &once, e));
    TRY(replays(w, g, 1, &once, e));
    const int n = once > 0 && SAMPLE_SECONDS / once > 1 ? (int)(SAMPLE_SECONDS / once) : 1;
    for (int i = 0; i < SAMPLES; i++) TRY(replays(w, g, n, &x[i], e));
    qsort(x, SAMPLES, sizeof *x, ascending);
    r->seconds = x[SAMPLES / 2] / w->nodes;
    return ST_OK;
}

/* Whether the op shall be called once more: once alone, to learn how often it must be recorded, then so often. */
static bool more(watch *w, op_row *r, status *s, err *e)
{
    const k_device_ops *d = w->real->device;
    if (w->phase == AS_STEP) {
        *s = d->sync(w->ctx, e);
        w->began = io_now();
        w->phase = ALONE;
        return !*s;
    }
    if (w->phase == ALONE) {
        *s = d->sync(w->ctx, e);
        const double wish = NODES_SECONDS / (io_now() - w->began + 1e-9);
        w->nodes = wish < 1 ? 1 : wish > MAX_NODES ? MAX_NODES : (int)wish;
        if (!*s) *s = d->record_begin(w->ctx, e);
        w->phase = RECORDING;
        w->i = 0;
        return !*s;
    }
    if (++w->i < w->nodes) return true;
    k_graph *g = NULL;
    *s = d->record_end(w->ctx, &g, e);
    if (!*s) *s = measure(w, r, g, e);
    d->graph_free(g);
    w->phase = AS_STEP;
    return false;
}

/* Runs the op as the step does, then, the first time, for the clock. Dry: it is only seen. */
#define WATCH(w, seen, call)                                                             \
    do {                                                                                 \
        op_row *row_ = (seen);                                                           \
        status s_ = (w)->dry ? ST_OK : (call);                                           \
        while (row_ && !s_ && more((w), row_, &s_, e)) {                                 \
            s_ = (call);                                                                 \
            if (s_ && (w)->phase == RECORDING) (w)->real->device->record_drop((w)->ctx); \
        }                                                                                \
        return s_;                                                                       \
    } while (0)

/* ---- the table ------------------------------------------------------------------------------------------------ */
static double act_bytes(const watch *w, double n) { return n * (double)w->real->act_bytes; }
static double rows_of(const k_rows *s) { return (double)(s->R * s->n); }

static status w_embed_fwd(k_ctx *c, k_act y, k_in table, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    watch *w = watch_of(c);
    const double n = rows_of(s) * (double)s->c;
    WATCH(w, see(w, "embed_fwd", 0, 4 * n + act_bytes(w, n), "n %zu c %zu", s->n, s->c),
          w->real->embed_fwd(w->ctx, y, table, ids, alpha, s, e));
}
static status w_embed_bwd(k_ctx *c, k_arr dtable, k_cact dy, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    watch *w = watch_of(c);
    const double n = rows_of(s) * (double)s->c;
    WATCH(w, see(w, "embed_bwd", 0, 8 * n + act_bytes(w, n), "n %zu c %zu", s->n, s->c),
          w->real->embed_bwd(w->ctx, dtable, dy, ids, alpha, s, e));
}

/* Bytes of a product: its two sides and the weights, each once; `again` more of the result where it is added to. */
static double mm_flops(const k_mm *s) { return 2.0 * (double)s->R * (double)s->n * (double)s->in * (double)s->out; }
static double mm_x(const watch *w, const k_mm *s) { return act_bytes(w, (double)s->R * (double)s->n * (double)s->in); }
static double mm_y(const watch *w, const k_mm *s) { return act_bytes(w, (double)s->R * (double)s->n * (double)s->out); }
static double mm_w(const k_mm *s, double size) { return (double)s->R * (double)s->in * (double)s->out * size; }
static double weight_size(const watch *w, k_weight x) { return x.packed.p ? (double)w->real->act_bytes : 4; }
#define MM "n %zu in %zu out %zu%s", s->n, s->in, s->out

static status w_matmul_fwd(k_ctx *c, k_act y, k_cact x, k_weight wt, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    watch *w = watch_of(c);
    const double bytes = mm_x(w, s) + mm_y(w, s) * (acc ? 2 : 1) + mm_w(s, weight_size(w, wt));
    WATCH(w, see(w, "matmul_fwd", mm_flops(s), bytes, MM, acc ? " +=" : ""),
          w->real->matmul_fwd(w->ctx, y, x, wt, alpha, acc, s, e));
}
static status w_matmul_dgrad(k_ctx *c, k_act dx, k_cact dy, k_weight wt, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    watch *w = watch_of(c);
    const double bytes = mm_y(w, s) + mm_x(w, s) * (acc ? 2 : 1) + mm_w(s, weight_size(w, wt));
    WATCH(w, see(w, "matmul_dgrad", mm_flops(s), bytes, MM, acc ? " +=" : ""),
          w->real->matmul_dgrad(w->ctx, dx, dy, wt, alpha, acc, s, e));
}
static status w_matmul_wgrad(k_ctx *c, k_arr dw, k_cact dy, k_cact x, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "matmul_wgrad", mm_flops(s), mm_x(w, s) + mm_y(w, s) + (acc ? 2 : 1) * mm_w(s, 4), MM, acc ? " +=" : ""),
          w->real->matmul_wgrad(w->ctx, dw, dy, x, alpha, acc, s, e));
}
static status w_matmul_gelu_fwd(k_ctx *c, k_act y, k_act coef, k_cact x, k_weight wt, k_mult alpha, const k_mm *s,
                                err *e)
{
    watch *w = watch_of(c);
    const double bytes = mm_x(w, s) + 2 * mm_y(w, s) + mm_w(s, weight_size(w, wt));
    WATCH(w, see(w, "matmul_gelu_fwd", mm_flops(s), bytes, MM, ""),
          w->real->matmul_gelu_fwd(w->ctx, y, coef, x, wt, alpha, s, e));
}
static status w_matmul_dgrad_mul(k_ctx *c, k_act dx, k_cact dy, k_weight wt, k_cact coef, k_mult alpha, const k_mm *s,
                                 err *e)
{
    watch *w = watch_of(c);
    const double bytes = mm_y(w, s) + 2 * mm_x(w, s) + mm_w(s, weight_size(w, wt));
    WATCH(w, see(w, "matmul_dgrad_mul", mm_flops(s), bytes, MM, ""),
          w->real->matmul_dgrad_mul(w->ctx, dx, dy, wt, coef, alpha, s, e));
}

static double norm_act(const watch *w, const k_norm *s)
{
    return act_bytes(w, (double)s->R * (double)s->n * (double)s->c);
}
static double norm_stat(const k_norm *s) { return 4.0 * (double)s->R * (double)s->n; }
static status w_rmsnorm_fwd(k_ctx *c, k_act y, k_arr rstd, k_cact x, const k_norm *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "rmsnorm_fwd", 0, 2 * norm_act(w, s) + norm_stat(s), "n %zu c %zu", s->n, s->c),
          w->real->rmsnorm_fwd(w->ctx, y, rstd, x, s, e));
}
static status w_rmsnorm_bwd(k_ctx *c, k_act dx, k_cact dy, k_cact y, k_in rstd, bool acc, const k_norm *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w,
          see(w, "rmsnorm_bwd", 0, (acc ? 4 : 3) * norm_act(w, s) + norm_stat(s), "n %zu c %zu%s", s->n, s->c,
              acc ? " +=" : ""),
          w->real->rmsnorm_bwd(w->ctx, dx, dy, y, rstd, acc, s, e));
}
static status w_gain_fwd(k_ctx *c, k_act y, k_cact x, k_in gain, const k_norm *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "gain_fwd", 0, 2 * norm_act(w, s), "n %zu c %zu", s->n, s->c),
          w->real->gain_fwd(w->ctx, y, x, gain, s, e));
}
static status w_gain_bwd(k_ctx *c, k_act dx, k_arr dgain, k_cact dy, k_cact x, k_in gain, const k_norm *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "gain_bwd", 0, 3 * norm_act(w, s), "n %zu c %zu", s->n, s->c),
          w->real->gain_bwd(w->ctx, dx, dgain, dy, x, gain, s, e));
}

static double heads_act(const watch *w, const k_heads *s)
{
    return act_bytes(w, (double)s->R * (double)(s->B * s->T) * (double)(s->heads * s->head_dim));
}
static double heads_stat(const k_heads *s) { return 4.0 * (double)s->R * (double)(s->B * s->T) * (double)s->heads; }
#define HEADS "B %zu T %zu h %zu x %zu", s->B, s->T, s->heads, s->head_dim
static status w_qknorm_fwd(k_ctx *c, k_act x, k_arr rstd, double eps, const k_heads *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "qknorm_fwd", 0, 2 * heads_act(w, s) + heads_stat(s), HEADS),
          w->real->qknorm_fwd(w->ctx, x, rstd, eps, s, e));
}
static status w_qknorm_bwd(k_ctx *c, k_act dx, k_cact y, k_in rstd, const k_heads *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "qknorm_bwd", 0, 3 * heads_act(w, s) + heads_stat(s), HEADS),
          w->real->qknorm_bwd(w->ctx, dx, y, rstd, s, e));
}
static status w_rope_fwd(k_ctx *c, k_act x, k_in table, const k_heads *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "rope_fwd", 0, 2 * heads_act(w, s), HEADS), w->real->rope_fwd(w->ctx, x, table, s, e));
}
static status w_rope_bwd(k_ctx *c, k_act dx, k_in table, const k_heads *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "rope_bwd", 0, 2 * heads_act(w, s), HEADS), w->real->rope_bwd(w->ctx, dx, table, s, e));
}

/* One product of attention: T/2 keys per query on average. Two forward, four backward; the scores that backward
 * computes again are not useful FLOPs. */
static double attn_product(const k_attn *s)
{
    return 2.0 * (double)(s->R * s->B * s->T) * (double)(s->n_head * s->head_dim) * (double)s->T / 2;
}
static double attn_q(const watch *w, const k_attn *s)
{
    return act_bytes(w, (double)(s->R * s->B * s->T) * (double)(s->n_head * s->head_dim));
}
static double attn_qkv(const watch *w, const k_attn *s)
{
    return act_bytes(w, (double)(s->R * s->B * s->T) * (double)((s->n_head + 2 * s->n_kv_head) * s->head_dim));
}
static double attn_lse(const k_attn *s) { return 4.0 * (double)(s->R * s->B * s->T) * (double)s->n_head; }
#define ATTN "B %zu T %zu h %zu/%zu x %zu", s->B, s->T, s->n_head, s->n_kv_head, s->head_dim
static status w_attn_fwd(k_ctx *c, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale, const k_attn *s,
                         err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "attn_fwd", 2 * attn_product(s), attn_qkv(w, s) + attn_q(w, s) + attn_lse(s), ATTN),
          w->real->attn_fwd(w->ctx, o, lse, q, k, v, scale, s, e));
}
static status w_attn_bwd(k_ctx *c, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o,
                         k_in lse, k_mult scale, const k_attn *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "attn_bwd", 4 * attn_product(s), 2 * attn_qkv(w, s) + 2 * attn_q(w, s) + attn_lse(s), ATTN),
          w->real->attn_bwd(w->ctx, dq, dk, dv, dout, q, k, v, o, lse, scale, s, e));
}
static status w_attn_rope_fwd(k_ctx *c, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_in table, k_mult scale,
                              const k_attn *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "attn_rope_fwd", 2 * attn_product(s), attn_qkv(w, s) + attn_q(w, s) + attn_lse(s), ATTN),
          w->real->attn_rope_fwd(w->ctx, o, lse, q, k, v, table, scale, s, e));
}
static status w_attn_rope_bwd(k_ctx *c, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v,
                              k_cact o, k_in lse, k_in table, k_mult scale, const k_attn *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "attn_rope_bwd", 4 * attn_product(s), 2 * attn_qkv(w, s) + 2 * attn_q(w, s) + attn_lse(s), ATTN),
          w->real->attn_rope_bwd(w->ctx, dq, dk, dv, dout, q, k, v, o, lse, table, scale, s, e));
}

static double rows_act(const watch *w, const k_rows *s) { return act_bytes(w, rows_of(s) * (double)s->c); }
#define ROWS "n %zu c %zu", s->n, s->c
/* Rows that an activation writes: its value and, on the host, its slopes (gelu.h). */
static double written(const watch *w, double slopes) { return 1 + (w->real->device ? 0 : slopes); }
static status w_gelu_fwd(k_ctx *c, k_act y, k_act u, const k_rows *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "gelu_fwd", 0, (1 + written(w, 1)) * rows_act(w, s), ROWS),
          w->real->gelu_fwd(w->ctx, y, u, s, e));
}
static status w_gelu_bwd(k_ctx *c, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "gelu_bwd", 0, 3 * rows_act(w, s), ROWS), w->real->gelu_bwd(w->ctx, du, dy, coef, s, e));
}
static status w_swiglu_fwd(k_ctx *c, k_act y, k_act u, const k_rows *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "swiglu_fwd", 0, (2 + written(w, 2)) * rows_act(w, s), ROWS),
          w->real->swiglu_fwd(w->ctx, y, u, s, e));
}
static status w_swiglu_bwd(k_ctx *c, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "swiglu_bwd", 0, 5 * rows_act(w, s), ROWS), w->real->swiglu_bwd(w->ctx, du, dy, coef, s, e));
}
static status w_xent(k_ctx *c, double *row_loss, size_t stride, k_act logits, k_ids targets, double dscale,
                     const k_rows *s, err *e)
{
    watch *w = watch_of(c);
    const double bytes = (dscale != 0 ? 2 : 1) * rows_act(w, s) + 12 * rows_of(s);
    WATCH(w, see(w, "xent", 0, bytes, ROWS), w->real->xent(w->ctx, row_loss, stride, logits, targets, dscale, s, e));
}
static status w_seq_loss(k_ctx *c, double *seq_loss, size_t ld, const double *row_loss, size_t stride, size_t R,
                         size_t n, size_t T, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "seq_loss", 0, 8.0 * (double)(R * n) * (double)(T + 1), "B %zu T %zu", n, T),
          w->real->seq_loss(w->ctx, seq_loss, ld, row_loss, stride, R, n, T, e));
}

static status w_zero(k_ctx *c, k_arr y, size_t R, size_t n, err *e)
{
    watch *w = watch_of(c);
    WATCH(w, see(w, "zero", 0, 4.0 * (double)(R * n), "n %zu", n), w->real->zero(w->ctx, y, R, n, e));
}

static k_ops watched(const k_ops *ops)
{
    k_ops t = *ops;
    t.embed_fwd = w_embed_fwd, t.embed_bwd = w_embed_bwd;
    t.matmul_fwd = w_matmul_fwd, t.matmul_dgrad = w_matmul_dgrad, t.matmul_wgrad = w_matmul_wgrad;
    t.rmsnorm_fwd = w_rmsnorm_fwd, t.rmsnorm_bwd = w_rmsnorm_bwd, t.gain_fwd = w_gain_fwd, t.gain_bwd = w_gain_bwd;
    t.qknorm_fwd = w_qknorm_fwd, t.qknorm_bwd = w_qknorm_bwd, t.rope_fwd = w_rope_fwd, t.rope_bwd = w_rope_bwd;
    t.attn_fwd = w_attn_fwd, t.attn_bwd = w_attn_bwd;
    t.gelu_fwd = w_gelu_fwd, t.gelu_bwd = w_gelu_bwd, t.swiglu_fwd = w_swiglu_fwd, t.swiglu_bwd = w_swiglu_bwd;
    t.xent = w_xent, t.seq_loss = w_seq_loss, t.zero = w_zero;
    if (ops->attn_rope_fwd) t.attn_rope_fwd = w_attn_rope_fwd, t.attn_rope_bwd = w_attn_rope_bwd;
    if (ops->matmul_gelu_fwd) t.matmul_gelu_fwd = w_matmul_gelu_fwd;
    if (ops->matmul_dgrad_mul) t.matmul_dgrad_mul = w_matmul_dgrad_mul;
    return t;
}

/* ---- a step's buffers ------------------------------------------------------------------------------------------ */
enum { MAX_OWNED = 32 };
typedef struct bench_bank {
    watch w;
    model *m;
    size_t R, batch, stride, packed, n_tensors;
    real *params, *grads, *mom, *var, *copies, *acts, *consts, *mults, *host_mults;
    double *row_loss, *seq_loss;
    int32_t *ids;
    struct {
        void *p;
        size_t bytes;
    } owned[MAX_OWNED];
    size_t n_owned;
} bench_bank;

/* Memory where the backend computes: zeros, or what `from` holds. Dry: addresses that nobody may touch. */
static status take(bench_bank *b, void *out, size_t bytes, const void *from, err *e)
{
    const k_device_ops *d = b->w.real->device;
    void *p = NULL;
    if (!bytes) return ST_OK;
    if (b->n_owned == MAX_OWNED) return err_set(e, ST_NOMEM, "bench: too many buffers");
    if (b->w.dry) {
        p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) return err_set(e, ST_NOMEM, "bench: no %zu addresses", bytes);
        from = NULL;
    } else if (d) TRY(d->mem_new(b->w.ctx, &p, bytes, e));
    else if (posix_memalign(&p, K_ALIGN, bytes)) return err_set(e, ST_NOMEM, "bench: out of memory");
    else memset(p, 0, bytes);
    b->owned[b->n_owned].p = p;
    b->owned[b->n_owned++].bytes = bytes;
    memcpy(out, &p, sizeof p);
    if (!from) return ST_OK;
    if (!d) {
        memcpy(p, from, bytes);
        return ST_OK;
    }
    TRY(d->upload(b->w.ctx, p, from, bytes, e));
    return d->sync(b->w.ctx, e);
}

static void drop(bench_bank *b)
{
    const k_device_ops *d = b->w.real ? b->w.real->device : NULL;
    for (size_t i = 0; i < b->n_owned; i++)
        if (b->w.dry) munmap(b->owned[i].p, b->owned[i].bytes);
        else if (d) d->mem_free(b->w.ctx, b->owned[i].p);
        else free(b->owned[i].p);
    if (b->w.ctx) b->w.real->ctx_free(b->w.ctx);
    free(b->host_mults);
    model_free(b->m);
}

static status random_params(bench_bank *b, const shape *s, err *e)
{
    const size_t n = b->R * b->stride;
    if (b->w.dry) return take(b, &b->params, n * sizeof(float), NULL, e);
    float *x = malloc(n * sizeof *x);
    status st = x ? ST_OK : err_set(e, ST_NOMEM, "bench: out of memory");
    if (!st) {
        rng_fill_normal(x, b->stride, 1 / sqrt((double)s->d_model), 1, RNG_TEST, 0, 0);
        for (size_t r = 1; r < b->R; r++) memcpy(x + r * b->stride, x, b->stride * sizeof *x);
        st = take(b, &b->params, n * sizeof *x, x, e);
    }
    free(x);
    return st;
}

static status random_ids(bench_bank *b, const shape *s, err *e)
{
    const size_t n = b->batch * ((size_t)s->seq_len + 1);
    int32_t *x = malloc(n * sizeof *x);
    status st = x ? ST_OK : err_set(e, ST_NOMEM, "bench: out of memory");
    for (size_t i = 0; i < n && !st; i++) x[i] = (int32_t)rng_below((uint64_t)s->vocab, 2, RNG_TEST, 0, i);
    if (!st) st = take(b, &b->ids, n * sizeof *x, x, e);
    free(x);
    return st;
}

static status fixed_parts(bench_bank *b, const shape *s, err *e)
{
    const size_t n = model_const_len(b->m), n_mults = model_n_mults(b->m) * b->R;
    real *consts = calloc(n, sizeof *consts);
    b->host_mults = calloc(n_mults, sizeof *b->host_mults);
    status st = consts && b->host_mults ? ST_OK : err_set(e, ST_NOMEM, "bench: out of memory");
    if (!st) {
        model_consts(b->m, consts);
        for (size_t i = 0; i < n_mults; i++) b->host_mults[i] = 1;
        for (size_t r = 0; r < b->R; r++)
            b->host_mults[(b->n_tensors + 1) * b->R + r] = (real)(1 / sqrt((double)s->head_dim));
        st = take(b, &b->consts, n * sizeof *consts, consts, e);
    }
    if (!st) st = take(b, &b->mults, n_mults * sizeof *b->mults, b->host_mults, e);
    free(consts);
    return st;
}

static status build(bench_bank *b, const shape *s, err *e)
{
    const k_ops *ops = b->w.real;
    TRY(model_new(&b->m, s, ops, e));
    b->stride = shape_param_stride(s);
    b->n_tensors = shape_tensors(s, NULL, 0);
    b->packed = model_pack_len(b->m, ops);
    const size_t n_acts = b->R * model_act_len(b->m, b->batch, true), P = b->R * b->stride * sizeof(real);
    if (!b->w.dry) TRY(ops->ctx_new(&b->w.ctx, model_scratch(b->m, ops, b->R, b->batch), e));
    TRY(random_params(b, s, e));
    TRY(random_ids(b, s, e));
    TRY(fixed_parts(b, s, e));
    TRY(take(b, &b->grads, P, NULL, e));
    TRY(take(b, &b->mom, P, NULL, e));
    TRY(take(b, &b->var, P, NULL, e));
    TRY(take(b, &b->copies, b->R * b->packed * sizeof(real), NULL, e));
    TRY(take(b, &b->acts, n_acts * sizeof(real), NULL, e));
    TRY(take(b, &b->row_loss, b->R * b->batch * (size_t)s->seq_len * sizeof(double), NULL, e));
    TRY(take(b, &b->seq_loss, b->R * b->batch * sizeof(double), NULL, e));
    if (b->copies && !b->w.dry)
        TRY(model_pack(b->m, ops, b->w.ctx, (k_arr){b->copies, b->packed}, (k_in){b->params, b->stride}, b->R, e));
    return ST_OK;
}

/* ---- the ends of a step: gradients zeroed, norm, AdamW ----------------------------------------------------------- */
static status outcome(bench_bank *b, const k_bank_end *end, err *e)
{
    watch *w = &b->w;
    WATCH(w, see(w, "bank_outcome", 0, 4.0 * (double)(b->R * b->stride), "P %zu", b->stride),
          w->real->device->bank_outcome(w->ctx, end, e));
}
static status adamw(bench_bank *b, const k_bank_end *end, err *e)
{
    watch *w = &b->w;
    const double per = 28 + (b->copies ? (double)w->real->act_bytes : 0);
    WATCH(w, see(w, "bank_adamw", 0, per * (double)(b->R * b->stride), "P %zu", b->stride),
          w->real->device->bank_adamw(w->ctx, end, e));
}

static status optimiser(bench_bank *b, const shape *s, err *e)
{
    const size_t n = b->n_tensors, R = b->R;
    shape_tensor *t = calloc(n, sizeof *t);
    k_span *spans = calloc(n, sizeof *spans);
    k_adam_fixed *fixed = calloc(R * n, sizeof *fixed);
    k_step_in *in = calloc(R, sizeof *in);
    status st = t && spans && fixed && in ? ST_OK : err_set(e, ST_NOMEM, "bench: out of memory");
    k_bank_end end = {.R = R,
                      .n_tensors = n,
                      .stride = b->stride,
                      .batch = b->batch,
                      .seq_loss = b->seq_loss,
                      .params = b->params,
                      .m = b->mom,
                      .v = b->var,
                      .grads = b->grads,
                      .packed = {b->copies, b->packed}};
    if (!st) {
        shape_tensors(s, t, n);
        for (size_t i = 0; i < n; i++) spans[i] = (k_span){t[i].offset, t[i].n, model_packed_at(b->m, b->w.real, i)};
        for (size_t i = 0; i < R * n; i++) fixed[i] = (k_adam_fixed){1e-3, 1e-8, 0.1};
        for (size_t r = 0; r < R; r++) in[r] = (k_step_in){1, 0.9, 0.95, 0.1, 0.05, 1, 1, 0};
        st = take(b, &end.spans, n * sizeof *spans, spans, e);
    }
    if (!st) st = take(b, &end.fixed, R * n * sizeof *fixed, fixed, e);
    if (!st) st = take(b, &end.in, R * sizeof *in, in, e);
    if (!st) st = take(b, &end.out, R * sizeof *end.out, NULL, e);
    if (!st) st = take(b, &end.partial, R * K_NORM_PARTS * sizeof(double), NULL, e);
    if (!st) st = outcome(b, &end, e);
    if (!st) st = adamw(b, &end, e);
    free(t);
    free(spans);
    free(fixed);
    free(in);
    return st;
}

static status step(bench_bank *b, const shape *s, err *e)
{
    const k_ops table = watched(b->w.real);
    const double dscale = 1 / ((double)b->batch * (double)s->seq_len);
    const model_io io = {.R = b->R,
                         .n_seq = b->batch,
                         .params = {b->params, b->stride},
                         .packed = {b->copies, b->packed},
                         .consts = {b->consts, 0},
                         .acts = {b->acts, model_act_len(b->m, b->batch, true)},
                         .mults = {b->mults, b->host_mults},
                         .ld_mults = b->R,
                         .ids = {.p = b->ids, .ld = (size_t)s->seq_len + 1, .T = (size_t)s->seq_len},
                         .row_loss = b->row_loss,
                         .seq_loss = b->seq_loss,
                         .ld_seq_loss = b->batch};
    k_ctx *c = (k_ctx *)(void *)&b->w;
    const k_arr grads = {b->grads, b->stride};
    TRY(model_zero_added(b->m, &table, c, grads, b->R, e));
    TRY(model_gradient(b->m, &table, c, &io, grads, true, dscale, e));
    if (b->w.real->device) TRY(optimiser(b, s, e));
    return b->w.real->device && !b->w.dry ? b->w.real->device->sync(b->w.ctx, e) : ST_OK;
}

status ops_watch(op_rows *out, const shape *s, size_t R, size_t batch, const char *backend, ops_mode mode, err *e)
{
    bench_bank b = {.R = R, .batch = batch, .w = {.out = out, .dry = mode == OPS_COUNTED}};
    *out = (op_rows){0};
    TRY(shape_check(s, e));
    TRY(k_backend(&b.w.real, backend, e));
    b.w.timed = mode == OPS_TIMED && b.w.real->device;
    status st = build(&b, s, e);
    if (!st) st = step(&b, s, e);
    drop(&b);
    for (size_t i = 0; i < out->n; i++) out->seconds += out->row[i].seconds * (double)out->row[i].calls;
    return st;
}
