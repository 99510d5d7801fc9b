/* Training step (forward, loss, backward, AdamW; fp32, one thread) in useful FLOP/s over the single-thread sgemm peak
 * of the same BLAS, measured in turns with it. CPU seconds of the thread, so that other programs on the machine do
 * not count; wall beside it. bench/step [rounds [shape number, 0 .. 5]]     one shape alone: no tables of workers and
 * memory; 6: only those */
#include <cblas.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/rng.h"
#include "bench/blas_core.h"
#include "kernels/blas.h"
#include "trainer/bank.h"

enum { BATCH = 16, T = 128, MAX_ROUNDS = 101, PEAK_N = 2048 };

static const struct { int64_t layers, d, head_dim, vocab; double required; } shapes[] = {
    {2, 64, 32, 256, 0.60},  {4, 128, 32, 256, 0.75},  {4, 256, 64, 256, 0.80},
    {2, 64, 32, 4096, 0.60}, {4, 128, 32, 4096, 0.75}, {4, 256, 64, 4096, 0.80},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static double cpu_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

static void die(const err *e)
{
    fprintf(stderr, "bench/step: %s\n", e->msg);
    exit(1);
}

static void *must(void *p)
{
    if (p) return p;
    fputs("bench/step: out of memory\n", stderr);
    exit(1);
}

static shape shape_of(int i)
{
    return (shape){.vocab = shapes[i].vocab,
                   .d_model = shapes[i].d,
                   .n_layer = shapes[i].layers,
                   .n_head = shapes[i].d / shapes[i].head_dim,
                   .n_kv_head = shapes[i].d / shapes[i].head_dim,
                   .head_dim = shapes[i].head_dim,
                   .d_ff = 4 * shapes[i].d,
                   .seq_len = T,
                   .act = ACT_GELU,
                   .tied_head = true,
                   .rope_theta = 10000};
}

typedef struct subject { bank *b; size_t R; uint64_t step; int32_t *tokens; double flops; } subject;

static subject subject_new(shape s, size_t R, int threads)
{
    err e = {0};
    subject x = {.R = R};
    bank_opts o = {.shape = s, .n_replicas = R, .batch = BATCH, .shards = 2, .threads = threads, .backend = "cpu"};
    if (bank_new(&x.b, &o, &e)) die(&e);
    const size_t n = shape_tensors(&s, NULL, 0);
    mup_tensor *t = must(calloc(n, sizeof *t));
    for (size_t i = 0; i < n; i++)
        t[i] = (mup_tensor){.init_std = 0.02, .forward_mult = 1, .lr = 1e-3, .eps = 1e-8, .weight_decay = 0.1};
    bank_hparams h = {.tensors = t,
                      .model = {1, 1 / sqrt((double)s.head_dim), 1, 1},
                      .beta1 = 0.9,
                      .beta2 = 0.95,
                      .clip_norm = 1,
                      .seed = 1};
    for (size_t r = 0; r < R; r++)
        if (bank_set_replica(x.b, r, &h, &e)) die(&e);
    free(t);
    x.tokens = must(malloc(BATCH * (T + 1) * sizeof *x.tokens));
    for (size_t i = 0; i < BATCH * (T + 1); i++) x.tokens[i] = (int32_t)rng_below((uint64_t)s.vocab, 3, RNG_TEST, 0, i);
    x.flops = shape_flops_per_token(&s, FLOPS_EXACT) * BATCH * T * (double)R;
    return x;
}

static void subject_free(subject *x)
{
    bank_free(x->b);
    free(x->tokens);
}

static void step(subject *x)
{
    err e = {0};
    const int32_t *tokens[8];
    double lr[8];
    uint64_t at[8];
    bool active[8];
    bank_step_out out[8];
    x->step++;
    for (size_t r = 0; r < x->R; r++) tokens[r] = x->tokens, lr[r] = 1, at[r] = x->step, active[r] = true;
    if (bank_step(x->b, out, tokens, lr, at, active, &e)) die(&e);
    if (!out[0].finite) {
        fputs("bench/step: the loss is not finite\n", stderr);
        exit(1);
    }
}

/* FLOP/s of about `seconds` of steps; *wall gets the rate by the clock on the wall. */
static double rate(subject *x, double seconds, double *wall)
{
    const double c0 = cpu_now(), w0 = io_now();
    double n = 0;
    do {
        step(x);
        n++;
    } while (io_now() - w0 < seconds);
    *wall = n * x->flops / (io_now() - w0);
    return n * x->flops / (cpu_now() - c0);
}

static double peak(const float *a, const float *b, float *c)
{
    const double c0 = cpu_now();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, PEAK_N, PEAK_N, PEAK_N, 1, a, PEAK_N, b, PEAK_N, 0, c,
                PEAK_N);
    return 2.0 * PEAK_N * PEAK_N * PEAK_N / (cpu_now() - c0);
}

static void ratios(int rounds, int from, int to)
{
    static const size_t n = (size_t)PEAK_N * PEAK_N;
    float *a = must(aligned_alloc(64, n * sizeof *a)), *b = must(aligned_alloc(64, n * sizeof *b)),
          *c = must(aligned_alloc(64, n * sizeof *c));
    subject x[N_SHAPES];
    double p[MAX_ROUNDS], ratio[N_SHAPES][MAX_ROUNDS], by_wall[N_SHAPES][MAX_ROUNDS], gf[N_SHAPES][MAX_ROUNDS];
    for (size_t i = 0; i < n; i++) a[i] = (float)(i % 7) * 0.1f, b[i] = (float)(i % 5) * 0.1f;
    memset(c, 0, n * sizeof *c);
    for (int i = from; i < to; i++) {
        x[i] = subject_new(shape_of(i), 1, 1);
        step(&x[i]);
    }
    peak(a, b, c);
    printf("device %s; sgemm peak: %d^3, one thread, the same BLAS\n", bank_device_name(x[from].b), PEAK_N);
    cpu_level level;
    if (!cpu_level_chosen(&level, NULL) && *k_blas_core_name() && !k_blas_core_fits(k_blas_core_name(), level))
        printf("note: the BLAS core is below the level in use, so the ratios flatter: unset OPENBLAS_CORETYPE, or "
               "set MUSCALE_CPU to match\n");
    printf("useful FLOPs per token: 6*(12*L*d^2 + V*d) + 6*L*T*d (head counted, table lookup not, causal attention "
           "once), B %d, T %d, GELU 4d, tied\n",
           BATCH, T);
    for (int k = 0; k < rounds; k++)
        for (int i = from; i < to; i++) {
            double wall;
            if (i == from || i % 3 == 0) p[k] = peak(a, b, c) / 1e9;
            gf[i][k] = rate(&x[i], 0.12, &wall) / 1e9;
            ratio[i][k] = gf[i][k] / p[k];
            by_wall[i][k] = wall / 1e9;
        }
    printf("sgemm peak %.1f GFLOP/s (median of %d)\n", median(p, rounds), rounds);
    for (int i = from; i < to; i++) {
        const double m = median(ratio[i], rounds), tok = median(by_wall[i], rounds) * 1e9 / x[i].flops * BATCH * T;
        printf("L%" PRId64 " d%-3" PRId64 " V%-4" PRId64
               " %6.1f GFLOP/s  ratio %.3f [%.3f, %.3f]  required %.2f %s  wall %.1f GFLOP/s %.0f tokens/s\n",
               shapes[i].layers, shapes[i].d, shapes[i].vocab, median(gf[i], rounds), m, ratio[i][0],
               ratio[i][rounds - 1], shapes[i].required, m >= shapes[i].required ? "ok" : "BELOW",
               median(by_wall[i], rounds), tok);
        subject_free(&x[i]);
    }
    free(a);
    free(b);
    free(c);
}

static double process_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct apart { subject x; double wall; } apart;

static void *run_apart(void *self)
{
    apart *a = self;
    rate(&a->x, 0.2, &a->wall);
    return NULL;
}

/* Two banks of one that share nothing, on a thread each: what this machine gives to two threads at this moment. */
static double independent(apart pair[2])
{
    pthread_t other;
    if (pthread_create(&other, NULL, run_apart, &pair[1])) return 0;
    run_apart(&pair[0]);
    pthread_join(other, NULL);
    return pair[0].wall + pair[1].wall;
}

/* Two workers on a bank of two against one, in turns, by the wall, which needs both processors to be free and to be
 * two: a virtual machine's may be halves of one core. Hence beside it the same of two independent banks. */
static void workers(int rounds)
{
    for (int i = 0; i < 3; i++) {
        double gain[MAX_ROUNDS], limit[MAX_ROUNDS], share[MAX_ROUNDS], cost[MAX_ROUNDS];
        subject one = subject_new(shape_of(i), 2, 1), two = subject_new(shape_of(i), 2, 2);
        apart pair[2] = {{subject_new(shape_of(i), 1, 1), 0}, {subject_new(shape_of(i), 1, 1), 0}};
        step(&one);
        step(&two);
        for (int k = 0; k < rounds; k++) {
            double w1, w2, c0 = process_cpu(), s1 = (double)one.step, s2 = (double)two.step;
            rate(&one, 0.2, &w1);
            const double c1 = (process_cpu() - c0) / ((double)one.step - s1);
            c0 = process_cpu();
            rate(&two, 0.2, &w2);
            cost[k] = 2 * c1 / ((process_cpu() - c0) / ((double)two.step - s2));
            gain[k] = w2 / w1;
            limit[k] = independent(pair) / w1;
            share[k] = gain[k] / limit[k];
        }
        const double m = median(gain, rounds);
        printf("bank of 2, L%" PRId64 " d%" PRId64
               ": two workers give %.2fx the tokens/s of one [%.2f, %.2f], required 1.9 %s; "
               "two independent banks %.2fx, ratio %.2f; by CPU seconds %.2fx\n",
               shapes[i].layers, shapes[i].d, m, gain[0], gain[rounds - 1], m >= 1.9 ? "ok" : "BELOW",
               median(limit, rounds), median(share, rounds), median(cost, rounds));
        subject_free(&one);
        subject_free(&two);
        subject_free(&pair[0].x);
        subject_free(&pair[1].x);
    }
}

static double resident_mb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*s %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return (double)pages * 4096 / 1e6;
}

static void memory(void)
{
    for (int i = 2; i < N_SHAPES; i += 3)
        for (size_t R = 1; R <= 4; R += 3) {
            shape s = shape_of(i);
            const bank_opts o = {
                .shape = s, .n_replicas = R, .batch = BATCH, .shards = 2, .threads = 1, .backend = "cpu"};
            const double before = resident_mb(), needed = (double)bank_bytes_needed(&o) / 1e6;
            subject x = subject_new(s, R, 1);
            step(&x);
            const double used = resident_mb() - before, state = 16e-6 * (double)(R * bank_stride(x.b));
            printf("memory L%" PRId64 " d%" PRId64 " V%" PRId64
                   " R%zu: needed %.1f MB (parameters, gradients, moments %.1f), resident %.1f MB, ratio %.2f\n",
                   shapes[i].layers, shapes[i].d, shapes[i].vocab, R, needed, state, used, used / needed);
            subject_free(&x);
        }
}

int main(int argc, char **argv)
{
    blas_core_fit(argv);
    k_blas_one_thread();
    int rounds = argc > 1 ? atoi(argv[1]) : 7;
    if (rounds < 1 || rounds > MAX_ROUNDS) rounds = 7;
    const int only = argc > 2 ? atoi(argv[2]) : -1;
    if (only >= 0 && only < N_SHAPES) {
        ratios(rounds, only, only + 1);
        return 0;
    }
    memory();
    if (only != N_SHAPES) ratios(rounds, 0, N_SHAPES);
    workers(rounds);
    return 0;
}
