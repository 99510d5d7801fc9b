/* What a forward pass leaves in the arena, as someone outside can read it. */
#include <stdlib.h>

#include "trainer/model_plan.h"

status model_scene_new(model_scene **out, const model *m, size_t n_seq, err *e)
{
    const size_t n = n_seq * m->T, L = (size_t)m->s.n_layer, streams = (2 * L + 1) * n * m->d, heads = L * n * m->qkv;
    model_scene *s = calloc(1, sizeof *s);
    real *all = calloc(streams + heads + n * m->d, sizeof *all);
    if (!s || !all) {
        free(s);
        free(all);
        return err_set(e, ST_NOMEM, "no memory to look at the activations of %zu tokens", n);
    }
    *s = (model_scene){.rows = n,
                       .d = m->d,
                       .qkv = m->qkv,
                       .q = m->q,
                       .kv = m->kv,
                       .stream = all,
                       .heads = all + streams,
                       .normed = all + streams + heads};
    *out = s;
    return ST_OK;
}

void model_scene_free(model_scene *s)
{
    if (s) free(s->stream);
    free(s);
}

/* n activations at `at` of the arena. */
static void take_acts(real *out, const model *m, const real *acts, size_t at, size_t n)
{
    const act_real *from = (const act_real *)(const void *)(acts + at);
    for (size_t i = 0; i < n; i++) out[i] = m->device ? (real)k_act_value(from, i, m->act_bytes) : from[i];
}

/* The stream before a branch is not kept, only its normalised rows h and 1/rms: x = h / (1/rms). */
static void take_stream(real *out, const model *m, const real *acts, size_t h, size_t r, size_t rows)
{
    take_acts(out, m, acts, h, rows * m->d);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < m->d; k++) out[i * m->d + k] /= acts[r + i];
}

/* Rows of attention's buffer are wider than what they hold. */
static void take_heads(real *out, const model *m, const real *acts, size_t qkv, size_t rows)
{
    const act_real *from = (const act_real *)(const void *)(acts + qkv);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < m->qkv; k++) {
            const size_t at = i * m->ld_qkv + k;
            out[i * m->qkv + k] = m->device ? (real)k_act_value(from, at, m->act_bytes) : from[at];
        }
}

void model_scene_take(model_scene *out, const model *m, const real *acts)
{
    const size_t n = out->rows, each = n * m->d;
    const layout at = model_layout(m, n / m->T, true);
    real *stream = out->stream;
    for (size_t l = 0; l < (size_t)m->s.n_layer; l++, stream += 2 * each) {
        const size_t first = l * at.layer;
        take_stream(stream, m, acts, first + at.h1, first + at.r1, n);
        take_stream(stream + each, m, acts, first + at.h2, first + at.r2, n);
        take_heads(out->heads + l * n * m->qkv, m, acts, first + at.qkv, n);
    }
    take_acts(stream, m, acts, at.x, each);
    take_acts(out->normed, m, acts, m->s.norm_gain ? at.hg : at.hf, each);
}
