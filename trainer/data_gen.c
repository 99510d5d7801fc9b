/* The synthetic data set: a walk of the Markov source, written like any other data set. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "trainer/data_write.h"
#include "trainer/markov.h"

/* The walk starts in the stationary distribution, so every token has the same law: no transient at the front.
 * Draw t of the walk is word t % 4 of block t / 4; the first state is a uniform number at an index no walk reaches. */
static status walk(data_writer *w, const markov *m, const data_gen_opts *o, err *e)
{
    enum { N = 1 << 14 };
    const uint64_t FIRST_STATE = UINT64_MAX;
    uint32_t *ids = malloc(N * sizeof *ids), word[4] = {0};
    status s = ids ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory", o->out_dir);
    int64_t state = markov_first_state(m, rng_uniform(o->seed, RNG_MARKOV_WALK, 0, FIRST_STATE));
    for (int64_t t = 0; !s && t < o->tokens;) {
        size_t n = 0;
        for (; n < N && t < o->tokens; n++, t++) {
            if (t % 4 == 0) rng_block(word, o->seed, RNG_MARKOV_WALK, 0, (uint64_t)t / 4);
            int64_t v = markov_draw(m, state, word[t % 4]);
            state = markov_next_state(m, state, v);
            ids[n] = (uint32_t)v;
        }
        s = data_stopped(o->stop, o->out_dir, e);
        if (!s) s = data_writer_put(w, ids, n, e);
    }
    free(ids);
    return s;
}

status data_gen(const data_gen_opts *o, data_info *out, err *e)
{
    if (o->tokens < 1) return err_set(e, ST_DOMAIN, "tokens: %" PRId64 "; give 1 or more", o->tokens);
    if (!(o->val_fraction >= 0 && o->val_fraction < 1))
        return err_set(e, ST_DOMAIN, "val fraction: %g is not in [0,1)", o->val_fraction);
    markov m;
    data_writer *w = NULL;
    status s = markov_new(&m, o->vocab, o->order, o->seed, e);
    if (s) return s;
    s = data_writer_new(&w, o->out_dir, DATA_SHARD_TOKENS, e);
    if (!s) s = walk(w, &m, o, e);
    data_info about = {.vocab = o->vocab, .entropy_rate = m.entropy_rate, .tokenizer = "markov"};
    if (!s)
        s = data_writer_publish(w, &about, o->val_fraction,
                                json_pack("{s:s, s:s, s:I, s:I, s:I, s:f}", "made_by", "data gen", "source", "markov",
                                          "order", (json_int_t)o->order, "tokens", (json_int_t)o->tokens, "seed",
                                          (json_int_t)o->seed, "val_fraction", o->val_fraction),
                                e);
    if (!s) *out = about;
    data_writer_free(w);
    markov_free(&m);
    return s;
}
