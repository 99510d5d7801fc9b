/* Rates of the matrix products at trainer shapes, this level's kernels beside CBLAS: GFLOP/s per CPU second, one
 * thread. bench/matmul [rows] */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/blas_core.h"
#include "kernels/blas.h"
#include "kernels/kernels.h"
#include "kernels/matmul.h"

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static float *fill(size_t n, int k)
{
    float *x = aligned_alloc(K_ALIGN, (n * sizeof *x + K_ALIGN) / K_ALIGN * K_ALIGN);
    if (!x) exit(1);
    for (size_t i = 0; i < n; i++) x[i] = (float)(i % (size_t)k) * 0.01f;
    return x;
}

typedef enum op { FWD, DGRAD, WGRAD, N_OPS } op;
typedef struct data { k_ctx *ctx; k_mm s; float *x, *w, *y, *packed, *dw; } data;

static void once(const data *d, op o, const k_ops *ours)
{
    const k_weight w = {{d->w, 0}, {ours ? d->packed : NULL, 0}};
    const k_cact x = {d->x, 0}, y = {d->y, 0};
    const k_act xa = {d->x, 0}, ya = {d->y, 0};
    const k_arr dw = {d->dw, 0};
    const k_mult one = {0};
    if (o == FWD) (ours ? ours->matmul_fwd : k_matmul_fwd_cpu)(d->ctx, ya, x, w, one, false, &d->s, NULL);
    if (o == DGRAD) (ours ? ours->matmul_dgrad : k_matmul_dgrad_cpu)(d->ctx, xa, y, w, one, false, &d->s, NULL);
    if (o == WGRAD) (ours ? ours->matmul_wgrad : k_matmul_wgrad_cpu)(d->ctx, dw, y, x, one, true, &d->s, NULL);
}

static double rate(const data *d, op o, const k_ops *ours)
{
    const double flops = 2.0 * (double)(d->s.n * d->s.in * d->s.out);
    const int n = (int)(2e9 / flops) + 1;
    double best = 0;
    for (int k = 0; k < 7; k++) {
        const double t = cpu_now();
        for (int i = 0; i < n; i++) once(d, o, ours);
        const double r = flops * n / (cpu_now() - t) / 1e9;
        best = r > best ? r : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static const size_t shapes[][2] = {{64, 192},  {64, 64},    {64, 256},  {256, 64},   {128, 128},
                                       {128, 512}, {512, 128},  {256, 256}, {256, 1024}, {1024, 256},
                                       {64, 4096}, {128, 4096}, {256, 4096}};
    blas_core_fit(argv);
    k_blas_one_thread();
    const size_t rows = argc > 1 ? (size_t)atoi(argv[1]) : 256;
    const k_ops *ops = NULL;
    err e = {0};
    if (k_backend(&ops, "cpu", &e)) {
        fprintf(stderr, "bench/matmul: %s\n", e.msg);
        return 1;
    }
    printf("%s, BLAS %s, %zu rows; best of 7, GFLOP/s per CPU second\n   in   out    fwd  cblas  dgrad  cblas  wgrad "
           " cblas\n",
           ops->level, k_blas_core_name(), rows);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t in = shapes[i][0], out = shapes[i][1], np = ops->pack_len ? ops->pack_len(out, in) : 0;
        data d = {.s = {1, rows, in, out, in, out + 16},
                  .x = fill(rows * in, 7),
                  .w = fill(in * out, 5),
                  .y = fill(rows * (out + 16), 3),
                  .packed = np ? fill(np, 5) : NULL,
                  .dw = fill(in * out, 11)};
        if (ops->ctx_new(&d.ctx, ops->mm_scratch(&d.s), &e)) return 1;
        printf("%5zu %5zu", in, out);
        for (op o = FWD; o < N_OPS; o++) printf(" %6.1f %6.1f", rate(&d, o, np ? ops : NULL), rate(&d, o, NULL));
        putchar('\n');
        ops->ctx_free(d.ctx);
        free(d.x), free(d.w), free(d.y), free(d.packed), free(d.dw);
    }
    return 0;
}
