#include "tests/cli/export_ours.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/backend.h"
#include "trainer/model.h"
#include "trainer/model_plan.h"

status ours_open(ours *o, const char *config_yaml, err *e)
{
    memset(o, 0, sizeof *o);
    status s = config_load(&o->c, config_yaml, e);
    if (!s) s = config_resolve(&o->c, e);
    if (s) return s;
    const trainer_config *c = &o->c;
    o->n = shape_tensors(&c->shape, NULL, 0);
    o->stride = shape_param_stride(&c->shape);
    o->shape = calloc(o->n, sizeof *o->shape);
    o->tensor = calloc(o->n, sizeof *o->tensor);
    o->weights = calloc(o->stride, sizeof *o->weights);
    if (!o->shape || !o->tensor || !o->weights) return err_set(e, ST_NOMEM, "no memory");
    shape_tensors(&c->shape, o->shape, o->n);
    if ((s = config_hparams(c, o->tensor, &o->mult, e)) || (s = config_betas(c, &o->beta1, &o->beta2, e))) return s;
    const bank_opts bo = {.shape = c->shape,
                          .n_replicas = 1,
                          .batch = (size_t)(c->batch_tokens / c->shape.seq_len),
                          .shards = (size_t)c->shards,
                          .grad_accum = 1,
                          .threads = 1,
                          .backend = "cpu"};
    if ((s = bank_new(&o->bank, &bo, e))) return s;
    const bank_hparams h = {.tensors = o->tensor,
                            .model = o->mult,
                            .beta1 = o->beta1,
                            .beta2 = o->beta2,
                            .clip_norm = c->clip_norm,
                            .decay = c->decay,
                            .seed = c->seed};
    s = bank_set_replica(o->bank, 0, &h, e);
    return s ? s : bank_read(o->bank, 0, o->weights, NULL, NULL, e);
}

void ours_close(ours *o)
{
    bank_free(o->bank);
    free(o->shape);
    free(o->tensor);
    free(o->weights);
}

void ours_tokens(const ours *o, int32_t *ids, size_t n, uint64_t step)
{
    /* Learnable: mostly the successor of the token before. */
    const int32_t V = (int32_t)o->c.shape.vocab;
    for (size_t i = 0; i < n; i++) {
        const double u = rng_uniform(7, RNG_TEST, (uint32_t)step, i);
        ids[i] = i && u < 0.7 ? (ids[i - 1] + 1) % V : (int32_t)(u * 1e6) % V;
    }
}

status ours_logits(const ours *o, double *out, const int32_t *ids, size_t n_seq, err *e)
{
    const k_ops *ops = k_ops_cpu(CPU_GENERIC);
    const shape *sh = &o->c.shape;
    const size_t T = (size_t)sh->seq_len, V = (size_t)sh->vocab, n = n_seq * T;
    model *m = NULL;
    k_ctx *ctx = NULL;
    status s = model_new(&m, sh, ops, e);
    if (!s) s = ops->ctx_new(&ctx, model_scratch(m, ops, 1, n_seq), e);
    if (s) return s;
    real *acts = calloc(model_act_len(m, n_seq, false), sizeof *acts),
         *consts = calloc(model_const_len(m), sizeof *consts);
    real *mults = calloc(model_n_mults(m), sizeof *mults), *params = calloc(o->stride, sizeof *params);
    double *row = calloc(n, sizeof *row), *seq = calloc(n_seq, sizeof *seq);
    if (n > m->head_rows || !acts || !consts || !mults || !params || !row || !seq)
        s = err_set(e, ST_NOMEM, "too many rows");
    if (!s) {
        model_consts(m, consts);
        model_mults(m, mults, 1, o->tensor, &o->mult);
        for (size_t i = 0; i < o->stride; i++) params[i] = (real)o->weights[i];
        const model_io io = {.R = 1,
                             .n_seq = n_seq,
                             .params = {params, 0},
                             .consts = {consts, 0},
                             .acts = {acts, 0},
                             .mults = {mults, mults},
                             .ld_mults = 1,
                             .row_loss = row,
                             .seq_loss = seq,
                             .ld_seq_loss = n_seq,
                             .ids = {ids, 0, T + 1, T, 0}};
        s = model_eval(m, ops, ctx, &io, e);
        const real *logits = acts + model_layout(m, n_seq, false).logits;
        for (size_t i = 0; i < n && !s; i++)
            for (size_t v = 0; v < V; v++) out[i * V + v] = (double)logits[i * m->ld_v + v];
    }
    free(acts), free(consts), free(mults), free(params), free(row), free(seq);
    ops->ctx_free(ctx);
    model_free(m);
    return s;
}
