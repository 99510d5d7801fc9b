/* Every op of a device but matrix products and attention, against its CPU definition: fp32 to 1e-5, bf16 to one
 * rounding. Widths that chunks of 16 bytes divide and widths they do not, rows with gaps, columns that start anywhere,
 * banks of 1 to 7; a replica's bits alone and in its bank. */
#include "kernels/adamw.h"
#include "kernels/rope.h"
#include "tests/kernels/gpu.h"

enum { SCRATCH = 1 << 21, MAX_R = 7 };
static const real alphas[MAX_R] = {1.25f, -0.75f, 0.5f, 2.0f, -1.5f, 0.3f, 1.0f};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static size_t last_of(const gbuf *b) { return b->R - 1; }

/* --- embedding --------------------------------------------------------------------------------- */

typedef struct embed_case {
    size_t R, V, c, gap, T, n_seq, first;
    bool own_ids;
    size_t apart; /* ids in use are multiples of it */
} embed_case;

static void embedding(gpu *g, const embed_case *z)
{
    const size_t R = z->R, ld = z->c + z->gap, row = z->T + 1, n = z->n_seq * z->T - z->first, len = z->n_seq * row;
    const k_rows s = {R, n, z->c, ld}, s1 = {1, n, z->c, ld};
    int32_t *id = ids_new(R * len, z->V / z->apart, z->V);
    for (size_t i = 0; i < R * len; i++) id[i] *= (int32_t)z->apart;
    id[z->first] = (int32_t)z->V - 1;
    const k_ids at_host = {id, z->own_ids ? len : 0, row, z->T, z->first};
    k_ids at = at_host, at1 = at;
    at.p = gpu_put(g, id, R * len * sizeof *id);
    buf t = buf_new(R, z->V * z->c, 1, 1), y = buf_new(R, n * ld, 1, 2), dt = buf_new(R, z->V * z->c, 1, 3);
    gbuf d_t = gpu_real(g, &t), d_y = gpu_act(g, &y), d_dt = gpu_real(g, &dt);
    const size_t r = last_of(&d_y);
    gbuf t1 = gpu_alone(g, &d_t, r), y1 = gpu_alone(g, &d_y, r), dt1 = gpu_alone(g, &d_dt, r);
    const k_mult a = gpu_mult(g, alphas, R), a1 = {a.p + r, a.host + r};
    at1.p = at.p + (z->own_ids ? r * len : 0);

    GPU_OK(g, g->ops->embed_fwd(g->ctx, gact(&d_y), gin(&d_t), at, a, &s, &g->e));
    GPU_OK(g, cpu()->embed_fwd(NULL, act(&y), in(&t), at_host, both(alphas), &s, NULL));
    GPU_CLOSE(g, d_y, y, 1, "embed_fwd R%zu V%zu c%zu n%zu", R, z->V, z->c, n);
    GPU_OK(g, g->ops->embed_fwd(g->ctx, gact(&y1), gin(&t1), at1, a1, &s1, &g->e));
    cr_expect(gpu_same(g, &d_y, r, &y1, 0), "%s: embed_fwd depends on the bank", g->ops->name);

    gpu_round(g, &y);
    GPU_OK(g, g->ops->embed_bwd(g->ctx, garr(&d_dt), gcact(&d_y), at, a, &s, &g->e));
    GPU_OK(g, cpu()->embed_bwd(NULL, arr(&dt), cact(&y), at_host, both(alphas), &s, NULL));
    GPU_CLOSE(g, d_dt, dt, 1, "embed_bwd R%zu V%zu c%zu n%zu", R, z->V, z->c, n);
    GPU_OK(g, g->ops->embed_bwd(g->ctx, garr(&dt1), gcact(&y1), at1, a1, &s1, &g->e));
    cr_expect(gpu_same(g, &d_dt, r, &dt1, 0), "%s: embed_bwd depends on the bank", g->ops->name);
    gpu_release(g);
    buf_free(&t), buf_free(&y), buf_free(&dt);
}

static void embeddings(gpu *g)
{
    static const embed_case cases[] = {
        {1, 11, 1, 0, 3, 2, 0, false, 1},
        {2, 300, 40, 8, 7, 9, 3, true, 1},
        {3, 5, 33, 0, 16, 3, 0, false, 1},
        {7, 97, 24, 0, 31, 4, 5, true, 1},
        {2, 40, 264, 0, 20, 2, 0, true, 1},
        {2, 60, 20, 4, 25, 3, 2, true, 1},     /* chunks of 8, and half of one at the end */
        {1, 2, 8, 0, 50, 100, 0, false, 1},    /* two ids fill a round of the sort and more */
        {2, 256, 16, 0, 129, 33, 1, true, 1},  /* the usual: every id many times */
        {2, 4097, 3, 0, 65, 7, 0, true, 1024}, /* ids of one block, most with rows for all its threads */
        {1, 3, 264, 8, 60, 7, 0, true, 1},     /* and too wide for that */
    };
    for (size_t i = 0; i < COUNT(cases); i++) embedding(g, &cases[i]);
}
Test(cuda_pointwise, embed) { gpu_each(embeddings, SCRATCH); }

/* --- norms ------------------------------------------------------------------------------------- */

static const size_t widths[] = {1, 7, 16, 33, 64, 100, 256, 264, 1000};

static void norm_of(gpu *g, size_t R, size_t n, size_t c)
{
    const k_norm s = {R, n, c, 1e-6}, s1 = {1, n, c, 1e-6};
    buf x = buf_new(R, n * c, 2, 1), y = buf_new(R, n * c, 1, 2), k = buf_new(R, n, 1, 3), dy = buf_new(R, n * c, 1, 4);
    gbuf d_x = gpu_act(g, &x), d_y = gpu_act(g, &y), d_k = gpu_real(g, &k), d_dy = gpu_act(g, &dy);
    const size_t r = last_of(&d_x);
    gbuf x1 = gpu_alone(g, &d_x, r), y1 = gpu_alone(g, &d_y, r), k1 = gpu_alone(g, &d_k, r),
         dy1 = gpu_alone(g, &d_dy, r);
    GPU_OK(g, g->ops->rmsnorm_fwd(g->ctx, gact(&d_y), garr(&d_k), gcact(&d_x), &s, &g->e));
    GPU_OK(g, cpu()->rmsnorm_fwd(NULL, act(&y), arr(&k), cact(&x), &s, NULL));
    GPU_CLOSE(g, d_y, y, 1, "rmsnorm_fwd R%zu n%zu c%zu", R, n, c);
    GPU_CLOSE(g, d_k, k, 1, "rmsnorm_fwd R%zu n%zu c%zu", R, n, c);
    GPU_OK(g, g->ops->rmsnorm_fwd(g->ctx, gact(&y1), garr(&k1), gcact(&x1), &s1, &g->e));
    cr_expect(gpu_same(g, &d_y, r, &y1, 0) && gpu_same(g, &d_k, r, &k1, 0), "%s: rmsnorm_fwd depends on the bank",
              g->ops->name);
    for (int acc = 0; acc < 2; acc++) {
        buf yr = gpu_get(g, &d_y), kr = gpu_get(g, &d_k), dx = buf_new(R, n * c, 1, 5);
        gbuf d_dx = gpu_act(g, &dx), dx1 = gpu_alone(g, &d_dx, r);
        GPU_OK(g, g->ops->rmsnorm_bwd(g->ctx, gact(&d_dx), gcact(&d_dy), gcact(&d_y), gin(&d_k), acc, &s, &g->e));
        GPU_OK(g, cpu()->rmsnorm_bwd(NULL, act(&dx), cact(&dy), cact(&yr), in(&kr), acc, &s, NULL));
        if (c > 1) GPU_CLOSE(g, d_dx, dx, 1, "rmsnorm_bwd acc%d R%zu n%zu c%zu", acc, R, n, c); /* c = 1: all noise */
        GPU_OK(g, g->ops->rmsnorm_bwd(g->ctx, gact(&dx1), gcact(&dy1), gcact(&y1), gin(&k1), acc, &s1, &g->e));
        cr_expect(gpu_same(g, &d_dx, r, &dx1, 0), "%s: rmsnorm_bwd depends on the bank", g->ops->name);
        buf_free(&yr), buf_free(&kr), buf_free(&dx);
    }
    gpu_release(g);
    buf_free(&x), buf_free(&y), buf_free(&k), buf_free(&dy);
}

static void gain_of(gpu *g, size_t R, size_t n, size_t c)
{
    const k_norm s = {R, n, c, 1e-6}, s1 = {1, n, c, 1e-6};
    buf x = buf_new(R, n * c, 2, 1), w = buf_new(R, c, 1, 2), y = buf_new(R, n * c, 1, 3), dw = buf_new(R, c, 1, 4),
        dy = buf_new(R, n * c, 1, 5), dx = buf_new(R, n * c, 1, 6);
    gbuf d_x = gpu_act(g, &x), d_w = gpu_real(g, &w), d_y = gpu_act(g, &y), d_dw = gpu_real(g, &dw),
         d_dy = gpu_act(g, &dy), d_dx = gpu_act(g, &dx);
    const size_t r = last_of(&d_x);
    gbuf x1 = gpu_alone(g, &d_x, r), w1 = gpu_alone(g, &d_w, r), dw1 = gpu_alone(g, &d_dw, r),
         dy1 = gpu_alone(g, &d_dy, r);
    GPU_OK(g, g->ops->gain_fwd(g->ctx, gact(&d_y), gcact(&d_x), gin(&d_w), &s, &g->e));
    GPU_OK(g, cpu()->gain_fwd(NULL, act(&y), cact(&x), in(&w), &s, NULL));
    GPU_CLOSE(g, d_y, y, 1, "gain_fwd R%zu n%zu c%zu", R, n, c);
    GPU_OK(g, g->ops->gain_bwd(g->ctx, gact(&d_dx), garr(&d_dw), gcact(&d_dy), gcact(&d_x), gin(&d_w), &s, &g->e));
    GPU_OK(g, cpu()->gain_bwd(NULL, act(&dx), arr(&dw), cact(&dy), cact(&x), in(&w), &s, NULL));
    GPU_CLOSE(g, d_dx, dx, 1, "gain_bwd R%zu n%zu c%zu", R, n, c);
    GPU_CLOSE(g, d_dw, dw, 1, "gain_bwd R%zu n%zu c%zu", R, n, c);
    /* alone, and in place as the model has it: dx is dy */
    GPU_OK(g, g->ops->gain_bwd(g->ctx, gact(&dy1), garr(&dw1), gcact(&dy1), gcact(&x1), gin(&w1), &s1, &g->e));
    cr_expect(gpu_same(g, &d_dx, r, &dy1, 0) && gpu_same(g, &d_dw, r, &dw1, 0),
              "%s: gain_bwd depends on the bank or on its place", g->ops->name);
    gpu_release(g);
    buf_free(&x), buf_free(&w), buf_free(&y), buf_free(&dw), buf_free(&dy), buf_free(&dx);
}

static void norms(gpu *g)
{
    for (size_t i = 0; i < COUNT(widths); i++) {
        norm_of(g, 1 + i % 3, 5, widths[i]);
        gain_of(g, 1 + i % 3, 5, widths[i]);
    }
    norm_of(g, 7, 70, 24);
    gain_of(g, 7, 70, 24);
    gain_of(g, 2, 531, 40); /* several stretches of unequal length */
    gain_of(g, 1, 2100, 8); /* as many stretches as there can be */
}
Test(cuda_pointwise, norms) { gpu_each(norms, SCRATCH); }

/* --- heads ------------------------------------------------------------------------------------- */

static void heads_of(gpu *g, size_t R, size_t B, size_t T, size_t H, size_t D, size_t gap)
{
    const size_t ld = H * D + gap, n = B * T;
    const k_heads s = {R, B, T, H, D, ld}, s1 = {1, B, T, H, D, ld};
    buf table = buf_new(1, T * D, 1, 1), x = buf_new(R, n * ld, 1, 2), k = buf_new(R, n * H, 1, 3),
        d = buf_new(R, n * ld, 1, 4);
    k_rope_table(table.p, T, D, 100);
    gbuf d_t = gpu_real(g, &table), d_x = gpu_act(g, &x), d_k = gpu_real(g, &k), d_d = gpu_act(g, &d);
    const size_t r = last_of(&d_x);
    gbuf x1 = gpu_alone(g, &d_x, r), k1 = gpu_alone(g, &d_k, r), d1 = gpu_alone(g, &d_d, r);
    const k_in cs = {(const real *)(const void *)d_t.p, 0}, cs0 = {table.p, 0};
    GPU_OK(g, g->ops->qknorm_fwd(g->ctx, gact(&d_x), garr(&d_k), 1e-6, &s, &g->e));
    GPU_OK(g, cpu()->qknorm_fwd(NULL, act(&x), arr(&k), 1e-6, &s, NULL));
    GPU_CLOSE(g, d_x, x, 1, "qknorm_fwd R%zu H%zu D%zu", R, H, D);
    GPU_CLOSE(g, d_k, k, 1, "qknorm_fwd R%zu H%zu D%zu", R, H, D);
    gpu_round(g, &x);
    buf kr = gpu_get(g, &d_k), xr = gpu_get(g, &d_x);
    GPU_OK(g, g->ops->qknorm_bwd(g->ctx, gact(&d_d), gcact(&d_x), gin(&d_k), &s, &g->e));
    GPU_OK(g, cpu()->qknorm_bwd(NULL, act(&d), cact(&xr), in(&kr), &s, NULL));
    if (D > 2) GPU_CLOSE(g, d_d, d, 1, "qknorm_bwd R%zu H%zu D%zu", R, H, D);
    GPU_OK(g, g->ops->rope_fwd(g->ctx, gact(&d_x), cs, &s, &g->e));
    GPU_OK(g, cpu()->rope_fwd(NULL, act(&xr), cs0, &s, NULL));
    GPU_CLOSE(g, d_x, xr, 1, "rope_fwd R%zu H%zu D%zu", R, H, D);
    buf dr = gpu_get(g, &d_d);
    GPU_OK(g, g->ops->rope_bwd(g->ctx, gact(&d_d), cs, &s, &g->e));
    GPU_OK(g, cpu()->rope_bwd(NULL, act(&dr), cs0, &s, NULL));
    GPU_CLOSE(g, d_d, dr, 1, "rope_bwd R%zu H%zu D%zu", R, H, D);

    GPU_OK(g, g->ops->qknorm_fwd(g->ctx, gact(&x1), garr(&k1), 1e-6, &s1, &g->e));
    GPU_OK(g, g->ops->qknorm_bwd(g->ctx, gact(&d1), gcact(&x1), gin(&k1), &s1, &g->e));
    GPU_OK(g, g->ops->rope_fwd(g->ctx, gact(&x1), cs, &s1, &g->e));
    GPU_OK(g, g->ops->rope_bwd(g->ctx, gact(&d1), cs, &s1, &g->e));
    cr_expect(gpu_same(g, &d_x, r, &x1, 0) && gpu_same(g, &d_d, r, &d1, 0) && gpu_same(g, &d_k, r, &k1, 0),
              "%s: qknorm or rope depends on the bank", g->ops->name);
    gpu_release(g);
    buf_free(&table), buf_free(&x), buf_free(&k), buf_free(&d), buf_free(&kr), buf_free(&xr), buf_free(&dr);
}

static void heads(gpu *g)
{
    static const size_t dims[] = {2, 6, 7, 16, 32, 64, 80, 128, 264};
    for (size_t i = 0; i < COUNT(dims); i++) {
        heads_of(g, 1 + i % 3, 2, 5, 3, dims[i], 8);
        heads_of(g, 1 + i % 2, 1, 4, 2, dims[i], 3);
    }
    heads_of(g, 7, 3, 11, 5, 48, 16);
}
Test(cuda_pointwise, qknorm_rope) { gpu_each(heads, SCRATCH); }

/* --- activations ------------------------------------------------------------------------------- */

static void activation_of(gpu *g, size_t R, size_t n, size_t c, size_t gap, size_t off)
{
    const size_t ld = c + gap;
    const k_rows s = {R, n, c, ld}, s1 = {1, n, c, ld};
    for (int swiglu = 0; swiglu < 2; swiglu++) {
        const size_t wide = swiglu ? 2 : 1;
        buf y = buf_new(R, n * ld + off, 1, 1), u = buf_new(R, n * wide * ld + off, 3, 2),
            dy = buf_new(R, n * ld + off, 1, 3), du = buf_new(R, n * wide * ld + off, 1, 4);
        gbuf d_y = gpu_act(g, &y), d_u = gpu_act(g, &u), d_dy = gpu_act(g, &dy), d_du = gpu_act(g, &du);
        const size_t r = last_of(&d_y);
        gbuf u1 = gpu_alone(g, &d_u, r), y1 = gpu_alone(g, &d_y, r), dy1 = gpu_alone(g, &d_dy, r);
        const char *name = swiglu ? "swiglu" : "gelu";
        GPU_OK(g, (swiglu ? g->ops->swiglu_fwd : g->ops->gelu_fwd)(g->ctx, gat(g, gact(&d_y), off),
                                                                   gat(g, gact(&d_u), off), &s, &g->e));
        GPU_OK(g, (swiglu ? cpu()->swiglu_fwd : cpu()->gelu_fwd)(NULL, at(act(&y), off), at(act(&u), off), &s, NULL));
        GPU_CLOSE(g, d_y, y, 1, "%s_fwd R%zu n%zu c%zu ld%zu", name, R, n, c, ld);
        cr_expect(gpu_same(g, &d_u, r, &u1, 0), "%s: %s_fwd changes its argument", g->ops->name, name);
        GPU_OK(g, (swiglu ? g->ops->swiglu_bwd : g->ops->gelu_bwd)(g->ctx, gat(g, gact(&d_du), off),
                                                                   gcat(g, gcact(&d_dy), off),
                                                                   gcat(g, gcact(&d_u), off), &s, &g->e));
        GPU_OK(g, (swiglu ? cpu()->swiglu_bwd : cpu()->gelu_bwd)(NULL, at(act(&du), off), cat(cact(&dy), off),
                                                                 cat(cact(&u), off), &s, NULL));
        GPU_CLOSE(g, d_du, du, 1, "%s_bwd R%zu n%zu c%zu ld%zu", name, R, n, c, ld);
        /* alone, and in place: du is coef; for gelu also du is dy */
        GPU_OK(g, (swiglu ? g->ops->swiglu_fwd : g->ops->gelu_fwd)(g->ctx, gat(g, gact(&y1), off),
                                                                   gat(g, gact(&u1), off), &s1, &g->e));
        cr_expect(gpu_same(g, &d_y, r, &y1, 0), "%s: %s_fwd depends on the bank", g->ops->name, name);
        gbuf c1 = gpu_alone(g, &u1, 0);
        GPU_OK(g, (swiglu ? g->ops->swiglu_bwd : g->ops->gelu_bwd)(
                      g->ctx, gat(g, gact(&u1), off), gcat(g, gcact(&dy1), off), gcat(g, gcact(&u1), off), &s1, &g->e));
        buf in_place = gpu_get(g, &u1), apart = gpu_get(g, &d_du);
        size_t differ = 0;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < wide * c; j++) {
                const size_t k = off + i * wide * ld + j;
                differ += memcmp(&in_place.p[k], &apart.p[r * apart.stride + k], sizeof(real)) != 0;
            }
        cr_expect_eq(differ, 0, "%s: %s_bwd depends on the bank or on its place", g->ops->name, name);
        if (!swiglu) {
            GPU_OK(g, g->ops->gelu_bwd(g->ctx, gat(g, gact(&dy1), off), gcat(g, gcact(&dy1), off),
                                       gcat(g, gcact(&c1), off), &s1, &g->e));
            buf over = gpu_get(g, &dy1);
            cr_expect(memcmp(&over.p[off], &in_place.p[off], c * sizeof(real)) == 0, "%s: gelu_bwd over dy",
                      g->ops->name);
            buf_free(&over);
        }
        gpu_release(g);
        buf_free(&y), buf_free(&u), buf_free(&dy), buf_free(&du), buf_free(&in_place), buf_free(&apart);
    }
}

static void activations(gpu *g)
{
    for (size_t i = 0; i < COUNT(widths); i++) {
        activation_of(g, 1 + i % 3, 5, widths[i], 0, 0);
        activation_of(g, 1 + i % 2, 3, widths[i], 8, 0);
        activation_of(g, 2, 3, widths[i], 3, 1 + i % 3);
    }
    activation_of(g, 7, 37, 48, 16, 0);
    activation_of(g, 2, 5, 33, 7, 0), activation_of(g, 3, 4, 603, 5, 0); /* whole chunks and a piece of one */
}
Test(cuda_pointwise, activations) { gpu_each(activations, SCRATCH); }

/* --- loss -------------------------------------------------------------------------------------- */

static void loss_of(gpu *g, size_t R, size_t n, size_t V, size_t gap, bool grad)
{
    const size_t ld = V + gap, T = 4, n_seq = (n + T - 1) / T, row = T + 1, first = 1, held = n + 3;
    const double dscale = grad ? 0.25 : 0;
    const k_rows s = {R, n, V, ld}, s1 = {1, n, V, ld};
    int32_t *id = ids_new((n_seq + 1) * row, V, 2);
    id[first] = (int32_t)V - 1, id[first + 1] = 0;
    const k_ids at_host = {id, 0, row, T, first};
    k_ids at = at_host;
    at.p = gpu_put(g, id, (n_seq + 1) * row * sizeof *id);
    buf x = buf_new(R, n * ld, 4, 1);
    for (size_t i = 0; i < V; i++) x.p[(n - 1) * ld + i] += 60; /* far from zero: exp alone would overflow */
    if (V > 2) x.p[1] = -INFINITY;                              /* a logit that cannot be: no NaN */
    double *loss = keep(calloc(R * held, sizeof *loss)), *want = keep(calloc(R * held, sizeof *want)),
           *one = keep(calloc(held, sizeof *one));
    for (size_t i = 0; i < R * held; i++) loss[i] = want[i] = -7;
    gbuf d_x = gpu_act(g, &x);
    const size_t r = last_of(&d_x);
    gbuf x1 = gpu_alone(g, &d_x, r);
    double *d_loss = gpu_put(g, loss, R * held * sizeof *loss), *d_one = gpu_put(g, NULL, held * sizeof *one);
    GPU_OK(g, g->ops->xent(g->ctx, d_loss, held, gact(&d_x), at, dscale, &s, &g->e));
    GPU_OK(g, cpu()->xent(NULL, want, held, act(&x), at_host, dscale, &s, NULL));
    gpu_take(g, loss, d_loss, R * held * sizeof *loss);
    for (size_t i = 0; i < R * held; i++)
        cr_expect(loss[i] == want[i] || fabs(loss[i] - want[i]) <= 1e-6 * (1 + fabs(want[i])),
                  "%s: xent V%zu R%zu: loss %zu is %.9g, not %.9g", g->ops->name, V, R, i, loss[i], want[i]);
    if (grad) GPU_CLOSE(g, d_x, x, 1, "xent V%zu R%zu", V, R);
    GPU_OK(g, g->ops->xent(g->ctx, d_one, held, gact(&x1), at, dscale, &s1, &g->e));
    gpu_take(g, one, d_one, held * sizeof *one);
    cr_expect(gpu_same(g, &d_x, r, &x1, 0) && memcmp(one, loss + r * held, n * sizeof *one) == 0,
              "%s: xent V%zu depends on the bank", g->ops->name, V);
    gpu_release(g);
    buf_free(&x);
}

/* A NaN or an infinite logit anywhere, a row apart from it is untouched. */
static void bad_logits(gpu *g, size_t V)
{
    enum { N = 3 };
    const k_rows s = {1, N, V, V};
    int32_t id[N] = {0, 0, 0};
    const k_ids at = {gpu_put(g, id, sizeof id), 0, N, N, 0};
    buf x = buf_new(1, N * V, 1, 1);
    x.p[V - 1] = NAN, x.p[V + V / 2] = INFINITY;
    gbuf d_x = gpu_act(g, &x);
    double loss[N], *d_loss = gpu_put(g, NULL, sizeof loss);
    GPU_OK(g, g->ops->xent(g->ctx, d_loss, N, gact(&d_x), at, 1, &s, &g->e));
    gpu_take(g, loss, d_loss, sizeof loss);
    cr_expect_not(isfinite(loss[0]), "%s: V%zu: a NaN logit is lost", g->ops->name, V);
    cr_expect_not(isfinite(loss[1]), "%s: V%zu: an infinite logit is lost", g->ops->name, V);
    cr_expect(isfinite(loss[2]));
    gpu_release(g);
    buf_free(&x);
}

static void losses(gpu *g)
{
    static const size_t vocabs[] = {1, 2, 15, 64, 257, 1003, 2048, 2056, 4099, 16392, 16411};
    for (size_t i = 0; i < COUNT(vocabs); i++)
        for (int grad = 0; grad < 2; grad++) loss_of(g, 1 + i % 3, 6, vocabs[i], i % 2 ? 8 : 3, grad);
    loss_of(g, 7, 29, 48, 16, true);
    loss_of(g, 2, 5, 1003, 5, true), loss_of(g, 1, 4, 2055, 1, true),
        loss_of(g, 1, 3, 16411, 5, true); /* and a piece */
    bad_logits(g, 33), bad_logits(g, 2500), bad_logits(g, 17000);

    static const size_t seqs[][3] = {{1, 1, 1}, {2, 3, 33}, {7, 9, 129}};
    for (size_t z = 0; z < COUNT(seqs); z++) {
        const size_t R = seqs[z][0], n_seq = seqs[z][1], T = seqs[z][2], stride = n_seq * T + 2, ld = n_seq + 1;
        double *rows = keep(calloc(R * stride, sizeof *rows)), *want = keep(calloc(R * ld, sizeof *want)),
               *got = keep(calloc(R * ld, sizeof *got));
        for (size_t i = 0; i < R * stride; i++) rows[i] = rng_normal(5, RNG_TEST, 1, i);
        double *d_rows = gpu_put(g, rows, R * stride * sizeof *rows), *d_got = gpu_put(g, NULL, R * ld * sizeof *got);
        GPU_OK(g, g->ops->seq_loss(g->ctx, d_got, ld, d_rows, stride, R, n_seq, T, &g->e));
        GPU_OK(g, cpu()->seq_loss(NULL, want, ld, rows, stride, R, n_seq, T, NULL));
        gpu_take(g, got, d_got, R * ld * sizeof *got);
        for (size_t i = 0; i < R * ld; i++)
            cr_expect_float_eq(got[i], want[i], 1e-12, "%s: seq_loss %zu", g->ops->name, i);
        gpu_release(g);
    }
}
Test(cuda_pointwise, loss) { gpu_each(losses, SCRATCH); }

/* --- flat vectors ------------------------------------------------------------------------------ */

static void flat_of(gpu *g, size_t R, size_t n, size_t off)
{
    buf p = buf_new(R, n + off, 1, 1), m = buf_new(R, n + off, 0.1, 2), v = buf_new(R, n + off, 0.1, 3),
        x = buf_new(R, n + off, 1, 4);
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < n + off; i++) v.p[r * v.stride + i] = fabsf(v.p[r * v.stride + i]) + 0.01f;
    k_adam h[MAX_R];
    for (size_t r = 0; r < R; r++)
        h[r] = k_adam_set(&(k_adam_in){.s = 0.5,
                                       .lr = 0.02 * (double)(r + 1),
                                       .lambda = 0.1,
                                       .eps = 1e-8,
                                       .beta1 = 0.9,
                                       .beta2 = 0.95,
                                       .grad_scale = 0.7,
                                       .step = 3 + r,
                                       .coupled = r % 2});
    gbuf d_p = gpu_real(g, &p), d_m = gpu_real(g, &m), d_v = gpu_real(g, &v), d_x = gpu_real(g, &x);
    const k_adam *d_h = gpu_put(g, h, R * sizeof *h);
    GPU_OK(g, g->ops->adamw(g->ctx, k_at(garr(&d_p), off), k_at(garr(&d_m), off), k_at(garr(&d_v), off),
                            k_in_at(gin(&d_x), off), d_h, R, n, &g->e));
    GPU_OK(g, cpu()->adamw(NULL, k_at(arr(&p), off), k_at(arr(&m), off), k_at(arr(&v), off), k_in_at(in(&x), off), h, R,
                           n, NULL));
    GPU_CLOSE(g, d_p, p, 1, "adamw R%zu n%zu", R, n);
    GPU_CLOSE(g, d_m, m, 1, "adamw R%zu n%zu", R, n);
    GPU_CLOSE(g, d_v, v, 1, "adamw R%zu n%zu", R, n);
    GPU_OK(g, g->ops->add(g->ctx, k_at(garr(&d_p), off), k_in_at(gin(&d_x), off), R, n, &g->e));
    GPU_OK(g, cpu()->add(NULL, k_at(arr(&p), off), k_in_at(in(&x), off), R, n, NULL));
    GPU_CLOSE(g, d_p, p, 1, "add R%zu n%zu", R, n);
    double got[MAX_R], want[MAX_R], *d_got = gpu_put(g, NULL, sizeof got);
    GPU_OK(g, g->ops->sumsq(g->ctx, d_got, k_in_at(gin(&d_x), off), R, n, &g->e));
    GPU_OK(g, cpu()->sumsq(NULL, want, k_in_at(in(&x), off), R, n, NULL));
    gpu_take(g, got, d_got, sizeof got);
    for (size_t r = 0; r < R; r++)
        cr_expect_float_eq(got[r], want[r], 1e-12 * want[r], "%s: sumsq n%zu", g->ops->name, n);
    GPU_OK(g, g->ops->zero(g->ctx, k_at(garr(&d_p), off), R, n, &g->e));
    GPU_OK(g, cpu()->zero(NULL, k_at(arr(&p), off), R, n, NULL));
    GPU_CLOSE(g, d_p, p, 0, "zero R%zu n%zu", R, n);
    gpu_release(g);
    buf_free(&p), buf_free(&m), buf_free(&v), buf_free(&x);
}

static void pack_of(gpu *g, size_t R, size_t out, size_t in_, size_t off)
{
    if (!g->ops->pack) {
        cr_expect(!g->half && !g->ops->pack_len, "%s: pack_len without pack, or bf16 without either", g->ops->name);
        return;
    }
    const size_t n = out * in_, len = g->ops->pack_len(out, in_);
    cr_expect(len * sizeof(real) >= 2 * n && len * sizeof(real) % K_ALIGN_DEVICE == 0 &&
              len * sizeof(real) < 2 * n + K_ALIGN_DEVICE);
    buf w = buf_new(R, off + n, 1, 1), none = buf_new(R, len, 0, 2);
    memset(none.p, 0, R * none.stride * sizeof(real)); /* buf_new's zeros have signs */
    gbuf d_w = gpu_real(g, &w), d_p = gpu_real(g, &none);
    GPU_OK(g, g->ops->pack(g->ctx, garr(&d_p), k_in_at(gin(&d_w), off), R, out, in_, &g->e));
    buf got = gpu_get(g, &d_p); /* as floats: two bf16 each */
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < 2 * len; i++) {
            const float want = i < n ? gpu_bf16(w.p[r * w.stride + off + i]) : 0;
            uint16_t h;
            uint32_t u;
            memcpy(&h, (const char *)(got.p + r * got.stride) + 2 * i, 2);
            memcpy(&u, &want, 4);
            cr_assert_eq(h, u >> 16, "%s: packed %zu of replica %zu", g->ops->name, i, r);
        }
    gpu_release(g);
    buf_free(&w), buf_free(&none), buf_free(&got);
}

static void flats(gpu *g)
{
    static const size_t sizes[] = {1, 3, 15, 64, 1001, 4096, 9001};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        flat_of(g, 1 + i % 3, sizes[i], 0);
        flat_of(g, 2, sizes[i], 1 + i % 3);
    }
    flat_of(g, 7, 300, 0);
    pack_of(g, 1, 1, 1, 0), pack_of(g, 2, 7, 9, 0), pack_of(g, 3, 64, 33, 0), pack_of(g, 7, 130, 70, 0);
    pack_of(g, 2, 64, 33, 3); /* off its line */
}
Test(cuda_pointwise, flat) { gpu_each(flats, SCRATCH); }

/* --- the end of a bank's step ------------------------------------------------------------------ */

enum { LINE = K_ALIGN_DEVICE / sizeof(real), TENSORS = 6, BATCH = 5 };

typedef struct bank_end { /* the host's side of a k_bank_end */
    size_t R, stride, packed_len;
    k_span spans[TENSORS];
    k_adam_fixed fixed[MAX_R * TENSORS];
    k_step_in in[MAX_R];
    double seq_loss[MAX_R * BATCH];
    buf p, m, v, d; /* one replica after the other: [R][stride] */
} bank_end;

/* Tensors of awkward sizes, some of several blocks, some many to a block, some packed; replica 1 is not active, replica
 * 2 has a NaN in its gradient, replica 3 an infinite loss; odd replicas decay coupled; replica 0 is clipped, others are
 * not or have no limit. What lies between tensors has no gradient. */
static bank_end bank_new(size_t R)
{
    static const size_t n[TENSORS] = {9001, 5, 64, 1, 300, 4097};
    bank_end b = {.R = R};
    for (size_t t = 0; t < TENSORS; t++) {
        b.spans[t] = (k_span){b.stride, n[t], t % 2 ? SIZE_MAX : b.packed_len};
        b.stride += (n[t] + LINE - 1) / LINE * LINE;
        if (t % 2 == 0) b.packed_len += ((n[t] + 1) / 2 + LINE - 1) / LINE * LINE;
    }
    b.stride += LINE;
    b.p = buf_new(1, R * b.stride, 1, 1), b.m = buf_new(1, R * b.stride, 0.1, 2),
    b.v = buf_new(1, R * b.stride, 0.1, 3);
    b.d = buf_new(1, R * b.stride, 1, 4);
    for (size_t i = 0; i < R * b.stride; i++) b.v.p[i] = fabsf(b.v.p[i]);
    for (size_t r = 0; r < R; r++) {
        for (size_t t = 0; t < TENSORS; t++) {
            const size_t end = t + 1 < TENSORS ? b.spans[t + 1].offset : b.stride;
            for (size_t i = b.spans[t].offset + n[t]; i < end; i++) b.d.p[r * b.stride + i] = 0;
            b.fixed[r * TENSORS + t] = (k_adam_fixed){0.01 * (double)(t + 1), 1e-8, t % 3 ? 0.1 : 0};
        }
        const double steps = (double)(r + 2);
        b.in[r] = (k_step_in){.s = 0.3 + 0.1 * (double)r,
                              .beta1 = 0.9,
                              .beta2 = 0.95,
                              .correct1 = 1 - pow(0.9, steps),
                              .correct2 = 1 - pow(0.95, steps),
                              .clip_norm = r == 0  ? 2
                                           : r % 3 ? 1e9
                                                   : 0,
                              .active = r != 1,
                              .coupled = r % 2};
        for (size_t i = 0; i < BATCH; i++) b.seq_loss[r * BATCH + i] = 2 + 0.1 * (double)(r + i);
    }
    if (R > 2) b.d.p[2 * b.stride + b.spans[4].offset + 7] = NAN;
    if (R > 3) b.seq_loss[3 * BATCH + 4] = INFINITY;
    return b;
}

/* As bank_step.c does it, with the CPU's ops. */
static void bank_host(bank_end *b, k_step_out *out)
{
    for (size_t r = 0; r < b->R; r++) {
        const size_t at_r = r * b->stride;
        k_step_out *o = &out[r];
        double loss = 0, sumsq = 0;
        for (size_t i = 0; i < BATCH; i++) loss += b->seq_loss[r * BATCH + i];
        GPU_OK(&(gpu){0}, cpu()->sumsq(NULL, &sumsq, k_in_at(in(&b->d), at_r), 1, b->stride, NULL));
        const double clip = b->in[r].clip_norm, norm = sqrt(sumsq);
        *o = (k_step_out){loss / BATCH, norm, clip > 0 && norm > clip ? clip / norm : 1, 0, 0};
        o->finite = isfinite(o->loss) && isfinite(norm);
        o->update = o->finite && b->in[r].active;
        if (!o->update) continue;
        for (size_t t = 0; t < TENSORS; t++) {
            const k_adam_fixed *f = &b->fixed[r * TENSORS + t];
            const k_adam h = k_adam_set(&(k_adam_in){.s = b->in[r].s,
                                                     .lr = f->lr,
                                                     .lambda = f->lambda,
                                                     .eps = f->eps,
                                                     .beta1 = 0.9,
                                                     .beta2 = 0.95,
                                                     .grad_scale = o->scale,
                                                     .step = r + 2,
                                                     .coupled = b->in[r].coupled});
            const size_t i = at_r + b->spans[t].offset;
            GPU_OK(&(gpu){0}, cpu()->adamw(NULL, k_at(arr(&b->p), i), k_at(arr(&b->m), i), k_at(arr(&b->v), i),
                                           k_in_at(in(&b->d), i), &h, 1, b->spans[t].n, NULL));
        }
    }
}

static void bank_of(gpu *g, size_t R)
{
    bank_end h = bank_new(R);
    buf was = buf_copy(&h.p), pk = buf_new(R, h.packed_len, 0, 5);
    memset(pk.p, 0, R * pk.stride * sizeof(real)); /* buf_new's zeros have signs */
    gbuf p = gpu_real(g, &h.p), m = gpu_real(g, &h.m), v = gpu_real(g, &h.v), d = gpu_real(g, &h.d),
         d_pk = gpu_real(g, &pk);
    k_step_out want[MAX_R], got[MAX_R];
    memset(got, 0, sizeof got);
    k_bank_end b = {.R = R,
                    .n_tensors = TENSORS,
                    .stride = h.stride,
                    .batch = BATCH,
                    .spans = gpu_put(g, h.spans, sizeof h.spans),
                    .fixed = gpu_put(g, h.fixed, sizeof h.fixed),
                    .in = gpu_put(g, h.in, sizeof h.in),
                    .out = gpu_put(g, got, sizeof got),
                    .seq_loss = gpu_put(g, h.seq_loss, sizeof h.seq_loss),
                    .partial = gpu_put(g, NULL, R * K_NORM_PARTS * sizeof(double)),
                    .params = garr(&p).p,
                    .m = garr(&m).p,
                    .v = garr(&v).p,
                    .grads = gin(&d).p};
    if (g->half) b.packed = garr(&d_pk);
    GPU_OK(g, g->ops->device->bank_outcome(g->ctx, &b, &g->e));
    GPU_OK(g, g->ops->device->bank_adamw(g->ctx, &b, &g->e));
    bank_host(&h, want);
    gpu_take(g, got, b.out, sizeof got);
    for (size_t r = 0; r < R; r++) {
        cr_expect_eq(got[r].finite, want[r].finite, "%s: replica %zu finite", g->ops->name, r);
        cr_expect_eq(got[r].update, want[r].update, "%s: replica %zu update", g->ops->name, r);
        if (!want[r].finite) continue;
        cr_expect_float_eq(got[r].loss, want[r].loss, 1e-12);
        cr_expect_float_eq(got[r].grad_norm, want[r].grad_norm, 1e-12 * want[r].grad_norm);
        cr_expect_float_eq(got[r].scale, want[r].scale, 1e-12);
        cr_expect_eq(got[r].scale < 1, r == 0, "%s: only replica 0 is clipped", g->ops->name);
    }
    GPU_CLOSE(g, p, h.p, 1, "bank_adamw R%zu", R);
    GPU_CLOSE(g, m, h.m, 1, "bank_adamw R%zu", R);
    GPU_CLOSE(g, v, h.v, 1, "bank_adamw R%zu", R);
    buf now = gpu_get(g, &p), packed = gpu_get(g, &d_pk);
    for (size_t r = 0; r < R; r++) {
        if (!want[r].update)
            cr_expect(memcmp(now.p + r * h.stride, was.p + r * h.stride, h.stride * sizeof(real)) == 0,
                      "%s: replica %zu changed", g->ops->name, r);
        for (size_t t = 0; t < TENSORS; t++) { /* the copy is what the device's own master rounds to */
            const k_span s = h.spans[t];
            if (s.packed == SIZE_MAX) continue;
            for (size_t i = 0; i < s.n + s.n % 2; i++) {
                const bool written = g->half && want[r].update && i < s.n;
                const float x = written ? gpu_bf16(now.p[r * h.stride + s.offset + i]) : 0;
                uint16_t half;
                uint32_t u;
                memcpy(&half, (const char *)(packed.p + r * packed.stride + s.packed) + 2 * i, sizeof half);
                memcpy(&u, &x, sizeof u);
                cr_assert_eq(half, u >> 16, "%s: packed %zu of tensor %zu of replica %zu", g->ops->name, i, t, r);
            }
        }
    }
    /* The last replica by itself: the same bits. */
    const size_t r = R - 1, at_r = r * h.stride;
    bank_end again = bank_new(R);
    k_bank_end one = b;
    buf hp = buf_new(1, h.stride, 0, 0), hm = buf_copy(&hp), hv = buf_copy(&hp);
    memcpy(hp.p, again.p.p + at_r, h.stride * sizeof(real));
    memcpy(hm.p, again.m.p + at_r, h.stride * sizeof(real));
    memcpy(hv.p, again.v.p + at_r, h.stride * sizeof(real));
    gbuf p1 = gpu_real(g, &hp), m1 = gpu_real(g, &hm), v1 = gpu_real(g, &hv);
    one.R = 1, one.params = garr(&p1).p, one.m = garr(&m1).p, one.v = garr(&v1).p, one.grads = b.grads + at_r;
    one.fixed = b.fixed + r * TENSORS, one.in = b.in + r, one.seq_loss = b.seq_loss + r * BATCH;
    one.out = gpu_put(g, NULL, sizeof *got);
    one.packed.p = NULL;
    GPU_OK(g, g->ops->device->bank_outcome(g->ctx, &one, &g->e));
    GPU_OK(g, g->ops->device->bank_adamw(g->ctx, &one, &g->e));
    k_step_out alone;
    gpu_take(g, &alone, one.out, sizeof alone);
    buf p1_now = gpu_get(g, &p1);
    cr_expect(memcmp(&alone, &got[r], sizeof alone) == 0 &&
                  memcmp(p1_now.p, now.p + at_r, h.stride * sizeof(real)) == 0,
              "%s: the end of a step depends on the bank", g->ops->name);
    gpu_release(g);
}

static void banks(gpu *g) { bank_of(g, 1), bank_of(g, 2), bank_of(g, 3), bank_of(g, 7); }
Test(cuda_pointwise, bank) { gpu_each(banks, SCRATCH); }
