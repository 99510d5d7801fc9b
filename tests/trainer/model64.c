/* Gradients of a whole two-layer model in double precision against finite differences, over the variants of the
 * shape. */
#include "tests/kernels/check.h"
#include "trainer/model.h"
#include "trainer/model_plan.h"

enum { R = 2, B = 3, MAX_TENSORS = 64 };

typedef struct world {
    model *m;
    k_ctx *c;
    buf params, grads, acts, consts, mults;
    double *row_loss, seq_loss[R * B];
    model_io io;
    int32_t *ids;
    shape s;
} world;

static void make(world *w, shape s)
{
    err e = {0};
    const k_ops *ops = k_ops_cpu(CPU_GENERIC);
    *w = (world){.s = s};
    cr_assert_eq(model_new(&w->m, &s, ops, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(ops->ctx_new(&w->c, model_scratch(w->m, ops, R, B), &e), ST_OK);
    const size_t n = B * (size_t)s.seq_len;
    w->params = buf_new(R, shape_param_stride(&s), 0.4, 1);
    w->grads = buf_new(R, shape_param_stride(&s), 0, 0);
    w->acts = buf_new(R, model_act_len(w->m, B, true), 0, 0);
    w->consts = buf_new(1, model_const_len(w->m), 0, 0);
    model_consts(w->m, w->consts.p);
    w->mults = buf_new(1, model_n_mults(w->m) * R, 0, 0);
    mup_tensor t[MAX_TENSORS] = {0};
    for (size_t i = 0; i < MAX_TENSORS; i++) t[i].forward_mult = 0.8 + 0.05 * (double)(i % 7);
    const mup_model mm[R] = {{1.3, 0.6, 0.7, 1.1}, {0.9, 0.5, 1.2, 0.8}};
    for (size_t r = 0; r < R; r++) model_mults(w->m, w->mults.p + r, R, t, &mm[r]);
    keep(w->m);
    keep(w->c);
    w->row_loss = keep(calloc(R * n, sizeof(double)));
    w->ids = ids_new(B * ((size_t)s.seq_len + 1), (size_t)s.vocab, 5);
    w->io = (model_io){.R = R,
                       .n_seq = B,
                       .params = in(&w->params),
                       .consts = {w->consts.p, 0},
                       .acts = arr(&w->acts),
                       .mults = {w->mults.p, w->mults.p},
                       .ld_mults = R,
                       .row_loss = w->row_loss,
                       .seq_loss = w->seq_loss,
                       .ld_seq_loss = B,
                       .ids = {w->ids, 0, (size_t)s.seq_len + 1, (size_t)s.seq_len, 0}};
}

static double loss(void *self)
{
    world *w = self;
    cr_assert_eq(model_eval(w->m, k_ops_cpu(CPU_GENERIC), w->c, &w->io, NULL), ST_OK);
    double sum = 0;
    for (size_t i = 0; i < R * B; i++) sum += w->seq_loss[i];
    return sum / B; /* of both replicas: their gradients do not mix */
}

static void check(shape s, const char *what)
{
    world w;
    shape_tensor t[MAX_TENSORS];
    make(&w, s);
    const size_t n = shape_tensors(&s, t, MAX_TENSORS);
    cr_assert_eq(
        model_gradient(w.m, k_ops_cpu(CPU_GENERIC), w.c, &w.io, arr(&w.grads), false, 1.0 / (double)(B * s.seq_len), NULL),
        ST_OK);
    INTACT(w.grads);
    INTACT(w.acts);
    for (size_t i = 0; i < n; i++) { /* each tensor on its own: a small gradient must not hide behind a large one */
        buf x = w.params, g = w.grads;
        x.p += t[i].offset;
        g.p += t[i].offset;
        x.len = t[i].n;
        const double bad = grad_error(loss, &w, &x, &g);
        cr_expect_lt(bad, 1e-6, "%s: %s is off by %g", what, t[i].name, bad);
        if (i == 1) {
            g.p[0] *= (real)1.001;
            g.p[0] += (real)1e-4;
            cr_expect_gt(grad_error(loss, &w, &x, &g), 1e-6, "%s: negative twin", what);
        }
    }
}

static shape base(void)
{
    return (shape){.vocab = 13,
                   .d_model = 12,
                   .n_layer = 2,
                   .n_head = 3,
                   .n_kv_head = 3,
                   .head_dim = 4,
                   .d_ff = 20,
                   .seq_len = 7,
                   .act = ACT_GELU,
                   .tied_head = true,
                   .rope_theta = 50};
}

Test(model, gradient_plain) { check(base(), "gelu, tied"); }

Test(model, gradient_swiglu_untied_gqa)
{
    shape s = base();
    s.act = ACT_SWIGLU;
    s.tied_head = false;
    s.n_kv_head = 1;
    check(s, "swiglu, untied, gqa");
}

Test(model, gradient_gains_qknorm)
{
    shape s = base();
    s.norm_gain = s.qk_norm = true;
    check(s, "gains, qk-norm, tied");
    s.act = ACT_SWIGLU;
    s.tied_head = false;
    check(s, "gains, qk-norm, swiglu, untied");
}

/* Logits are formed in blocks of rows: the same gradient as in one block. */
Test(model, head_in_blocks)
{
    world one, many;
    make(&one, base());
    make(&many, base());
    many.m->head_rows = 5; /* 21 rows: four blocks and a rest */
    const k_ops *ops = k_ops_cpu(CPU_GENERIC);
    cr_assert_eq(model_gradient(one.m, ops, one.c, &one.io, arr(&one.grads), false, 0.1, NULL), ST_OK);
    cr_assert_eq(model_gradient(many.m, ops, many.c, &many.io, arr(&many.grads), false, 0.1, NULL), ST_OK);
    INTACT(many.acts);
    cr_expect_lt(worst(&many.grads, &one.grads), 1e-12);
    for (size_t i = 0; i < R * B; i++) cr_expect_float_eq(many.seq_loss[i], one.seq_loss[i], 1e-12);
}

Test(model, causal)
{
    shape s = base();
    world w;
    make(&w, s);
    loss(&w);
    double before[B * 7];
    memcpy(before, w.row_loss, sizeof before);
    w.ids[5] = (w.ids[5] + 1) % 13; /* input 5 and target 4 of sequence 0 */
    loss(&w);
    for (int t = 0; t < 4; t++) cr_expect_eq(before[t], w.row_loss[t], "position %d looks ahead", t);
    cr_expect_neq(before[5], w.row_loss[5]);
    for (size_t i = 7; i < B * 7; i++) cr_expect_eq(before[i], w.row_loss[i], "sequences mix");
}
