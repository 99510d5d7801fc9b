/* Matrix products of the device's backends against the definition: sizes that no tile divides, row strides, adding to
 * what is there, factors; and a replica's bits alone and in a bank. */
#include <stdio.h>

#include "tests/kernels/gpu.h"

typedef struct size {
    size_t R, n, in, out, pad_x, pad_y;
} size;
static const size sizes[] = {
    {1, 1, 1, 1, 0, 0},      {2, 7, 5, 3, 0, 0},      {3, 33, 17, 65, 3, 5},  {7, 24, 32, 48, 0, 0},
    {2, 130, 72, 40, 8, 16}, {1, 64, 128, 256, 0, 1}, {2, 19, 257, 31, 1, 0}, {3, 128, 64, 64, 0, 128},
};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* The operands of one case, on the host and on the device; x and y with their rows' padding. */
typedef struct operands {
    k_mm s;
    buf x, y, w, dw;
    gbuf gx, gy, gw, gpacked, gdw;
} operands;

static operands make(gpu *g, const size *z, uint64_t seed)
{
    operands o = {.s = {z->R, z->n, z->in, z->out, z->in + z->pad_x, z->out + z->pad_y}};
    o.x = buf_new(z->R, z->n * o.s.ldx, 1, seed);
    o.y = buf_new(z->R, z->n * o.s.ldy, 1, seed + 1);
    o.w = buf_new(z->R, z->out * z->in, 0.7, seed + 2);
    o.dw = buf_new(z->R, z->out * z->in, 1, seed + 3);
    o.gx = gpu_act(g, &o.x);
    o.gy = gpu_act(g, &o.y);
    o.gpacked = gpu_act(g, &o.w); /* rounds w: what the bf16 backend multiplies by */
    o.gw = gpu_real(g, &o.w);
    o.gdw = gpu_real(g, &o.dw);
    return o;
}

static void drop(gpu *g, operands *o)
{
    gpu_release(g);
    buf_free(&o->x), buf_free(&o->y), buf_free(&o->w), buf_free(&o->dw);
}

static k_weight weight(const gpu *g, const operands *o)
{
    const k_in packed = {(const real *)(const void *)o->gpacked.p, o->gpacked.stride * o->gpacked.size / sizeof(real)};
    const k_in none = {0};
    return (k_weight){gin(&o->gw), g->half ? packed : none};
}

static k_weight plain(const operands *o)
{
    const k_in none = {0};
    return (k_weight){in(&o->w), none};
}

/* Three kinds of factor: none, one for all, one for each. */
enum { NONE, EQUAL, EACH, N_KINDS };
static const char *const kind_name[] = {"none", "equal", "each"};

static k_mult factors(gpu *g, int kind, size_t R, k_mult *host)
{
    real *a = keep(malloc(R * sizeof *a));
    for (size_t r = 0; r < R; r++) a[r] = (real)(kind == EACH ? 0.37 + 0.61 * (double)r : 1.75);
    *host = kind == NONE ? (k_mult){0} : both(a);
    return kind == NONE ? (k_mult){0} : gpu_mult(g, a, R);
}

static void fwd(gpu *g, const size *z, int kind, bool acc)
{
    operands o = make(g, z, 11);
    k_mult host, device = factors(g, kind, z->R, &host);
    GPU_OK(g, g->ops->matmul_fwd(g->ctx, gact(&o.gy), gcact(&o.gx), weight(g, &o), device, acc, &o.s, &g->e));
    cr_assert_eq(cpu()->matmul_fwd(NULL, act(&o.y), cact(&o.x), plain(&o), host, acc, &o.s, NULL), ST_OK);
    GPU_CLOSE(g, o.gy, o.y, 1, "fwd, R %zu n %zu in %zu out %zu, factors %s, acc %d", z->R, z->n, z->in, z->out,
              kind_name[kind], acc);
    if (g->ops->matmul_fwd_real && !acc) { /* the same rounded once less */
        gbuf wide = gpu_real(g, &o.y);
        GPU_OK(g, g->ops->matmul_fwd_real(g->ctx, garr(&wide), gcact(&o.gx), weight(g, &o), device, &o.s, &g->e));
        buf got = gpu_get(g, &wide);
        cr_expect_lt(gpu_off(&got, &o.y, false), 1, "fwd into real, R %zu n %zu in %zu out %zu, factors %s", z->R, z->n,
                     z->in, z->out, kind_name[kind]);
        buf_free(&got);
    }
    drop(g, &o);
}

static void dgrad(gpu *g, const size *z, int kind, bool acc)
{
    operands o = make(g, z, 23);
    k_mult host, device = factors(g, kind, z->R, &host);
    GPU_OK(g, g->ops->matmul_dgrad(g->ctx, gact(&o.gx), gcact(&o.gy), weight(g, &o), device, acc, &o.s, &g->e));
    cr_assert_eq(cpu()->matmul_dgrad(NULL, act(&o.x), cact(&o.y), plain(&o), host, acc, &o.s, NULL), ST_OK);
    GPU_CLOSE(g, o.gx, o.x, 1, "dgrad, R %zu n %zu in %zu out %zu, factors %s, acc %d", z->R, z->n, z->in, z->out,
              kind_name[kind], acc);
    drop(g, &o);
}

static void wgrad(gpu *g, const size *z, int kind)
{
    operands o = make(g, z, 37);
    k_mult host, device = factors(g, kind, z->R, &host);
    GPU_OK(g, g->ops->matmul_wgrad(g->ctx, garr(&o.gdw), gcact(&o.gy), gcact(&o.gx), device, true, &o.s, &g->e));
    cr_assert_eq(cpu()->matmul_wgrad(NULL, arr(&o.dw), cact(&o.y), cact(&o.x), host, true, &o.s, NULL), ST_OK);
    GPU_CLOSE(g, o.gdw, o.dw, 2, "wgrad, R %zu n %zu in %zu out %zu, factors %s", z->R, z->n, z->in, z->out,
              kind_name[kind]);
    GPU_OK(g, g->ops->matmul_wgrad(g->ctx, garr(&o.gdw), gcact(&o.gy), gcact(&o.gx), device, false, &o.s, &g->e));
    cr_assert_eq(cpu()->matmul_wgrad(NULL, arr(&o.dw), cact(&o.y), cact(&o.x), host, false, &o.s, NULL), ST_OK);
    GPU_CLOSE(g, o.gdw, o.dw, 2, "wgrad, written, R %zu n %zu in %zu out %zu, factors %s", z->R, z->n, z->in, z->out,
              kind_name[kind]);
    drop(g, &o);
}

static void products(gpu *g)
{
    for (size_t i = 0; i < N_SIZES; i++)
        for (int kind = 0; kind < N_KINDS; kind++) {
            for (int acc = 0; acc < 2; acc++) {
                fwd(g, &sizes[i], kind, acc);
                dgrad(g, &sizes[i], kind, acc);
            }
            wgrad(g, &sizes[i], kind);
        }
}
Test(cuda_matmul, products) { gpu_each(products, 0); }

/* One copy of x for all replicas (stride 0), as shared token batches give it. */
static void shared_input(gpu *g)
{
    const size z = {3, 20, 24, 16, 0, 0}, one = {1, 20, 24, 16, 0, 0};
    operands o = make(g, &z, 5), p = make(g, &one, 6);
    const k_mult no = {0};
    k_cact x = cact(&p.x), gx = gcact(&p.gx);
    x.stride = gx.stride = 0;
    GPU_OK(g, g->ops->matmul_fwd(g->ctx, gact(&o.gy), gx, weight(g, &o), no, false, &o.s, &g->e));
    cr_assert_eq(cpu()->matmul_fwd(NULL, act(&o.y), x, plain(&o), no, false, &o.s, NULL), ST_OK);
    GPU_CLOSE(g, o.gy, o.y, 1, "fwd with one x for all");
    drop(g, &o);
    buf_free(&p.x), buf_free(&p.y), buf_free(&p.w), buf_free(&p.dw);
}
Test(cuda_matmul, shared_input) { gpu_each(shared_input, 0); }

/* Columns of a wider row: what q, k and v are to their buffer. */
static void columns(gpu *g)
{
    const size z = {2, 20, 24, 16, 40, 56};
    const size_t at_x = 9, at_y = 24;
    operands o = make(g, &z, 71);
    const k_mult no = {0};
    GPU_OK(g, g->ops->matmul_fwd(g->ctx, gat(g, gact(&o.gy), at_y), gcat(g, gcact(&o.gx), at_x), weight(g, &o), no,
                                 true, &o.s, &g->e));
    cr_assert_eq(cpu()->matmul_fwd(NULL, at(act(&o.y), at_y), cat(cact(&o.x), at_x), plain(&o), no, true, &o.s, NULL),
                 ST_OK);
    GPU_CLOSE(g, o.gy, o.y, 1, "fwd on columns");
    drop(g, &o);
}
Test(cuda_matmul, columns) { gpu_each(columns, 0); }

/* The same product once more from addresses of less and of more alignment: what served the first does not serve those. */
static void alignments(gpu *g)
{
    static const size_t places[][2] = {{0, 0}, {1, 0}, {0, 1}, {8, 0}, {0, 8}, {3, 24}, {0, 0}};
    const size z = {2, 20, 24, 16, 40, 48};
    const k_mult no = {0};
    operands o = make(g, &z, 73);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const size_t at_x = places[i][0], at_y = places[i][1];
        const k_cact x = gcat(g, gcact(&o.gx), at_x), hx = cat(cact(&o.x), at_x);
        const k_cact dy = gcat(g, gcact(&o.gy), at_y), hdy = cat(cact(&o.y), at_y);
        GPU_OK(g, g->ops->matmul_fwd(g->ctx, gat(g, gact(&o.gy), at_y), x, weight(g, &o), no, false, &o.s, &g->e));
        GPU_OK(g, g->ops->matmul_wgrad(g->ctx, garr(&o.gdw), dy, x, no, true, &o.s, &g->e));
        cr_assert_eq(cpu()->matmul_fwd(NULL, at(act(&o.y), at_y), hx, plain(&o), no, false, &o.s, NULL), ST_OK);
        GPU_CLOSE(g, o.gy, o.y, 1, "fwd, x at %zu, y at %zu", at_x, at_y);
        gpu_round(g, &o.y);
        cr_assert_eq(cpu()->matmul_wgrad(NULL, arr(&o.dw), hdy, hx, no, true, &o.s, NULL), ST_OK);
        GPU_CLOSE(g, o.gdw, o.dw, 2, "wgrad, x at %zu, y at %zu", at_x, at_y);
    }
    drop(g, &o);
}
Test(cuda_matmul, alignments) { gpu_each(alignments, 0); }

/* Replica r of a bank has the bits it has alone, with a factor of its own or with all equal. */
static void alone(gpu *g, const size *z, int kind)
{
    operands o = make(g, z, 91);
    k_mult host, device = factors(g, kind, z->R, &host);
    gbuf y0 = gpu_act(g, &o.y), x0 = gpu_act(g, &o.x); /* before */
    GPU_OK(g, g->ops->matmul_fwd(g->ctx, gact(&o.gy), gcact(&o.gx), weight(g, &o), device, true, &o.s, &g->e));
    GPU_OK(g, g->ops->matmul_wgrad(g->ctx, garr(&o.gdw), gcact(&y0), gcact(&o.gx), device, true, &o.s, &g->e));
    GPU_OK(g, g->ops->matmul_dgrad(g->ctx, gact(&o.gx), gcact(&y0), weight(g, &o), device, true, &o.s, &g->e));
    for (size_t r = 0; r < z->R; r++) {
        operands q = {.s = o.s};
        q.s.R = 1;
        gbuf dy = gpu_alone(g, &y0, r), dw0 = gpu_real(g, &o.dw);
        q.gy = gpu_alone(g, &y0, r), q.gx = gpu_alone(g, &x0, r);
        q.gw = gpu_alone(g, &o.gw, r), q.gpacked = gpu_alone(g, &o.gpacked, r), q.gdw = gpu_alone(g, &dw0, r);
        k_mult f = device;
        if (f.p) f.p += r, f.host += r;
        GPU_OK(g, g->ops->matmul_fwd(g->ctx, gact(&q.gy), gcact(&q.gx), weight(g, &q), f, true, &q.s, &g->e));
        GPU_OK(g, g->ops->matmul_wgrad(g->ctx, garr(&q.gdw), gcact(&dy), gcact(&q.gx), f, true, &q.s, &g->e));
        GPU_OK(g, g->ops->matmul_dgrad(g->ctx, gact(&q.gx), gcact(&dy), weight(g, &q), f, true, &q.s, &g->e));
        cr_expect(gpu_same(g, &o.gy, r, &q.gy, 0), "%s: fwd, replica %zu of %zu, factors %s", g->ops->name, r, z->R,
                  kind_name[kind]);
        cr_expect(gpu_same(g, &o.gdw, r, &q.gdw, 0), "%s: wgrad, replica %zu of %zu, factors %s", g->ops->name, r, z->R,
                  kind_name[kind]);
        cr_expect(gpu_same(g, &o.gx, r, &q.gx, 0), "%s: dgrad, replica %zu of %zu, factors %s", g->ops->name, r, z->R,
                  kind_name[kind]);
    }
    drop(g, &o);
}

/* Long sums in few tiles are cut along n: four slices of one replica in one call, and of more replicas than slices one
 * slice of all; where n has no such cut, one sum. */
static void slices(gpu *g)
{
    static const size z[] = {
        {1, 16384, 8, 12, 8, 0}, {3, 16384, 9, 5, 0, 8}, {3, 8192, 7, 16, 0, 0}, {1, 8200, 8, 8, 0, 0}};
    static const size_t cut[] = {4, 4, 2, 2}; /* the last: room for two, as another n of that size would want */
    for (size_t i = 0; i < sizeof z / sizeof *z; i++) {
        const k_mm s = {z[i].R, z[i].n, z[i].in, z[i].out, 0, 0};
        const size_t len = (z[i].in * z[i].out + 63) / 64 * 64;
        cr_expect_eq(g->ops->mm_scratch(&s), z[i].R * cut[i] * len * sizeof(real));
        wgrad(g, &z[i], i ? EACH : NONE);
    }
    const k_mm wide = {1, 16384, 768, 3072, 0, 0}, few = {9, 4096, 8, 8, 0, 0};
    cr_expect(g->ops->mm_scratch(&wide) == 0 && g->ops->mm_scratch(&few) == 0);
    alone(g, &z[2], EACH);
    operands o = make(g, &(size){1, 8192, 2, 3, 0, 0}, 3);
    o.s.R = 99; /* as if: refused before anything is read */
    const k_mult no = {0};
    cr_expect_eq(g->ops->matmul_wgrad(g->ctx, garr(&o.gdw), gcact(&o.gy), gcact(&o.gx), no, false, &o.s, &g->e),
                 ST_DOMAIN);
    cr_expect(strstr(g->e.msg, "2 slices want 50688") != NULL, "%s", g->e.msg);
    drop(g, &o);
}
Test(cuda_matmul, gradients_in_slices) { gpu_each(slices, 1536 * sizeof(real)); }

static void independence(gpu *g)
{
    const size many[] = {{7, 96, 64, 80, 0, 0}, {3, 33, 17, 65, 3, 5}, {2, 256, 128, 384, 0, 0}};
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        for (int kind = 0; kind < N_KINDS; kind++) alone(g, &many[i], kind);
}
Test(cuda_matmul, a_replica_has_its_bits_alone) { gpu_each(independence, 0); }

/* Asking twice gives the same bits: the second time from the plan that was kept. */
static void again(gpu *g)
{
    const size z = {3, 65, 48, 40, 0, 0};
    operands o = make(g, &z, 3);
    const k_mult no = {0};
    gbuf y = gpu_act(g, &o.y);
    GPU_OK(g, g->ops->matmul_fwd(g->ctx, gact(&o.gy), gcact(&o.gx), weight(g, &o), no, false, &o.s, &g->e));
    GPU_OK(g, g->ops->matmul_fwd(g->ctx, gact(&y), gcact(&o.gx), weight(g, &o), no, false, &o.s, &g->e));
    for (size_t r = 0; r < z.R; r++) cr_expect(gpu_same(g, &o.gy, r, &y, r));
    drop(g, &o);
}
Test(cuda_matmul, again) { gpu_each(again, 0); }

static void unpacked(gpu *g)
{
    const size z = {1, 4, 8, 8, 0, 0};
    operands o = make(g, &z, 3);
    k_weight w = weight(g, &o);
    w.packed.p = NULL;
    const k_mult no = {0};
    const status s = g->ops->matmul_fwd(g->ctx, gact(&o.gy), gcact(&o.gx), w, no, false, &o.s, &g->e);
    cr_expect_eq(s, g->half ? ST_DOMAIN : ST_OK);
    drop(g, &o);
}
Test(cuda_matmul, bf16_needs_packed_weights) { gpu_each(unpacked, 0); }
