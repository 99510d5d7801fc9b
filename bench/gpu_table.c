#include "bench/gpu_table.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static double tokens(const gpu_case *c, size_t R) { return (double)R * (double)c->batch * (double)c->seq_len; }

static const char *count_verdict(gpu_tally *t, bool good, const char *else_)
{
    *(good ? &t->met : &t->missed) += 1;
    return good ? "ok" : else_;
}
static const char *verdict(gpu_tally *t, double x, double least) { return count_verdict(t, x >= least, "BELOW"); }
static const char *verdict_most(gpu_tally *t, double x, double most) { return count_verdict(t, x <= most, "ABOVE"); }

void gpu_table_json(const gpu_result *x)
{
    const gpu_case *c = x->c;
    const double rate = tokens(c, c->R) / x->bank.median, one = tokens(c, 1) / x->one.median;
    printf(
        "{" GPU_BENCH_SCHEMA ",\"kind\":\"case\",\"case\":\"%s\",\"n_layer\":%lld,\"d_model\":%lld,\"vocab\":%lld,"
        "\"seq_len\":%lld,\"batch\":%zu,\"R\":%zu,\"step_s\":%.6g,\"step_min_s\":%.6g,\"step_max_s\":%.6g,\"reps\":%d,"
        "\"steps_per_rep\":%d,\"model_tokens_per_s\":%.6g,\"flops\":%.6g,\"least_bytes\":%.6g,\"bf16_peak\":%.6g,"
        "\"copy_bytes_per_s\":%.6g,\"share_of_peak\":%.4f,\"bound_s\":%.6g,\"bound_by\":\"%s\",\"share_of_bound\":%."
        "4f,",
        c->name, (long long)c->n_layer, (long long)c->d_model, (long long)c->vocab, (long long)c->seq_len, c->batch,
        c->R, x->bank.median, x->bank.min, x->bank.max, x->bank.reps, x->bank.steps, rate, x->counted.flops,
        x->counted.bytes, x->rates.bf16, x->rates.copy, x->counted.flops / x->bank.median / x->rates.bf16,
        x->bound.seconds, x->bound.by_flops > x->bound.by_bytes ? "flops" : "bytes", x->bound.seconds / x->bank.median);
    printf(
        "\"step_one_s\":%.6g,\"ratio_to_one\":%.4f,\"ratio_allowed\":%.4f,\"bound_one_s\":%.6g,\"memory_bytes\":%.0f,"
        "\"memory_needed\":%.0f,\"memory_by_shape\":%.0f",
        x->one.median, rate / one, x->one.median * (double)c->R / x->bound.seconds, x->bound_one.seconds,
        x->memory.taken, x->memory.needed, x->memory_by_shape);
    if (x->kernels > 0) printf(",\"kernels_one_s\":%.6g,\"kernels_by\":\"%s\"", x->kernels, x->kernels_by);
    printf(",\"called_bytes\":%.6g,\"share_reachable\":%.4f", x->called, x->counted.bytes / x->called);
    if (x->loop.median > 0) printf(",\"loop_step_s\":%.6g", x->loop.median);
    if (x->torch.rate > 0)
        printf(",\"torch_tokens_per_s\":%.6g,\"torch_mode\":\"%s\"", x->torch.rate, x->torch.mode);
    if (x->jax.rate > 0) printf(",\"jax_tokens_per_s\":%.6g", x->jax.rate);
    puts("}");
    fflush(stdout);
}

static void row_speed(gpu_tally *t, const gpu_result *x)
{
    const gpu_case *c = x->c;
    const double of_peak = x->counted.flops / x->bank.median / x->rates.bf16,
                 of_bound = x->bound.seconds / x->bank.median;
    printf("| %s, R = %zu | step %.3f ms [%.3f, %.3f], %.4g model-tokens/s | %.3f ms (%s: %.3f ms FLOPs, %.3f ms "
           "bytes) | ",
           c->name, c->R, 1e3 * x->bank.median, 1e3 * x->bank.min, 1e3 * x->bank.max, tokens(c, c->R) / x->bank.median,
           1e3 * x->bound.seconds, x->bound.by_flops > x->bound.by_bytes ? "matmul" : "bandwidth",
           1e3 * x->bound.by_flops, 1e3 * x->bound.by_bytes);
    if (c->R == 1)
        printf("%.1f %% of the bf16 peak (%.1f %% of the bound) | %.0f %% of the peak | %s |\n", 100 * of_peak,
               100 * of_bound, 100 * c->share, verdict(t, of_peak, c->share));
    else
        printf("%.1f %% of the bound (%.1f %% of the bf16 peak; in reach with the ops as they are called: %.0f %%) | "
               "%.0f %% of the bound | %s |\n",
               100 * of_bound, 100 * of_peak, 100 * x->counted.bytes / x->called, 100 * c->share,
               verdict(t, of_bound, c->share));
}

static void row_peer(gpu_tally *t, const gpu_result *x, const char *peer, const gpu_peer *theirs, double least)
{
    if (least <= 0) return;
    if (theirs->rate <= 0) {
        t->open++;
        printf("| %s against %s | not measured | | | %.2fx | |\n", x->c->name, peer, least);
        return;
    }
    const double ratio = tokens(x->c, x->c->R) / x->bank.median / theirs->rate;
    printf("| %s against %s | %.4g tokens/s there%s%s | | %.2fx | %.2fx | %s |\n", x->c->name, peer, theirs->rate,
           *theirs->mode ? ", fastest way: " : "", theirs->mode, ratio, least, verdict(t, ratio, least));
}

static void rows_bank(gpu_tally *t, const gpu_result *x)
{
    const gpu_case *c = x->c;
    if (c->R > 1) {
        const double ratio = (double)c->R * x->one.median / x->bank.median;
        printf("| %s, ratio to our own R = 1 | R = 1: step %.3f ms | at the bound of R = %zu: %.1fx | %.1fx | printed "
               "| |\n",
               c->name, 1e3 * x->one.median, c->R, (double)c->R * x->one.median / x->bound.seconds, ratio);
        const bool required = !strcmp(c->name, "d128");
        printf("| %s, R = 1: step over its kernels | %.3f ms over %.3f ms (%s) | | %.2fx | %s | %s |\n", c->name,
               1e3 * x->one.median, 1e3 * x->kernels, x->kernels_by, x->one.median / x->kernels,
               required ? "1.30x" : "printed", required ? verdict_most(t, x->one.median / x->kernels, 1.3) : "");
    }
    if (x->loop.median > 0)
        printf("| %s, R = %zu: train_bank, a journal per replica | %.3f ms a step [%.3f, %.3f] over the bare %.3f ms | "
               "| %.2fx | printed | |\n",
               c->name, c->R, 1e3 * x->loop.median, 1e3 * x->loop.min, 1e3 * x->loop.max, 1e3 * x->bank.median,
               x->loop.median / x->bank.median);
    const double ratio = x->memory.taken / x->memory.needed;
    printf("| %s, memory | %.1f MB taken | %.1f MB counted | %.3fx | 1.15x | %s |\n", c->name, 1e-6 * x->memory.taken,
           1e-6 * x->memory.needed, ratio, verdict_most(t, ratio, 1.15));
}

gpu_tally gpu_table_markdown(const gpu_result *x, size_t n, const char *device, const gpu_rates *least,
                             const gpu_rates *most)
{
    gpu_tally t = {0};
    printf("\n%s. bf16 matrix peak %.0f to %.0f TFLOP/s, fp32 %.1f to %.1f, copy %.2f to %.2f TB/s over the run.\n\n",
           device, 1e-12 * least->bf16, 1e-12 * most->bf16, 1e-12 * least->fp32, 1e-12 * most->fp32,
           1e-12 * least->copy, 1e-12 * most->copy);
    puts("| case | measured | counted bound | ratio | must reach | |\n| --- | --- | --- | --- | --- | --- |");
    for (size_t i = 0; i < n; i++) {
        row_speed(&t, &x[i]);
        row_peer(&t, &x[i], x[i].c->R > 1 ? "PyTorch compile, one after another" : "PyTorch compile", &x[i].torch,
                 x[i].c->torch);
        row_peer(&t, &x[i], "JAX vmap", &x[i].jax, x[i].c->jax);
        rows_bank(&t, &x[i]);
    }
    printf("\nOf the rows with a target %d reach it, %d do not, %d lack a peer.\n", t.met, t.missed, t.open);
    return t;
}
