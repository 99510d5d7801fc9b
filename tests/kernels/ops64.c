/* Every op's definition in double precision: its values against a second, independent formula and its gradients against
 * finite differences. Sizes are odd on purpose; two replicas with their own scalars. */
#include "tests/kernels/check.h"

enum { R = 2 };
#define TOL 1e-7 /* central differences in double: 1e-10 of curvature, 1e-11 of rounding, some slack */
static const real alpha[R] = {1.25, -0.75};

static k_ctx *context(void)
{
    k_ctx *c = NULL;
    err e = {0};
    cr_assert_eq(k_ops_cpu(CPU_GENERIC)->ctx_new(&c, 1 << 16, &e), ST_OK);
    return keep(c);
}
#define OPS k_ops_cpu(CPU_GENERIC)
#define OK(call) cr_assert_eq((call), ST_OK)

/* ---- embedding ---------------------------------------------------------------------------------- */
typedef struct embed { k_ctx *c; buf y, table, w; k_ids ids; k_rows s; } embed;
static double embed_loss(void *self)
{
    embed *t = self;
    OK(OPS->embed_fwd(t->c, act(&t->y), in(&t->table), t->ids, both(alpha), &t->s, NULL));
    return weighted(&t->y, &t->w);
}

Test(embed, values_and_gradient)
{
    enum { V = 11, C = 7, B = 3, T = 5, N = B * T };
    int32_t *id = ids_new(B * (T + 1), V, 1);
    embed t = {context(), buf_new(R, N * C, 1, 1), buf_new(R, V * C, 1, 2), buf_new(R, N * C, 1, 3),
               {id, 0, T + 1, T, 0}, {R, N, C, C}};
    embed_loss(&t);
    INTACT(t.y);
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < N; i++)
            for (size_t c = 0; c < C; c++)
                cr_assert_eq(t.y.p[r * t.y.stride + i * C + c],
                             alpha[r] * t.table.p[r * t.table.stride + (size_t)id[i / T * (T + 1) + i % T] * C + c]);
    buf g = buf_new(R, V * C, 0, 0);
    OK(OPS->embed_bwd(t.c, arr(&g), cact(&t.w), t.ids, both(alpha), &t.s, NULL));
    INTACT(g);
    cr_expect_lt(grad_error(embed_loss, &t, &t.table, &g), TOL);
    for (size_t c = 0; c < C; c++) g.p[(size_t)id[0] * C + c] += (real)0.01; /* negative twin */
    cr_expect_gt(grad_error(embed_loss, &t, &t.table, &g), TOL);
}

/* ---- matmul ------------------------------------------------------------------------------------- */
typedef struct mat { k_ctx *c; buf y, x, w, dy; k_mm s; } mat;
static double mat_loss(void *self)
{
    mat *t = self;
    OK(OPS->matmul_fwd(t->c, act(&t->y), cact(&t->x), (k_weight){.w = in(&t->w)}, both(alpha), false, &t->s, NULL));
    return weighted(&t->y, &t->dy);
}

Test(matmul, values_and_gradients)
{
    enum { N = 9, I = 7, O = 13 };
    mat t = {context(),
             buf_new(R, N * O, 1, 1),
             buf_new(R, N * I, 1, 2),
             buf_new(R, O * I, 1, 3),
             buf_new(R, N * O, 1, 4),
             {R, N, I, O, I, O}};
    mat_loss(&t);
    INTACT(t.y);
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < N; i++)
            for (size_t o = 0; o < O; o++) {
                double sum = 0;
                for (size_t c = 0; c < I; c++)
                    sum += t.x.p[r * t.x.stride + i * I + c] * t.w.p[r * t.w.stride + o * I + c];
                cr_assert_float_eq(t.y.p[r * t.y.stride + i * O + o], alpha[r] * sum, 1e-12);
            }
    buf dx = buf_new(R, N * I, 1, 5), dw = buf_new(R, O * I, 0, 0), before = buf_copy(&dx);
    OK(OPS->matmul_dgrad(t.c, act(&dx), cact(&t.dy), (k_weight){.w = in(&t.w)}, both(alpha), true, &t.s, NULL));
    for (size_t i = 0; i < R * dx.stride; i++) dx.p[i] -= before.p[i]; /* `acc` adds to what was there */
    cr_expect_lt(grad_error(mat_loss, &t, &t.x, &dx), TOL);
    OK(OPS->matmul_wgrad(t.c, arr(&dw), cact(&t.dy), cact(&t.x), both(alpha), true, &t.s, NULL));
    INTACT(dw);
    cr_expect_lt(grad_error(mat_loss, &t, &t.w, &dw), TOL);
    dw.p[0] += (real)0.01; /* negative twin */
    cr_expect_gt(grad_error(mat_loss, &t, &t.w, &dw), TOL);
}

/* ---- RMSNorm, gain, QK-norm ---------------------------------------------------------------------- */
typedef struct nrm { k_ctx *c; buf y, rstd, x, gain, dy; k_norm s; bool gained; buf z; } nrm;
static double nrm_loss(void *self)
{
    nrm *t = self;
    OK(OPS->rmsnorm_fwd(t->c, act(&t->y), arr(&t->rstd), cact(&t->x), &t->s, NULL));
    if (!t->gained) return weighted(&t->y, &t->dy);
    OK(OPS->gain_fwd(t->c, act(&t->z), cact(&t->y), in(&t->gain), &t->s, NULL));
    return weighted(&t->z, &t->dy);
}

Test(rmsnorm, values_and_gradients)
{
    enum { N = 5, C = 19 };
    nrm t = {context(), buf_new(R, N * C, 1, 1), buf_new(R, N, 1, 2), buf_new(R, N * C, 2, 3), buf_new(R, C, 1, 4),
             buf_new(R, N * C, 1, 5), {R, N, C, 1e-3}, false, buf_new(R, N * C, 1, 6)};
    nrm_loss(&t);
    INTACT(t.y);
    INTACT(t.rstd);
    for (size_t i = 0; i < N; i++) { /* the rows have mean square 1 - eps * rstd^2 */
        double ms = 0;
        const double k = t.rstd.p[i];
        for (size_t c = 0; c < C; c++) ms += pow(t.y.p[i * C + c], 2) / C;
        cr_expect_float_eq(ms, 1 - 1e-3 * k * k, 1e-12);
    }
    buf dx = buf_new(R, N * C, 1, 7), before = buf_copy(&dx), dgain = buf_new(R, C, 0, 0), dz = buf_new(R, N * C, 0, 0);
    OK(OPS->rmsnorm_bwd(t.c, act(&dx), cact(&t.dy), cact(&t.y), in(&t.rstd), true, &t.s, NULL));
    for (size_t i = 0; i < R * dx.stride; i++) dx.p[i] -= before.p[i];
    cr_expect_lt(grad_error(nrm_loss, &t, &t.x, &dx), TOL);
    t.gained = true;
    cr_expect_gt(grad_error(nrm_loss, &t, &t.x, &dx), TOL, "negative twin: without the gain it is another function");
    nrm_loss(&t);
    OK(OPS->gain_bwd(t.c, act(&dz), arr(&dgain), cact(&t.dy), cact(&t.y), in(&t.gain), &t.s, NULL));
    INTACT(dgain);
    cr_expect_lt(grad_error(nrm_loss, &t, &t.gain, &dgain), TOL);
    nrm_loss(&t);
    OK(OPS->rmsnorm_bwd(t.c, act(&dx), cact(&dz), cact(&t.y), in(&t.rstd), false, &t.s, NULL));
    cr_expect_lt(grad_error(nrm_loss, &t, &t.x, &dx), TOL);
}

/* QK-norm then RoPE, as the model runs them; the backward pass is given y after RoPE. */
typedef struct rot { k_ctx *c; buf x, y, rstd, dy, table; k_heads s; bool norm; } rot;
static double rot_loss(void *self)
{
    rot *t = self;
    memcpy(t->y.p, t->x.p, R * t->x.stride * sizeof(real));
    if (t->norm) OK(OPS->qknorm_fwd(t->c, act(&t->y), arr(&t->rstd), 1e-4, &t->s, NULL));
    OK(OPS->rope_fwd(t->c, act(&t->y), (k_in){t->table.p, 0}, &t->s, NULL));
    return weighted(&t->y, &t->dy);
}

Test(rope, qknorm_values_and_gradients)
{
    enum { B = 2, T = 5, H = 3, D = 6, LD = H * D + 5, N = B * T };
    void k_rope_table(real *, size_t, size_t, double);
    rot t = {context(),
             buf_new(R, N * LD, 1, 1),
             buf_new(R, N * LD, 1, 2),
             buf_new(R, N * H, 1, 3),
             buf_new(R, N * LD, 1, 4),
             buf_new(1, T * D, 1, 5),
             {R, B, T, H, D, LD},
             false};
    k_rope_table(t.table.p, T, D, 100);
    for (int norm = 0; norm < 2; norm++) {
        t.norm = norm;
        rot_loss(&t);
        INTACT(t.y);
        INTACT(t.rstd);
        for (size_t i = 0; i < N * LD; i++) /* columns outside the heads stay */
            if (i % LD >= H * D) cr_assert_eq(t.y.p[i], t.x.p[i]);
        if (!norm) { /* a complex number times e^(i t theta^(-2c/D)) */
            const size_t tt = 3, c = 1, at = tt * LD + D + c;
            const double w = 3 * pow(100, -2.0 / D), a = t.x.p[at], b = t.x.p[at + D / 2];
            cr_expect_float_eq(t.y.p[at], a * cos(w) - b * sin(w), 1e-12);
            cr_expect_float_eq(t.y.p[at + D / 2], b * cos(w) + a * sin(w), 1e-12);
        }
        buf dx = buf_copy(&t.dy);
        if (norm) OK(OPS->qknorm_bwd(t.c, act(&dx), cact(&t.y), in(&t.rstd), &t.s, NULL));
        OK(OPS->rope_bwd(t.c, act(&dx), (k_in){t.table.p, 0}, &t.s, NULL));
        INTACT(dx);
        cr_expect_lt(grad_error(rot_loss, &t, &t.x, &dx), TOL);
        OK(OPS->rope_fwd(t.c, act(&dx), (k_in){t.table.p, 0}, &t.s, NULL));
        cr_expect_gt(grad_error(rot_loss, &t, &t.x, &dx), TOL, "negative twin: rotated the wrong way");
    }
}

/* ---- attention ----------------------------------------------------------------------------------- */
typedef struct att { k_ctx *c; buf qkv, o, lse, dout; k_attn s; size_t K, W; real scale[R]; } att;
static double att_loss(void *self)
{
    att *t = self;
    const k_cact q = cact(&t->qkv);
    OK(OPS->attn_fwd(t->c, act(&t->o), arr(&t->lse), q, cat(q, t->K), cat(q, t->W), both(t->scale), &t->s, NULL));
    return weighted(&t->o, &t->dout);
}

Test(attention, values_and_gradients)
{
    enum { B = 2, T = 7, H = 4, G = 2, D = 3, LD = (H + 2 * G) * D, N = B * T, LDO = H * D };
    att t = {context(),
             buf_new(R, N * LD, 1, 1),
             buf_new(R, N * LDO, 1, 2),
             buf_new(R, N * H, 1, 3),
             buf_new(R, N * LDO, 1, 4),
             {K_ATTN_CAUSAL, R, B, T, H, G, D, LD, LDO},
             H * D,
             (H + G) * D,
             {0.7, 1.3}};
    att_loss(&t);
    INTACT(t.o);
    INTACT(t.lse);
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < N; i++)
            for (size_t h = 0; h < H; h++) { /* softmax over the whole row with a mask, without the maximum trick */
                const real *x = t.qkv.p + r * t.qkv.stride;
                const size_t b = i / T, kv = h / (H / G) * D;
                double z = 0, o[D] = {0};
                for (size_t j = 0; j < T; j++) {
                    double s = 0;
                    for (size_t c = 0; c < D; c++) s += x[i * LD + h * D + c] * x[(b * T + j) * LD + t.K + kv + c];
                    const double p = j <= i % T ? exp(t.scale[r] * s) : 0;
                    z += p;
                    for (size_t c = 0; c < D; c++) o[c] += p * x[(b * T + j) * LD + t.W + kv + c];
                }
                cr_assert_float_eq(t.lse.p[r * t.lse.stride + (b * H + h) * T + i % T], log(z), 1e-12);
                for (size_t c = 0; c < D; c++)
                    cr_assert_float_eq(t.o.p[r * t.o.stride + i * LDO + h * D + c], o[c] / z, 1e-12);
            }
    buf d = buf_new(R, N * LD, 1, 5);
    const k_act g = act(&d);
    const k_cact q = cact(&t.qkv);
    OK(OPS->attn_bwd(t.c, g, at(g, t.K), at(g, t.W), cact(&t.dout), q, cat(q, t.K), cat(q, t.W), cact(&t.o),
                     in(&t.lse), both(t.scale), &t.s, NULL));
    INTACT(d);
    cr_expect_lt(grad_error(att_loss, &t, &t.qkv, &d), TOL);
    d.p[t.K] += (real)0.01;
    t.qkv.len = t.K + 1;
    t.qkv.R = 1;
    cr_expect_gt(grad_error(att_loss, &t, &t.qkv, &d), TOL, "negative twin");
}

/* ---- activations --------------------------------------------------------------------------------- */
typedef struct actv { k_ctx *c; buf u, y, coef, dy; k_rows s; bool swiglu; } actv;
static double actv_loss(void *self)
{
    actv *t = self;
    memcpy(t->coef.p, t->u.p, R * t->u.stride * sizeof(real));
    OK((t->swiglu ? OPS->swiglu_fwd : OPS->gelu_fwd)(t->c, act(&t->y), act(&t->coef), &t->s, NULL));
    return weighted(&t->y, &t->dy);
}

Test(activation, gelu_and_swiglu)
{
    enum { N = 5, C = 11 };
    for (int sw = 0; sw < 2; sw++) {
        const size_t wide = sw ? 2 * C : C;
        actv t = {context(),
                  buf_new(R, N * wide, 2, 1),
                  buf_new(R, N * C, 1, 2),
                  buf_new(R, N * wide, 1, 3),
                  buf_new(R, N * C, 1, 4),
                  {R, N, C, C},
                  sw};
        actv_loss(&t);
        INTACT(t.y);
        INTACT(t.coef);
        for (size_t i = 0; i < N * C; i++) {
            const size_t row = i / C, c = i % C;
            const double x = t.u.p[row * wide + c], g = sw ? t.u.p[row * wide + C + c] : 0;
            const double want =
                sw ? x * g / (1 + exp(-g)) : 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
            cr_assert_float_eq(t.y.p[i], want, 1e-12);
        }
        buf du = buf_new(R, N * wide, 1, 5);
        OK((sw ? OPS->swiglu_bwd : OPS->gelu_bwd)(t.c, act(&du), cact(&t.dy), cact(&t.coef), &t.s, NULL));
        INTACT(du);
        cr_expect_lt(grad_error(actv_loss, &t, &t.u, &du), TOL);
        du.p[0] += (real)0.01;
        cr_expect_gt(grad_error(actv_loss, &t, &t.u, &du), TOL, "negative twin");
    }
}

/* ---- softmax cross-entropy ------------------------------------------------------------------------ */
typedef struct xen { k_ctx *c; buf logits, work; k_ids ids; k_rows s; double loss[R * 16]; } xen;
static double xen_loss(void *self)
{
    xen *t = self;
    memcpy(t->work.p, t->logits.p, R * t->logits.stride * sizeof(real));
    OK(OPS->xent(t->c, t->loss, 16, act(&t->work), t->ids, 0, &t->s, NULL));
    double sum = 0;
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < t->s.n; i++) sum += 0.3 * t->loss[r * 16 + i];
    return sum;
}

Test(xent, values_and_gradient)
{
    enum { N = 6, V = 13, LD = 17, T = 4 };
    int32_t *id = ids_new(3 * (T + 1), V, 2);
    xen t = {context(), buf_new(R, N * LD, 3, 1), buf_new(R, N * LD, 1, 2), {id + 1, 0, T + 1, T, 2}, {R, N, V, LD},
             {0}};
    xen_loss(&t);
    INTACT(t.work);
    cr_expect_arr_eq(t.work.p, t.logits.p, R * t.logits.stride * sizeof(real), "evaluation leaves the logits");
    for (size_t i = 0; i < N; i++) {
        double z = 0;
        for (size_t c = 0; c < V; c++) z += exp(t.logits.p[i * LD + c]);
        const int32_t target = id[1 + (2 + i) / T * (T + 1) + (2 + i) % T];
        cr_assert_float_eq(t.loss[i], log(z) - t.logits.p[i * LD + (size_t)target], 1e-12);
    }
    buf g = buf_copy(&t.logits);
    double loss[R * 16];
    OK(OPS->xent(t.c, loss, 16, act(&g), t.ids, 0.3, &t.s, NULL));
    INTACT(g);
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < N; i++)
            for (size_t c = V; c < LD; c++) {
                cr_assert_eq(g.p[r * g.stride + i * LD + c], t.logits.p[r * g.stride + i * LD + c], "beyond V");
                g.p[r * g.stride + i * LD + c] = 0;
            }
    cr_expect_lt(grad_error(xen_loss, &t, &t.logits, &g), TOL);
    g.p[0] += (real)0.01;
    cr_expect_gt(grad_error(xen_loss, &t, &t.logits, &g), TOL, "negative twin");
    t.logits.p[3] = (real)NAN;
    xen_loss(&t);
    cr_expect(isnan(t.loss[0]), "NaN stays visible");
    t.logits.p[3] = (real)INFINITY;
    xen_loss(&t);
    cr_expect_not(isfinite(t.loss[0]));
}

/* ---- AdamW, norm ----------------------------------------------------------------------------------- */
#include "kernels/adamw.h"

Test(adamw, formula_and_both_decays)
{
    enum { N = 21 };
    for (int coupled = 0; coupled < 2; coupled++) {
        buf p = buf_new(R, N, 1, 1), m = buf_new(R, N, 0.1, 2), v = buf_new(R, N, 0.1, 3), g = buf_new(R, N, 1, 4);
        for (size_t i = 0; i < R * v.stride; i++) v.p[i] = v.p[i] == v.p[N] ? v.p[i] : v.p[i] * v.p[i];
        buf p0 = buf_copy(&p), m0 = buf_copy(&m), v0 = buf_copy(&v);
        k_adam h[R];
        for (size_t r = 0; r < R; r++)
            h[r] = k_adam_set(&(k_adam_in){.s = 0.5,
                                           .lr = 0.01 + 0.02 * (double)r,
                                           .lambda = 0.3,
                                           .eps = 1e-3,
                                           .beta1 = 0.9,
                                           .beta2 = 0.95,
                                           .grad_scale = 0.7,
                                           .step = 3,
                                           .coupled = coupled});
        OK(OPS->adamw(NULL, arr(&p), arr(&m), arr(&v), in(&g), h, R, N, NULL));
        INTACT(p);
        INTACT(m);
        INTACT(v);
        for (size_t r = 0; r < R; r++)
            for (size_t i = 0; i < N; i++) {
                const size_t at = r * p.stride + i;
                const double d = 0.7 * g.p[at], LR = 0.01 + 0.02 * (double)r;
                const double m1 = 0.9 * m0.p[at] + 0.1 * d, v1 = 0.95 * v0.p[at] + 0.05 * d * d;
                const double adam = m1 / (1 - 0.9 * 0.9 * 0.9) / (sqrt(v1 / (1 - 0.95 * 0.95 * 0.95)) + 1e-3);
                const double keep = coupled ? 1 - 0.5 * LR * 0.3 : 1 - 0.3 * 0.5;
                cr_assert_float_eq(m.p[at], m1, 1e-13);
                cr_assert_float_eq(v.p[at], v1, 1e-13);
                cr_assert_float_eq(p.p[at], keep * p0.p[at] - 0.5 * LR * adam, 1e-12);
            }
    }
}

Test(vector, norm_add_zero)
{
    enum { N = 29 };
    buf x = buf_new(R, N, 1, 1), y = buf_new(R, N, 1, 2), y0 = buf_copy(&y);
    double s[R];
    OK(OPS->sumsq(NULL, s, in(&x), R, N, NULL));
    for (size_t r = 0; r < R; r++) {
        double want = 0;
        for (size_t i = 0; i < N; i++) want += x.p[r * x.stride + i] * x.p[r * x.stride + i];
        cr_expect_float_eq(s[r], want, 1e-12);
    }
    OK(OPS->add(NULL, arr(&y), in(&x), R, N, NULL));
    INTACT(y);
    cr_expect_eq(y.p[y.stride + 28], y0.p[y.stride + 28] + x.p[x.stride + 28]);
    OK(OPS->zero(NULL, arr(&y), R, N, NULL));
    INTACT(y);
    cr_expect_eq(y.p[28], 0);
    x.p[5] = (real)NAN;
    OK(OPS->sumsq(NULL, s, in(&x), R, N, NULL));
    cr_expect(isnan(s[0]) && !isnan(s[1]));
}
