/* A synthetic source of exactly known entropy: an order-k Markov chain over V symbols.
 *
 * Transition weights are softmax of SPREAD * normal draws, quantised to integers that add up to 2^32; the walk compares 32 random
 * bits with their running sums, so the chain that is sampled is exactly the chain whose entropy rate is computed:
 *   H = -sum_c pi(c) sum_x p(x|c) ln p(x|c),   pi the stationary distribution over contexts c of k symbols.
 * (Cover & Thomas, Elements of Information Theory, Theorem 4.2.4.) */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/data_meta.h"

/* SPREAD 2 leaves about half of ln V for V = 64: far below a uniform source, and learnable. */
static const double SPREAD = 2.0;
static const double TOTAL = 4294967296.0;
enum { MAX_CONTEXTS = 1000000, MAX_CELLS = 64 << 20, MAX_ROUNDS = 100000 };

typedef struct chain {
    int64_t vocab, contexts;
    uint64_t *upto;  /* [contexts][vocab] running sums of the weights; the last is 2^32 */
    double *pi;      /* [contexts] */
} chain;

static double prob(const chain *c, int64_t context, int64_t x)
{
    const uint64_t *row = c->upto + context * c->vocab;
    return (double)(row[x] - (x ? row[x - 1] : 0)) / TOTAL;
}

static void draw_row(chain *c, int64_t context, uint64_t seed, double *weight)
{
    double sum = 0;
    uint64_t *row = c->upto + context * c->vocab, used = 0;
    for (int64_t x = 0; x < c->vocab; x++)
        sum += weight[x] = exp(SPREAD * rng_normal(seed, RNG_MARKOV_TABLE, 0, (uint64_t)(context * c->vocab + x)));
    double so_far = 0;
    for (int64_t x = 0; x < c->vocab; x++) {
        so_far += weight[x];
        uint64_t upto = (uint64_t)(so_far / sum * (TOTAL - (double)c->vocab)) + (uint64_t)x + 1; /* every symbol keeps at least 1 */
        row[x] = upto > used ? upto : used + 1;
        used = row[x];
    }
    row[c->vocab - 1] = (uint64_t)TOTAL;
}

static int64_t next_context(const chain *c, int64_t context, int64_t x) { return (context * c->vocab + x) % c->contexts; }

/* Power iteration. Every transition is possible, so the chain mixes and the limit is unique. */
static status stationary(chain *c, err *e)
{
    double *to = calloc((size_t)c->contexts, sizeof *to), change = 1;
    if (!to) return err_set(e, ST_NOMEM, "no memory for %lld contexts", (long long)c->contexts);
    for (int64_t k = 0; k < c->contexts; k++) c->pi[k] = 1.0 / (double)c->contexts;
    for (int round = 0; round < MAX_ROUNDS && change > 1e-15; round++) {
        memset(to, 0, (size_t)c->contexts * sizeof *to);
        for (int64_t k = 0; k < c->contexts; k++)
            for (int64_t x = 0; x < c->vocab; x++) to[next_context(c, k, x)] += c->pi[k] * prob(c, k, x);
        double sum = 0;
        for (int64_t k = 0; k < c->contexts; k++) sum += to[k];
        change = 0;
        for (int64_t k = 0; k < c->contexts; k++) {
            change += fabs(to[k] / sum - c->pi[k]);
            c->pi[k] = to[k] / sum;
        }
    }
    free(to);
    if (change > 1e-12) return err_set(e, ST_DOMAIN, "the chain's stationary distribution did not settle (change %.2g); take another --seed", change);
    return ST_OK;
}

static double entropy(const chain *c)
{
    double h = 0;
    for (int64_t k = 0; k < c->contexts; k++) {
        double row = 0;
        for (int64_t x = 0; x < c->vocab; x++) {
            double p = prob(c, k, x);
            row -= p * log(p);
        }
        h += c->pi[k] * row;
    }
    return h;
}

static int64_t pick(const chain *c, int64_t context, uint64_t u32)
{
    const uint64_t *row = c->upto + context * c->vocab;
    int64_t lo = 0, hi = c->vocab - 1;
    while (lo < hi) {
        int64_t mid = (lo + hi) / 2;
        if (u32 < row[mid]) hi = mid;
        else lo = mid + 1;
    }
    return lo;
}

static int64_t first_context(const chain *c, uint64_t seed)
{
    double u = rng_uniform(seed, RNG_MARKOV_WALK, 1, 0), sum = 0;
    for (int64_t k = 0; k < c->contexts; k++)
        if ((sum += c->pi[k]) > u) return k;
    return c->contexts - 1;
}

static status walk(const chain *c, data_builder *b, const data_gen_opts *o, err *e)
{
    int64_t context = first_context(c, o->seed), val = (int64_t)floor((double)o->tokens * o->val_fraction);
    status s = ST_OK;
    for (int64_t i = 0; !s && i < o->tokens; i++) {
        uint32_t w[4];
        rng_block(w, o->seed, RNG_MARKOV_WALK, 0, (uint64_t)i);
        int64_t x = pick(c, context, w[0]);
        s = data_builder_put(b, i < o->tokens - val ? "train" : "val", x, e);
        context = next_context(c, context, x);
    }
    return s;
}

static status check(const data_gen_opts *o, int64_t *contexts, err *e)
{
    if (o->vocab < 2 || o->vocab > 65536) return err_set(e, ST_USAGE, "--vocab %lld: must be 2 to 65536", (long long)o->vocab);
    if (o->order < 1) return err_set(e, ST_USAGE, "--order %lld: must be 1 or more", (long long)o->order);
    if (o->tokens < 2) return err_set(e, ST_USAGE, "--tokens %lld: must be 2 or more", (long long)o->tokens);
    if (!(o->val_fraction >= 0 && o->val_fraction < 1)) return err_set(e, ST_USAGE, "--val-fraction must be from 0 to below 1");
    *contexts = 1;
    for (int64_t k = 0; k < o->order; k++) {
        *contexts *= o->vocab;
        if (*contexts > MAX_CONTEXTS || *contexts * o->vocab > MAX_CELLS)
            return err_set(e, ST_USAGE, "--vocab %lld --order %lld: more than %d contexts or %d table cells; lower one of them", (long long)o->vocab,
                           (long long)o->order, MAX_CONTEXTS, MAX_CELLS);
    }
    return ST_OK;
}

static status build(chain *c, uint64_t seed, err *e)
{
    c->upto = malloc((size_t)(c->contexts * c->vocab) * sizeof *c->upto);
    c->pi = malloc((size_t)c->contexts * sizeof *c->pi);
    double *weight = malloc((size_t)c->vocab * sizeof *weight);
    status s = c->upto && c->pi && weight ? ST_OK : err_set(e, ST_NOMEM, "no memory for a table of %lld cells", (long long)(c->contexts * c->vocab));
    for (int64_t k = 0; !s && k < c->contexts; k++) draw_row(c, k, seed, weight);
    free(weight);
    return s ? s : stationary(c, e);
}

status data_gen(const data_gen_opts *o, data_info *out, err *e)
{
    chain c = {.vocab = o->vocab};
    data_builder b = {0};
    status s = check(o, &c.contexts, e);
    if (s) return s;
    s = build(&c, o->seed, e);
    if (!s) s = data_builder_begin(&b, o->out_dir, 2, e);
    if (!s) {
        strcpy(b.info.tokenizer, "markov");
        b.info.vocab = o->vocab;
        b.info.entropy_rate = entropy(&c);
        s = walk(&c, &b, o, e);
        if (!s) s = data_builder_finish(&b, e);
        if (!s) *out = b.info;
        data_builder_abandon(&b);
    }
    free(c.upto);
    free(c.pi);
    return s;
}
