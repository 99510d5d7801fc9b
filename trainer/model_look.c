/* What a forward pass leaves in the arena, as someone outside can read it. */
#include <stdlib.h>
#include <string.h>

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

/* The stream before a branch is not kept, only its normalised rows h and 1/rms: x = h / (1/rms). */
static void take_stream(real *out, const real *h, const real *r, size_t rows, size_t d)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < d; k++) out[i * d + k] = h[i * d + k] / r[i];
}

void model_scene_take(model_scene *out, const model *m, const layout *at, const real *acts, const real *normed)
{
    const size_t n = out->rows, each = n * m->d;
    real *stream = out->stream;
    for (size_t l = 0; l < (size_t)m->s.n_layer; l++) {
        const real *a = acts + l * at->layer;
        take_stream(stream, a + at->h1, a + at->r1, n, m->d);
        take_stream(stream + each, a + at->h2, a + at->r2, n, m->d);
        stream += 2 * each;
        for (size_t i = 0; i < n; i++)
            memcpy(out->heads + (l * n + i) * m->qkv, a + at->qkv + i * m->ld_qkv, m->qkv * sizeof(real));
    }
    memcpy(stream, acts + at->x, each * sizeof(real));
    memcpy(out->normed, normed, each * sizeof(real));
}
