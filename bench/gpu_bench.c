/* gpu-bench: the table of speeds on a GPU. JSON lines on stdout, the same as a Markdown table after them.
 *
 *   gpu_bench [--reps N] [--case NAME] [--peers FILE] [--backend cuda] [--strict]
 *                                 the table; FILE: lines of bench/peers/; strict: exit 1 when a row misses its target
 *   gpu_bench --ops NAME [R]      every op of a step alone, by the largest gap to its bound
 *   gpu_bench --trace NAME [R]    every kernel of a step as it ran (needs libcupti)
 *   gpu_bench --count NAME [R]    what is counted: FLOPs, least bytes, bytes as the ops are called; needs no device
 *
 * Every ratio is inside one run on one device: the matrix peak and the copy bandwidth are measured before each case and
 * after the last; their spread is the noise of the clocks. Exit 77: no device. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "bench/gpu_loop.h"
#include "bench/gpu_ops.h"
#include "bench/gpu_table.h"
#include "bench/gpu_trace.h"

enum { MAX_CASES = 8, SKIPPED = 77 };

typedef struct settings {
    const char *program, *only, *peers, *backend;
    int reps;
    bool strict;
} settings;

static int fail(const err *e)
{
    fprintf(stderr, "gpu_bench: %s\n", e->msg);
    return 1;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */
static status time_bank(gpu_time *out, const gpu_case *c, size_t R, const settings *o, err *e)
{
    gpu_run *r = NULL;
    status s = gpu_run_new(&r, c, R, o->backend, e);
    if (!s) s = gpu_run_time(out, r, o->reps, e);
    gpu_run_free(r);
    return s;
}

/* Seconds of the kernels of one step, from a process of its own: tracing slows the one it is in. 0: not to be had. */
static double traced_sum(const gpu_case *c, size_t R, const settings *o)
{
    char command[1024];
    double sum = 0;
    snprintf(command, sizeof command, "'%s' --backend '%s' --kernel-sum '%s' %zu 2>&1", o->program, o->backend, c->name,
             R);
    FILE *f = popen(command, "r");
    if (!f) return 0;
    if (fscanf(f, "kernels %lf", &sum) != 1) sum = 0;
    while (fgetc(f) != EOF) {}
    return pclose(f) ? 0 : sum;
}

static status kernel_sum(gpu_result *x, const settings *o, err *e)
{
    x->kernels = traced_sum(x->c, 1, o);
    x->kernels_by = "CUPTI";
    if (x->kernels > 0) return ST_OK;
    /* Without CUPTI: each op repeated in a graph. Contains the gaps between kernels, which flatters the ratio. */
    op_rows *rows = malloc(sizeof *rows);
    const shape s = gpu_case_shape(x->c);
    status st = rows ? ops_watch(rows, &s, 1, x->c->batch, o->backend, OPS_TIMED, e)
                     : err_set(e, ST_NOMEM, "out of memory");
    if (!st) x->kernels = rows->seconds;
    x->kernels_by = "ops repeated, gaps between kernels included";
    free(rows);
    return st;
}

/* As many steps of the loop as fill half a second. */
static status time_loop(gpu_result *x, const settings *o, err *e)
{
    const double n = 0.5 / x->bank.median;
    return gpu_loop_time(&x->loop, x->c, x->c->R, o->backend, n < 10 ? 10 : n > 500 ? 500 : (int)n, e);
}

/* Bytes that the ops of a step move as they are called. */
static status bytes_called(double *out, const gpu_case *c, const settings *o, err *e)
{
    op_rows *rows = malloc(sizeof *rows);
    const shape s = gpu_case_shape(c);
    status st = rows ? ops_watch(rows, &s, c->R, c->batch, o->backend, OPS_COUNTED, e)
                     : err_set(e, ST_NOMEM, "out of memory");
    if (!st) *out = rows->bytes;
    free(rows);
    return st;
}

static status measure(gpu_result *x, gpu_peak *peak, const settings *o, err *e)
{
    const gpu_case *c = x->c;
    const shape s = gpu_case_shape(c);
    gpu_rates before, after;
    status st = gpu_peak_measure(peak, &before, e);
    if (!st) st = time_bank(&x->bank, c, c->R, o, e);
    if (!st) st = gpu_peak_measure(peak, &after, e);
    if (!st) st = time_loop(x, o, e);
    if (!st) st = bytes_called(&x->called, c, o, e);
    x->one = x->bank;
    if (!st && c->R > 1) st = time_bank(&x->one, c, 1, o, e);
    if (!st && c->R > 1) st = kernel_sum(x, o, e);
    if (!st) st = gpu_run_memory(&x->memory, c, c->R, o->backend, e);
    if (st) return st;
    const size_t weight = 2;
    x->rates = (gpu_rates){0.5 * (before.bf16 + after.bf16), 0.5 * (before.fp32 + after.fp32),
                           0.5 * (before.copy + after.copy)};
    x->counted = count_step(&s, c->R, c->batch, 2, weight);
    x->counted_one = count_step(&s, 1, c->batch, 2, weight);
    x->memory_by_shape = count_memory(&s, c->R, c->batch, 2, weight);
    x->bound = count_bound(&x->counted, x->rates.bf16, x->rates.copy);
    x->bound_one = count_bound(&x->counted_one, x->rates.bf16, x->rates.copy);
    if (o->peers) {
        st = gpu_peer_rate(&x->torch, o->peers, "torch-compile", c->name, e);
        if (!st) st = gpu_peer_rate(&x->jax, o->peers, "jax-vmap", c->name, e);
    }
    return st;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */
static void widen(gpu_rates *least, gpu_rates *most, const gpu_rates *x)
{
    *least = (gpu_rates){fmin(least->bf16, x->bf16), fmin(least->fp32, x->fp32), fmin(least->copy, x->copy)};
    *most = (gpu_rates){fmax(most->bf16, x->bf16), fmax(most->fp32, x->fp32), fmax(most->copy, x->copy)};
}

static void json_peak(const gpu_peak *p, const gpu_rates *r, const char *device)
{
    gpu_size size[8];
    const size_t n = gpu_peak_sizes(p, size, 8);
    printf("{" GPU_BENCH_SCHEMA
           ",\"kind\":\"peak\",\"device\":\"%s\",\"bf16\":%.6g,\"fp32\":%.6g,\"copy\":%.6g,\"sizes\":[",
           device, r->bf16, r->fp32, r->copy);
    for (size_t i = 0; i < n && i < 8; i++)
        printf("%s{\"m\":%zu,\"n\":%zu,\"k\":%zu,\"rate\":%.6g}", i ? "," : "", size[i].m, size[i].n, size[i].k,
               size[i].rate);
    puts("]}");
    fflush(stdout);
}

static int table(const settings *o, const char *device)
{
    static const gpu_rates none = {INFINITY, INFINITY, INFINITY};
    err e = {0};
    gpu_peak *peak = NULL;
    gpu_rates rates, least = none, most = {0};
    gpu_result x[MAX_CASES] = {{0}};
    size_t n = 0;
    status s = gpu_peak_new(&peak, &e);
    if (!s) s = gpu_peak_measure(peak, &rates, &e);
    if (!s) json_peak(peak, &rates, device);
    for (size_t i = 0; i < gpu_n_cases && i < MAX_CASES && !s; i++) {
        if (o->only && strcmp(o->only, gpu_cases[i].name)) continue;
        x[n].c = &gpu_cases[i];
        if ((s = measure(&x[n], peak, o, &e))) break;
        widen(&least, &most, &x[n].rates);
        gpu_table_json(&x[n++]);
    }
    gpu_tally t = {0};
    if (!s) t = gpu_table_markdown(x, n, device, &least, &most);
    gpu_peak_free(peak);
    return s ? fail(&e) : o->strict && t.missed;
}

/* ---- one case taken apart ---------------------------------------------------------------------------------------- */
static int by_gap(const void *a, const void *b)
{
    const op_row *x = a, *y = b; /* `bytes` holds the gap by now */
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static int print_ops(op_rows *t, const gpu_case *c, size_t R, const gpu_rates *r)
{
    double bounds[OPS_MAX_ROWS], sum = 0;
    printf("%s, R = %zu: every op alone, replayed; its bound is the larger of FLOPs over %.0f TFLOP/s and bytes over "
           "%.2f TB/s\n\n",
           c->name, R, 1e-12 * r->bf16, 1e-12 * r->copy);
    puts("| op | sizes | calls | us a call | bound, us | by | share | ms a step | gap, ms a step |\n"
         "| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (size_t i = 0; i < t->n; i++) {
        op_row *o = &t->row[i];
        const double f = o->flops / r->bf16, b = o->bytes / r->copy;
        bounds[i] = fmax(f, b);
        sum += bounds[i] * (double)o->calls;
        o->flops = f >= b ? bounds[i] : -bounds[i]; /* the sign says which */
        o->bytes = (o->seconds - bounds[i]) * (double)o->calls;
    }
    qsort(t->row, t->n, sizeof *t->row, by_gap);
    for (size_t i = 0; i < t->n; i++) {
        const op_row *o = &t->row[i];
        const double b = fabs(o->flops);
        printf("| %s | %s | %zu | %.2f | %.2f | %s | %.2f | %.4f | %.4f |\n", o->slot, o->sizes, o->calls,
               1e6 * o->seconds, 1e6 * b, o->flops > 0 ? "FLOPs" : "bytes", b / o->seconds,
               1e3 * o->seconds * (double)o->calls, 1e3 * o->bytes);
    }
    printf("\nsum of ops %.4f ms, of their bounds %.4f ms (share %.2f)\n", 1e3 * t->seconds, 1e3 * sum,
           sum / t->seconds);
    return 0;
}

static int ops(const gpu_case *c, size_t R, const settings *o, const char *device)
{
    err e = {0};
    gpu_peak *peak = NULL;
    gpu_rates r = {0};
    op_rows *rows = malloc(sizeof *rows);
    const shape s = gpu_case_shape(c);
    status st = rows ? gpu_peak_new(&peak, &e) : err_set(&e, ST_NOMEM, "out of memory");
    if (!st) st = gpu_peak_measure(peak, &r, &e);
    gpu_peak_free(peak);
    if (!st) st = ops_watch(rows, &s, R, c->batch, o->backend, OPS_TIMED, &e);
    const int rc = st ? fail(&e) : print_ops(rows, c, R, &r);
    if (!st) printf("%s\n", device);
    free(rows);
    return rc;
}

enum { TRACED_STEPS = 10 };
static int traced(const gpu_case *c, size_t R, const settings *o, bool sum_only)
{
    err e = {0};
    gpu_run *r = NULL;
    trace t = {0};
    status s = trace_begin(&e);
    if (!s) s = gpu_run_new(&r, c, R, o->backend, &e);
    if (!s) s = gpu_run_steps(r, 5, &e);
    if (!s) {
        trace_clear();
        s = gpu_run_steps(r, TRACED_STEPS, &e);
    }
    if (!s) s = trace_end(&t, &e);
    if (!s && sum_only) printf("kernels %.9g\n", t.kernels / TRACED_STEPS);
    if (!s && !sum_only) {
        printf("%s, R = %zu, %s: kernels of a step, mean of %d\n\n| kernel | a step | us each | ms a step | share |\n| "
               "--- | --- | --- | --- | --- |\n",
               c->name, R, gpu_run_device(r), TRACED_STEPS);
        for (size_t i = 0; i < t.n; i++)
            printf("| `%s` | %.1f | %.2f | %.4f | %.1f %% |\n", t.row[i].name, (double)t.row[i].n / TRACED_STEPS,
                   1e6 * t.row[i].seconds / (double)t.row[i].n, 1e3 * t.row[i].seconds / TRACED_STEPS,
                   100 * t.row[i].seconds / t.kernels);
        printf("\nkernels %.4f ms a step, copies %.4f ms\n", 1e3 * t.kernels / TRACED_STEPS,
               1e3 * t.copies / TRACED_STEPS);
    }
    trace_free(&t);
    gpu_run_free(r);
    return s ? fail(&e) : 0;
}

/* The least, and what the ops move as they are called today. */
static int counted(const gpu_case *c, size_t R, const settings *o)
{
    const shape s = gpu_case_shape(c);
    const count k = count_step(&s, R, c->batch, 2, 2);
    op_rows *t = malloc(sizeof *t);
    err e = {0};
    status st = t ? ops_watch(t, &s, R, c->batch, o->backend, OPS_COUNTED, &e) : err_set(&e, ST_NOMEM, "out of memory");
    if (st) {
        free(t);
        return fail(&e);
    }
    printf("%s, R = %zu: one step, bf16 activations and products, fp32 master weights\n\n| what | GFLOP | MB |\n| --- "
           "| --- | --- |\n",
           c->name, R);
    for (int i = 0; i < COUNT_ROWS; i++)
        printf("| %s | %.1f | %.1f |\n", k.row[i].what, 1e-9 * k.row[i].flops, 1e-6 * k.row[i].bytes);
    printf("| sum | %.1f | %.1f |\n\n%.0f FLOPs a byte; memory to hold, workspaces apart: %.1f MB\n", 1e-9 * k.flops,
           1e-6 * k.bytes, k.flops / k.bytes, 1e-6 * count_memory(&s, R, c->batch, 2, 2));
    puts("\n| op as called | sizes | calls | MB a call | MB a step |\n| --- | --- | --- | --- | --- |");
    size_t calls = 0;
    for (size_t i = 0; i < t->n; i++) {
        const op_row *x = &t->row[i];
        calls += x->calls;
        printf("| %s | %s | %zu | %.1f | %.1f |\n", x->slot, x->sizes, x->calls, 1e-6 * x->bytes,
               1e-6 * x->bytes * (double)x->calls);
    }
    printf("| sum | | %zu | | %.1f |\n\nWith every op at copy bandwidth a step of bytes reaches %.3f of its bound.\n",
           calls, 1e-6 * t->bytes, k.bytes / t->bytes);
    free(t);
    return 0;
}

/* ---- the command line -------------------------------------------------------------------------------------------- */
static int usage(void)
{
    fputs("usage: gpu_bench [--reps N] [--case NAME] [--peers FILE] [--backend cuda|cuda-fp32] [--strict]\n"
          "       gpu_bench --ops|--trace|--count NAME [R]\n       NAME:",
          stderr);
    for (size_t i = 0; i < gpu_n_cases; i++) fprintf(stderr, " %s", gpu_cases[i].name);
    fputs("\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    settings o = {.program = argv[0], .backend = "cuda", .reps = 9};
    const char *mode = NULL;
    const gpu_case *c = NULL;
    size_t R = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--reps") && value) o.reps = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--case") && value) o.only = argv[++i];
        else if (!strcmp(argv[i], "--peers") && value) o.peers = argv[++i];
        else if (!strcmp(argv[i], "--backend") && value) o.backend = argv[++i];
        else if (!strcmp(argv[i], "--strict")) o.strict = true;
        else if (!strncmp(argv[i], "--", 2) && value && !mode) {
            mode = argv[i] + 2;
            if (!(c = gpu_case_find(argv[++i]))) return usage();
            R = i + 1 < argc && argv[i + 1][0] != '-' ? (size_t)strtoul(argv[++i], NULL, 10) : c->R;
        } else return usage();
    }
    if (o.only && !gpu_case_find(o.only)) return usage();
    if (mode && (!R || R > 4096 || o.strict)) return usage();
    if (mode && !strcmp(mode, "count")) return counted(c, R, &o);
    if (mode && !strcmp(mode, "trace")) return traced(c, R, &o, false);
    if (mode && !strcmp(mode, "kernel-sum")) return traced(c, R, &o, true);
    if (mode && strcmp(mode, "ops")) return usage();
    err e = {0};
    char device[256];
    if (gpu_describe(device, sizeof device, &e)) {
        printf("SKIP: %s\n", e.msg);
        return SKIPPED;
    }
    return mode ? ops(c, R, &o, device) : table(&o, device);
}
