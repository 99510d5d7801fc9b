#include "trainer/markov.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

static const double ONE = 0x1p32; /* probability 1 in thresholds */

int64_t markov_next_state(const markov *m, int64_t state, int64_t v) { return (state * m->vocab + v) % m->states; }

static double edge(const markov *m, int64_t state, int64_t v)
{
    if (v < 0) return 0;
    return v == m->vocab - 1 ? ONE : m->below[state * m->vocab + v];
}

double markov_p(const markov *m, int64_t state, int64_t v) { return (edge(m, state, v) - edge(m, state, v - 1)) / ONE; }

int64_t markov_draw(const markov *m, int64_t state, uint32_t u)
{
    const uint32_t *below = m->below + state * m->vocab;
    int64_t lo = 0, hi = m->vocab - 1; /* the answer lies in lo..hi */
    while (lo < hi) {
        int64_t mid = (lo + hi) / 2;
        if (u < below[mid]) hi = mid;
        else lo = mid + 1;
    }
    return lo;
}

int64_t markov_first_state(const markov *m, double u)
{
    double sum = 0;
    for (int64_t s = 0; s < m->states; s++)
        if (u < (sum += m->stationary[s])) return s;
    return m->states - 1;
}

void markov_free(markov *m)
{
    free(m->below);
    free(m->stationary);
    memset(m, 0, sizeof *m);
}

static status allocate(markov *m, int64_t vocab, int64_t order, err *e)
{
    memset(m, 0, sizeof *m);
    if (vocab < 2) return err_set(e, ST_DOMAIN, "vocab: %" PRId64 "; a source needs at least 2 symbols", vocab);
    if (order < 1) return err_set(e, ST_DOMAIN, "order: %" PRId64 "; a Markov source has order 1 or more", order);
    int64_t states = 1, fits = 0;
    for (int64_t k = 1; k <= order; k++) {
        if (states > MARKOV_MAX_TRANSITIONS / vocab / vocab) { /* V^k * V would be too many */
            if (fits)
                return err_set(e, ST_DOMAIN,
                               "order: %" PRId64 " with vocab %" PRId64
                               " needs more than 2^24 transition probabilities; order %" PRId64 " fits",
                               order, vocab, fits);
            return err_set(e, ST_DOMAIN,
                           "vocab: %" PRId64 " needs more than 2^24 transition probabilities; vocab 4096 fits", vocab);
        }
        states *= vocab;
        fits = k;
    }
    m->vocab = vocab;
    m->order = order;
    m->states = states;
    m->below = malloc((size_t)(states * vocab) * sizeof *m->below);
    m->stationary = malloc((size_t)states * sizeof *m->stationary);
    if (m->below && m->stationary) return ST_OK;
    markov_free(m);
    return err_set(e, ST_NOMEM, "no memory for %" PRId64 " transition probabilities", states * vocab);
}

/* Rounds p[0..V) to multiples of 2^-32, each at least one; what rounding leaves over goes to the likeliest. */
static void set_row(markov *m, int64_t state, const double *p)
{
    uint32_t *below = m->below + state * m->vocab;
    int64_t used = 0, best = 0;
    for (int64_t v = 0; v < m->vocab; v++) {
        double units = floor(p[v] * ONE);
        used += units < 1 ? 1 : (int64_t)units;
        if (p[v] > p[best]) best = v;
    }
    const int64_t rest = (int64_t)ONE - used; /* may be negative, far smaller than the likeliest's share */
    int64_t sum = 0;
    for (int64_t v = 0; v < m->vocab; v++) {
        double units = floor(p[v] * ONE);
        sum += (units < 1 ? 1 : (int64_t)units) + (v == best ? rest : 0);
        below[v] = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
    }
}

/* pi P, into `out`. */
static void advance(const markov *m, double *out, const double *pi)
{
    memset(out, 0, (size_t)m->states * sizeof *out);
    for (int64_t s = 0; s < m->states; s++) {
        double *to = out + markov_next_state(m, s, 0); /* the V successors of a state are neighbours */
        double left = 0;
        for (int64_t v = 0; v < m->vocab; v++) {
            double right = edge(m, s, v);
            to[v] += pi[s] * (right - left) / ONE;
            left = right;
        }
    }
}

/* Power iteration: all probabilities are positive, so there is one stationary distribution and it attracts. */
static status find_stationary(markov *m, err *e)
{
    enum { MAX_ITERATIONS = 100000 };
    const double TOLERANCE = 1e-14; /* L1 change of one step; rounding alone stays below */
    double *next = malloc((size_t)m->states * sizeof *next), *pi = m->stationary;
    if (!next) return err_set(e, ST_NOMEM, "no memory for %" PRId64 " states", m->states);
    for (int64_t s = 0; s < m->states; s++) pi[s] = 1 / (double)m->states;
    double change = 1;
    for (int i = 0; i < MAX_ITERATIONS && change > TOLERANCE; i++) {
        double sum = 0;
        advance(m, next, pi);
        for (int64_t s = 0; s < m->states; s++) sum += next[s];
        change = 0;
        for (int64_t s = 0; s < m->states; s++) {
            next[s] /= sum;
            change += fabs(next[s] - pi[s]);
        }
        memcpy(pi, next, (size_t)m->states * sizeof *pi);
    }
    free(next);
    if (change <= TOLERANCE) return ST_OK;
    return err_set(e, ST_DOMAIN,
                   "the source mixes too slowly to find its stationary distribution (change %g after %d steps)", change,
                   MAX_ITERATIONS);
}

/* H = - sum_s pi(s) sum_v p(v|s) ln p(v|s): Shannon 1948, section 7. */
static double entropy(const markov *m)
{
    double h = 0;
    for (int64_t s = 0; s < m->states; s++) {
        double row = 0, left = 0;
        for (int64_t v = 0; v < m->vocab; v++) {
            double right = edge(m, s, v), p = (right - left) / ONE;
            row -= p * log(p);
            left = right;
        }
        h += m->stationary[s] * row;
    }
    return h;
}

static status finish(markov *m, err *e)
{
    status s = find_stationary(m, e);
    if (s) markov_free(m);
    else m->entropy_rate = entropy(m);
    return s;
}

status markov_from_rows(markov *m, int64_t vocab, int64_t order, const double *rows, err *e)
{
    status s = allocate(m, vocab, order, e);
    if (s) return s;
    for (int64_t i = 0; i < m->states; i++) set_row(m, i, rows + i * vocab);
    return finish(m, e);
}

/* Row of a state: softmax of the sum over lags. symbol[j] is the j-th last symbol. */
static void softmax_row(double *p, const double *z, const markov *m, int64_t state)
{
    const int64_t V = m->vocab;
    const double scale = MARKOV_SHARPNESS / sqrt((double)m->order);
    double most = -INFINITY, sum = 0;
    memset(p, 0, (size_t)V * sizeof *p);
    for (int64_t j = 0; j < m->order; j++, state /= V) {
        const double *row = z + (j * V + state % V) * V;
        for (int64_t v = 0; v < V; v++) p[v] += scale * row[v];
    }
    for (int64_t v = 0; v < V; v++) most = fmax(most, p[v]);
    for (int64_t v = 0; v < V; v++) sum += p[v] = exp(p[v] - most);
    for (int64_t v = 0; v < V; v++) p[v] /= sum;
}

status markov_new(markov *m, int64_t vocab, int64_t order, uint64_t seed, err *e)
{
    status s = allocate(m, vocab, order, e);
    if (s) return s;
    const size_t n = (size_t)(vocab * vocab);
    double *z = malloc((size_t)order * n * sizeof *z), *p = malloc((size_t)vocab * sizeof *p);
    if (!z || !p) s = err_set(e, ST_NOMEM, "no memory for the source's weights");
    for (size_t j = 0; !s && j < (size_t)order; j++)
        for (size_t i = 0; i < n; i++) z[j * n + i] = rng_normal(seed, RNG_MARKOV_TABLE, (uint32_t)j, i);
    for (int64_t i = 0; !s && i < m->states; i++) {
        softmax_row(p, z, m, i);
        set_row(m, i, p);
    }
    free(z);
    free(p);
    if (s) markov_free(m);
    return s ? s : finish(m, e);
}
