/* One product and its weight gradient on a device: the step that tests record, replay and repeat. */
#ifndef TESTS_KERNELS_STEP_H
#define TESTS_KERNELS_STEP_H
#include "tests/kernels/gpu.h"

/* y = x W^T, then dW += y^T x, R replicas: the second time is not as the first. */
typedef struct step {
    k_mm s;
    gbuf x, y, w, packed, dw;
} step;

static inline step step_new(gpu *g, size_t R)
{
    step t = {.s = {.R = R, .n = 24, .in = 40, .out = 32, .ldx = 40, .ldy = 32}};
    buf x = buf_new(R, 24 * 40, 1, 1), y = buf_new(R, 24 * 32, 1, 2), w = buf_new(R, 32 * 40, 1, 3),
        dw = buf_new(R, 32 * 40, 1, 4);
    t.x = gpu_act(g, &x), t.y = gpu_act(g, &y), t.packed = gpu_act(g, &w), t.w = gpu_real(g, &w);
    t.dw = gpu_real(g, &dw);
    buf_free(&x), buf_free(&y), buf_free(&w), buf_free(&dw);
    return t;
}

static inline status step_run(gpu *g, const step *t)
{
    const k_in packed = {(const real *)(const void *)t->packed.p, t->packed.stride * t->packed.size / sizeof(real)};
    const k_in none = {0};
    const k_weight w = {gin(&t->w), g->half ? packed : none};
    const k_mult one = {0};
    status s = g->ops->matmul_fwd(g->ctx, gact(&t->y), gcact(&t->x), w, one, false, &t->s, &g->e);
    return s ? s : g->ops->matmul_wgrad(g->ctx, garr(&t->dw), gcact(&t->y), gcact(&t->x), one, true, &t->s,
                                        &g->e);
}
#endif
