/* CONFIG.yaml DIR: trains its steps on tokens of its own and writes what another program needs to do the same:
 * weights.bin (float32, the tensors one after the other), tokens.bin (int32, steps x batch x (seq_len + 1)), dump.json.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cli/export_ours.h"

static status save(const char *dir, const char *name, const void *data, size_t n, err *e)
{
    char path[IO_PATH_MAX];
    status s = io_join(path, dir, name, e);
    return s ? s : io_publish(path, data, n, e);
}

static status weights(const ours *o, json_t *tensors, const char *dir, err *e)
{
    float *all = malloc(o->stride * sizeof *all);
    size_t n = 0;
    if (!all) return err_set(e, ST_NOMEM, "no memory");
    for (size_t i = 0; i < o->n; i++) {
        const shape_tensor *t = &o->shape[i];
        memcpy(all + n, o->weights + t->offset, t->n * sizeof *all);
        json_array_append_new(tensors, json_pack("{s:s, s:I, s:I, s:I}", "name", t->name, "rows", (json_int_t)t->rows,
                                                 "cols", (json_int_t)t->cols, "offset", (json_int_t)n));
        n += t->n;
    }
    status s = save(dir, "weights.bin", all, n * sizeof *all, e);
    free(all);
    return s;
}

static status train(ours *o, json_t *losses, json_t *norms, const char *dir, err *e)
{
    const size_t batch = (size_t)(o->c.batch_tokens / o->c.shape.seq_len),
                 per = batch * (size_t)(o->c.shape.seq_len + 1);
    const size_t steps = (size_t)config_steps(&o->c);
    int32_t *ids = malloc(steps * per * sizeof *ids);
    const bool active = true;
    status s = ids ? ST_OK : err_set(e, ST_NOMEM, "no memory");
    for (size_t k = 0; k < steps && !s; k++) {
        int32_t *at = ids + k * per;
        const int32_t *ptr = at;
        const double factor = schedule_factor(&o->c, (int64_t)k + 1);
        const uint64_t step = k + 1;
        bank_step_out out;
        ours_tokens(o, at, per, step);
        s = bank_step(o->bank, &out, &ptr, &factor, &step, &active, e);
        json_array_append_new(losses, json_real(out.loss));
        json_array_append_new(norms, json_real(out.grad_norm));
    }
    if (!s) s = save(dir, "tokens.bin", ids, steps * per * sizeof *ids, e);
    free(ids);
    return s;
}

int main(int argc, char **argv)
{
    ours o;
    err e = {0};
    json_t *tensors = json_array(), *losses = json_array(), *norms = json_array();
    if (argc != 3) return 2;
    status s = ours_open(&o, argv[1], &e);
    if (!s) s = weights(&o, tensors, argv[2], &e);
    if (!s) s = train(&o, losses, norms, argv[2], &e);
    if (!s) {
        json_t *d =
            json_pack("{s:I, s:I, s:f, s:o, s:o, s:o}", "batch", (json_int_t)(o.c.batch_tokens / o.c.shape.seq_len),
                      "seq_len", (json_int_t)o.c.shape.seq_len, "clip_norm", o.c.clip_norm, "tensors", tensors,
                      "losses", losses, "norms", norms);
        char *text = json_dumps(d, JSON_REAL_PRECISION(17));
        s = save(argv[2], "dump.json", text, strlen(text), &e);
        free(text);
        json_decref(d);
    }
    ours_close(&o);
    if (s) fprintf(stderr, "%s\n", e.msg);
    return s ? 1 : 0;
}
