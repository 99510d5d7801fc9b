/* Every level this processor has against the definitions: awkward sizes, guard words, NaN. Fused slots against what
 * they replace. */
#include "kernels/adamw.h"
#include "kernels/blas.h"
#include "kernels/rope.h"
#include "tests/kernels/check.h"

enum { R = 2 };
#define TOL 2e-5 /* largest error over the result's rms; float sums of a few hundred terms */
static const real alpha[R] = {1.25f, -0.75f};
static const k_ops *def(void) { return k_ops_cpu(CPU_GENERIC); }

static k_ctx *context(const k_ops *ops)
{
    k_ctx *c = NULL;
    cr_assert_eq(ops->ctx_new(&c, 1 << 21, NULL), ST_OK);
    return keep(c);
}
#define OK(call) cr_assert_eq((call), ST_OK)
#define CLOSE(a, b, what, ...) \
    do { \
        INTACT(a); \
        const double bad = worst(&(a), &(b)); \
        cr_expect_lt(bad, TOL, "%s " what ": off by %g", ops->level, __VA_ARGS__, bad); \
    } while (0)

typedef void (*check_fn)(const k_ops *ops);
static void each_level(check_fn f)
{
    int n = 0;
    for (cpu_level l = CPU_V2; l <= cpu_level_detect(); l++)
        if (k_ops_cpu(l)) {
            f(k_ops_cpu(l));
            n++;
        }
    if (!n) cr_skip("no level above the definitions");
}

/* n, in, out: tiles of 4, 6, 8 rows and 8, 16, 32 columns with every kind of edge; depth above one block. */
static const size_t mm_sizes[][3] = {{1, 1, 1},    {8, 16, 32},   {12, 32, 48},  {7, 5, 3},   {9, 33, 31},
                                     {24, 64, 64}, {13, 300, 70}, {130, 17, 65}, {5, 70, 523}};

static void matmuls(const k_ops *ops)
{
    k_ctx *c = context(ops);
    for (size_t z = 0; z < sizeof mm_sizes / sizeof *mm_sizes; z++)
        for (size_t extra = 0; extra < 8; extra += 7) {
            const size_t n = mm_sizes[z][0], i = mm_sizes[z][1], o = mm_sizes[z][2], ldx = i + extra, ldy = o + extra;
            const k_mm s = {R, n, i, o, ldx, ldy};
            buf x = buf_new(R, n * ldx, 1, 1), w = buf_new(R, o * i, 1, 2), dy = buf_new(R, n * ldy, 1, 3);
            buf pk = buf_new(R, ops->pack_len(o, i), 0, 0);
            OK(ops->pack(c, arr(&pk), in(&w), R, o, i, NULL));
            INTACT(pk);
            const k_weight raw = {.w = in(&w)}, packed = {in(&w), in(&pk)};
            for (int acc = 0; acc < 2; acc++) {
                buf y = buf_new(R, n * ldy, 1, 4), y0 = buf_copy(&y), dx = buf_new(R, n * ldx, 1, 5),
                    dx0 = buf_copy(&dx);
                OK(ops->matmul_fwd(c, act(&y), cact(&x), packed, both(alpha), acc, &s, NULL));
                OK(def()->matmul_fwd(c, act(&y0), cact(&x), raw, both(alpha), acc, &s, NULL));
                CLOSE(y, y0, "fwd n%zu in%zu out%zu", n, i, o);
                OK(ops->matmul_dgrad(c, act(&dx), cact(&dy), packed, both(alpha), acc, &s, NULL));
                OK(def()->matmul_dgrad(c, act(&dx0), cact(&dy), raw, both(alpha), acc, &s, NULL));
                CLOSE(dx, dx0, "dgrad n%zu in%zu out%zu", n, i, o);
                buf_free(&y), buf_free(&y0), buf_free(&dx), buf_free(&dx0);
            }
            buf dw = buf_new(R, o * i, 1, 6), dw0 = buf_copy(&dw);
            OK(ops->matmul_wgrad(c, arr(&dw), cact(&dy), cact(&x), both(alpha), true, &s, NULL));
            OK(def()->matmul_wgrad(c, arr(&dw0), cact(&dy), cact(&x), both(alpha), true, &s, NULL));
            CLOSE(dw, dw0, "wgrad n%zu in%zu out%zu", n, i, o);
            OK(ops->matmul_wgrad(c, arr(&dw), cact(&dy), cact(&x), both(alpha), false, &s, NULL));
            OK(def()->matmul_wgrad(c, arr(&dw0), cact(&dy), cact(&x), both(alpha), false, &s, NULL));
            CLOSE(dw, dw0, "wgrad n%zu in%zu out%zu, written", n, i, o);
            /* gaps between the columns must stay: rows of y beyond `out` belong to others */
            buf g = buf_new(R, n * ldy, 1, 7), k = buf_copy(&g), g0 = buf_copy(&g), k0 = buf_copy(&g);
            OK(ops->matmul_gelu_fwd(c, act(&g), act(&k), cact(&x), packed, both(alpha), &s, NULL));
            OK(def()->matmul_fwd(c, act(&k0), cact(&x), raw, both(alpha), false, &s, NULL));
            const k_rows rows = {R, n, o, ldy};
            OK(def()->gelu_fwd(c, act(&g0), act(&k0), &rows, NULL));
            CLOSE(g, g0, "gelu_fwd n%zu in%zu out%zu", n, i, o);
            CLOSE(k, k0, "gelu_fwd slope n%zu in%zu out%zu", n, i, o);
            buf f = buf_new(R, n * ldx, 1, 8), m = buf_new(R, n * ldx, 1, 9), m0 = buf_copy(&m), m1 = buf_copy(&m);
            OK(ops->matmul_dgrad_mul(c, act(&m), cact(&dy), packed, cact(&f), both(alpha), &s, NULL));
            OK(def()->matmul_dgrad(c, act(&m0), cact(&dy), raw, both(alpha), false, &s, NULL));
            const k_rows irows = {R, n, i, ldx};
            OK(def()->gelu_bwd(c, act(&m1), cact(&m0), cact(&f), &irows, NULL));
            CLOSE(m, m1, "dgrad_mul n%zu in%zu out%zu", n, i, o);
            buf_free(&x), buf_free(&w), buf_free(&dy), buf_free(&pk), buf_free(&dw), buf_free(&dw0), buf_free(&g),
                buf_free(&k);
            buf_free(&g0), buf_free(&k0), buf_free(&f), buf_free(&m), buf_free(&m0), buf_free(&m1);
        }
}
Test(levels, matmul) { each_level(matmuls); }

/* Residual identity, independent of any second gemm: (x W^T) t = x (W^T t). */
static void residual(const k_ops *ops)
{
    enum { N = 70, I = 90, O = 45 };
    k_ctx *c = context(ops);
    const k_mm s = {1, N, I, O, I, O};
    buf x = buf_new(1, N * I, 1, 1), w = buf_new(1, O * I, 1, 2), y = buf_new(1, N * O, 1, 3), t = buf_new(1, O, 1, 4);
    buf pk = buf_new(1, ops->pack_len(O, I), 0, 0);
    OK(ops->pack(c, arr(&pk), in(&w), 1, O, I, NULL));
    OK(ops->matmul_fwd(c, act(&y), cact(&x), (k_weight){in(&w), in(&pk)}, (k_mult){0}, false, &s, NULL));
    double bad = 0;
    for (size_t i = 0; i < N; i++) {
        double a = 0, b = 0;
        for (size_t o = 0; o < O; o++) a += (double)y.p[i * O + o] * (double)t.p[o];
        for (size_t k = 0; k < I; k++) {
            double wt = 0;
            for (size_t o = 0; o < O; o++) wt += (double)w.p[o * I + k] * (double)t.p[o];
            b += (double)x.p[i * I + k] * wt;
        }
        bad = fmax(bad, fabs(a - b));
    }
    cr_expect_lt(bad, 1e-3, "%s: residual %g", ops->level, bad);
    y.p[77] += 1; /* negative twin */
    double a = 0, b = 0;
    for (size_t o = 0; o < O; o++) a += (double)y.p[1 * O + o] * (double)t.p[o];
    for (size_t k = 0; k < I; k++)
        for (size_t o = 0; o < O; o++) b += (double)x.p[I + k] * (double)w.p[o * I + k] * (double)t.p[o];
    cr_expect_gt(fabs(a - b), 1e-3);
}
Test(levels, residual) { each_level(residual); }

static const size_t attn_sizes[][5] = {/* B, T, heads, kv heads, head_dim */
                                       {1, 1, 1, 1, 2},   {2, 7, 2, 1, 8},    {1, 16, 2, 2, 16},  {2, 33, 4, 2, 32},
                                       {1, 64, 1, 1, 64}, {1, 100, 3, 3, 40}, {1, 129, 2, 1, 32}, {1, 150, 1, 1, 48}};

static void attentions(const k_ops *ops)
{
    for (size_t z = 0; z < sizeof attn_sizes / sizeof *attn_sizes; z++) {
        const size_t B = attn_sizes[z][0], T = attn_sizes[z][1], H = attn_sizes[z][2], G = attn_sizes[z][3],
                     D = attn_sizes[z][4];
        const size_t K = H * D, W = (H + G) * D, LD = (H + 2 * G) * D + 3, LDO = H * D + 1, n = B * T;
        const k_attn s = {K_ATTN_CAUSAL, R, B, T, H, G, D, LD, LDO};
        const real scale[R] = {0.3f, 0.7f};
        k_ctx *c = NULL;
        cr_assert_eq(ops->ctx_new(&c, ops->attn_scratch(&s), NULL), ST_OK);
        keep(c);
        buf x = buf_new(R, n * LD, 1, 1), g = buf_new(R, n * LDO, 1, 2);
        buf o = buf_new(R, n * LDO, 1, 3), o0 = buf_copy(&o), l = buf_new(R, n * H, 1, 4), l0 = buf_copy(&l),
            d = buf_new(R, n * LD, 1, 5), d0 = buf_copy(&d);
        const k_cact q = cact(&x), k = cat(q, K), v = cat(q, W);
        OK(ops->attn_fwd(c, act(&o), arr(&l), q, k, v, both(scale), &s, NULL));
        OK(ops->attn_bwd(c, act(&d), at(act(&d), K), at(act(&d), W), cact(&g), q, k, v, cact(&o), in(&l), both(scale), &s,
                         NULL));
        k_ctx *c0 = context(def());
        OK(def()->attn_fwd(c0, act(&o0), arr(&l0), q, k, v, both(scale), &s, NULL));
        OK(def()->attn_bwd(c0, act(&d0), at(act(&d0), K), at(act(&d0), W), cact(&g), q, k, v, cact(&o0), in(&l0),
                           both(scale), &s, NULL));
        CLOSE(o, o0, "attention T%zu D%zu", T, D);
        CLOSE(l, l0, "attention lse T%zu D%zu", T, D);
        CLOSE(d, d0, "attention backward T%zu D%zu", T, D);
        if (T > 2) { /* a NaN in key 1 reaches row 1 and later rows, never row 0 */
            x.p[LD + K] = NAN;
            OK(ops->attn_fwd(c, act(&o), arr(&l), q, k, v, both(scale), &s, NULL));
            cr_expect(isfinite(o.p[0]) && isnan(o.p[LDO]) && isnan(o.p[(T - 1) * LDO]),
                      "%s: NaN is lost or spreads back", ops->level);
        }
        buf_free(&x), buf_free(&g), buf_free(&o), buf_free(&o0), buf_free(&l), buf_free(&l0), buf_free(&d),
            buf_free(&d0);
    }
}
Test(levels, attention) { each_level(attentions); }

static void rowwise(const k_ops *ops)
{
    static const size_t widths[] = {1, 7, 16, 24, 33, 64, 100};
    k_ctx *c = context(ops);
    for (size_t z = 0; z < sizeof widths / sizeof *widths; z++) {
        enum { N = 5 };
        const size_t C = widths[z];
        const k_norm s = {R, N, C, 1e-6};
        buf x = buf_new(R, N * C, 2, 1), g = buf_new(R, N * C, 1, 2), y = buf_new(R, N * C, 1, 3), y0 = buf_copy(&y),
            k = buf_new(R, N, 1, 4), k0 = buf_copy(&k);
        OK(ops->rmsnorm_fwd(c, act(&y), arr(&k), cact(&x), &s, NULL));
        OK(def()->rmsnorm_fwd(c, act(&y0), arr(&k0), cact(&x), &s, NULL));
        CLOSE(y, y0, "rmsnorm %zu", C);
        CLOSE(k, k0, "rstd %zu", C);
        for (int acc = 0; acc < 2; acc++) {
            buf d = buf_new(R, N * C, 1, 5), d0 = buf_copy(&d);
            OK(ops->rmsnorm_bwd(c, act(&d), cact(&g), cact(&y0), in(&k0), acc, &s, NULL));
            OK(def()->rmsnorm_bwd(c, act(&d0), cact(&g), cact(&y0), in(&k0), acc, &s, NULL));
            if (C > 1) CLOSE(d, d0, "rmsnorm backward %zu", C); /* C = 1: the gradient is rounding noise */
            buf_free(&d), buf_free(&d0);
        }
        const k_rows rows = {R, N, C, C};
        buf u = buf_new(R, N * C, 3, 6), u0 = buf_copy(&u), v = buf_new(R, N * 2 * C, 3, 7), v0 = buf_copy(&v);
        OK(ops->gelu_fwd(c, act(&y), act(&u), &rows, NULL));
        OK(def()->gelu_fwd(c, act(&y0), act(&u0), &rows, NULL));
        CLOSE(y, y0, "gelu %zu", C);
        CLOSE(u, u0, "gelu slope %zu", C);
        OK(ops->gelu_bwd(c, act(&u), cact(&g), cact(&u0), &rows, NULL));
        OK(def()->gelu_bwd(c, act(&u0), cact(&g), cact(&u0), &rows, NULL));
        CLOSE(u, u0, "gelu backward %zu", C);
        OK(ops->swiglu_fwd(c, act(&y), act(&v), &rows, NULL));
        OK(def()->swiglu_fwd(c, act(&y0), act(&v0), &rows, NULL));
        CLOSE(y, y0, "swiglu %zu", C);
        CLOSE(v, v0, "swiglu slopes %zu", C);
        OK(ops->swiglu_bwd(c, act(&v), cact(&g), cact(&v0), &rows, NULL));
        OK(def()->swiglu_bwd(c, act(&v0), cact(&g), cact(&v0), &rows, NULL));
        CLOSE(v, v0, "swiglu backward %zu", C);
        buf_free(&x), buf_free(&g), buf_free(&y), buf_free(&y0), buf_free(&k), buf_free(&k0), buf_free(&u),
            buf_free(&u0), buf_free(&v), buf_free(&v0);
    }
}
Test(levels, norms_and_activations) { each_level(rowwise); }

static void losses(const k_ops *ops)
{
    static const size_t vocabs[] = {2, 15, 64, 257, 1003};
    k_ctx *c = context(ops);
    for (size_t z = 0; z < sizeof vocabs / sizeof *vocabs; z++) {
        enum { N = 6, T = 4 };
        const size_t V = vocabs[z], LD = V + 2;
        const k_rows s = {R, N, V, LD};
        int32_t *id = ids_new(3 * (T + 1), V, 2);
        const k_ids ids = {id, 0, T + 1, T, 1};
        for (int grad = 0; grad < 2; grad++) {
            buf x = buf_new(R, N * LD, 4, 1), x0 = buf_copy(&x);
            double loss[R * N], loss0[R * N];
            OK(ops->xent(c, loss, N, act(&x), ids, grad ? 0.25 : 0, &s, NULL));
            OK(def()->xent(c, loss0, N, act(&x0), ids, grad ? 0.25 : 0, &s, NULL));
            CLOSE(x, x0, "xent %zu", V);
            for (size_t i = 0; i < R * N; i++)
                cr_expect_float_eq(loss[i], loss0[i], 1e-5 * (1 + fabs(loss0[i])), "%s: loss %zu", ops->level, i);
            x.p[1] = NAN;
            x.p[LD + 1] = INFINITY;
            OK(ops->xent(c, loss, N, act(&x), ids, 0, &s, NULL));
            cr_expect_not(isfinite(loss[0]), "%s: NaN logit is lost", ops->level);
            cr_expect_not(isfinite(loss[1]), "%s: inf logit is lost", ops->level);
            cr_expect(isfinite(loss[2]));
            buf_free(&x), buf_free(&x0);
        }
        buf t = buf_new(R, V * 5, 1, 3), y = buf_new(R, N * 7, 1, 4), y0 = buf_copy(&y), t0 = buf_copy(&t);
        const k_rows es = {R, N, 5, 7};
        OK(ops->embed_fwd(c, act(&y), in(&t), ids, both(alpha), &es, NULL));
        OK(def()->embed_fwd(c, act(&y0), in(&t), ids, both(alpha), &es, NULL));
        CLOSE(y, y0, "embed %zu", V);
        OK(ops->embed_bwd(c, arr(&t), cact(&y0), ids, both(alpha), &es, NULL));
        OK(def()->embed_bwd(c, arr(&t0), cact(&y0), ids, both(alpha), &es, NULL));
        CLOSE(t, t0, "embed backward %zu", V);
    }
}
Test(levels, loss_and_embedding) { each_level(losses); }

static void flats(const k_ops *ops)
{
    static const size_t sizes[] = {1, 15, 64, 1001};
    k_ctx *c = context(ops);
    for (size_t z = 0; z < sizeof sizes / sizeof *sizes; z++) {
        const size_t n = sizes[z];
        buf p = buf_new(R, n, 1, 1), m = buf_new(R, n, 0.1, 2), v = buf_new(R, n, 0, 3), g = buf_new(R, n, 1, 4);
        for (size_t i = 0; i < n; i++) v.p[i] = v.p[v.stride + i] = 0.01f * (float)(i % 13 + 1);
        buf p0 = buf_copy(&p), m0 = buf_copy(&m), v0 = buf_copy(&v);
        const k_adam_in a = {.s = 0.5,
                             .lr = 0.02,
                             .lambda = 0.1,
                             .eps = 1e-8,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .grad_scale = 0.7,
                             .step = 3};
        const k_adam h[R] = {k_adam_set(&a), k_adam_set(&a)};
        OK(ops->adamw(c, arr(&p), arr(&m), arr(&v), in(&g), h, R, n, NULL));
        OK(def()->adamw(c, arr(&p0), arr(&m0), arr(&v0), in(&g), h, R, n, NULL));
        CLOSE(p, p0, "adamw p %zu", n);
        CLOSE(m, m0, "adamw m %zu", n);
        CLOSE(v, v0, "adamw v %zu", n);
        OK(ops->add(c, arr(&p), in(&g), R, n, NULL));
        OK(def()->add(c, arr(&p0), in(&g), R, n, NULL));
        CLOSE(p, p0, "add %zu", n);
        double s[R], s0[R];
        OK(ops->sumsq(c, s, in(&g), R, n, NULL));
        OK(def()->sumsq(c, s0, in(&g), R, n, NULL));
        cr_expect_float_eq(s[1], s0[1], 1e-9 * s0[1]);
        g.p[0] = NAN;
        OK(ops->sumsq(c, s, in(&g), R, n, NULL));
        cr_expect(isnan(s[0]));
    }
    static const size_t dims[] = {2, 6, 16, 32, 64, 80};
    for (size_t z = 0; z < sizeof dims / sizeof *dims; z++) {
        enum { B = 2, T = 5, H = 3 };
        const size_t D = dims[z], LD = H * D + 3;
        const k_heads s = {R, B, T, H, D, LD};
        buf table = buf_new(1, T * D, 1, 1), x = buf_new(R, B * T * LD, 1, 2), x0 = buf_copy(&x),
            k = buf_new(R, B * T * H, 1, 3), k0 = buf_copy(&k);
        k_rope_table(table.p, T, D, 100);
        OK(ops->rope_fwd(c, act(&x), (k_in){table.p, 0}, &s, NULL));
        OK(def()->rope_fwd(c, act(&x0), (k_in){table.p, 0}, &s, NULL));
        CLOSE(x, x0, "rope %zu", D);
        OK(ops->rope_bwd(c, act(&x), (k_in){table.p, 0}, &s, NULL));
        OK(def()->rope_bwd(c, act(&x0), (k_in){table.p, 0}, &s, NULL));
        CLOSE(x, x0, "rope backward %zu", D);
        OK(ops->qknorm_fwd(c, act(&x), arr(&k), 1e-6, &s, NULL));
        OK(def()->qknorm_fwd(c, act(&x0), arr(&k0), 1e-6, &s, NULL));
        CLOSE(x, x0, "qknorm %zu", D);
        buf d = buf_new(R, B * T * LD, 1, 4), d0 = buf_copy(&d);
        OK(ops->qknorm_bwd(c, act(&d), cact(&x0), in(&k0), &s, NULL));
        OK(def()->qknorm_bwd(c, act(&d0), cact(&x0), in(&k0), &s, NULL));
        if (D > 2) CLOSE(d, d0, "qknorm backward %zu", D);
    }
}
Test(levels, adamw_vectors_rope) { each_level(flats); }

Test(backend, by_name)
{
    const k_ops *ops = NULL;
    err e = {0};
    unsetenv("MUSCALE_CPU");
    cr_assert_eq(k_backend(&ops, "cpu", &e), ST_OK);
    cr_expect_str_eq(ops->name, "cpu");
    setenv("MUSCALE_CPU", "generic", 1);
    cr_assert_eq(k_backend(&ops, "cpu", &e), ST_OK);
    cr_expect_str_eq(ops->level, "generic");
    setenv("MUSCALE_CPU", "v9", 1);
    cr_expect_eq(k_backend(&ops, "cpu", &e), ST_INPUT);
    cr_expect(strstr(e.msg, "MUSCALE_CPU=v9"), "%s", e.msg);
    unsetenv("MUSCALE_CPU");
    cr_expect_eq(k_backend(&ops, "metal", &e), ST_DEVICE);
    cr_expect(k_blas_core_fits("SkylakeX", CPU_V4) && !k_blas_core_fits("Haswell", CPU_V4) &&
              k_blas_core_fits("Haswell", CPU_V3));
}
