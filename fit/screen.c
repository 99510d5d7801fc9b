/* Screening of many starts of a sum of powers. What variable projection needs of the rows are weighted products of
 * the vectors exp(-p z)/y; starts on a grid share their exponents (144 starts of two terms: 24 of them and the
 * floor), so one pass that multiplies all vectors with all others serves every start. A resample differs in its
 * weights only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/search.h"

struct fit_screen {
    const fit_start_list *starts;
    unsigned char (*vector)[FIT_MAX_TERMS]; /* [starts] place of each term's vector in the gram */
    bool *repeats;                          /* [starts] */
    double *inverse_y;                      /* [rows] */
    fit_gram gram;
};

void fit_screen_free(fit_screen *s)
{
    if (!s) return;
    free(s->vector);
    free(s->repeats);
    free(s->inverse_y);
    free(s);
}

/* Place of the vector of this column and exponent, entered if it is new; FIT_GRAM_MAX when there is no room. */
static size_t vector_of(fit_gram *g, const fit_problem *p, const fit_term *t, const double *phi)
{
    int slot = t->exponent < 0 ? -1 : p->slot[t->exponent];
    double power = t->exponent < 0 ? 0 : slot < 0 ? p->fixed[t->exponent] : phi[slot];
    const double *z = t->exponent < 0 ? NULL : p->z[t->column];
    size_t k = 0;
    while (k < g->m && (g->z[k] != z || g->p[k] != power)) k++;
    if (k < g->m || k == FIT_GRAM_MAX) return k;
    for (size_t j = 0; j < p->fused.n_terms; j++)
        if (p->fused.z[j] == z) g->z_lo[k] = p->fused.z_lo[j], g->z_hi[k] = p->fused.z_hi[j];
    g->z[k] = z;
    g->p[k] = power;
    return g->m++;
}

static bool enter_starts(fit_screen *s, const fit_problem *p)
{
    const size_t terms = p->law->n_terms;
    size_t n_seen = 0;
    for (size_t i = 0; i < s->starts->n; i++) {
        for (size_t t = 0; t < terms; t++) {
            size_t k = vector_of(&s->gram, p, &p->law->terms[t], s->starts->s[i].phi);
            if (k == FIT_GRAM_MAX) return false;
            s->vector[i][t] = (unsigned char)k;
        }
        for (size_t j = 0; j < i && !s->repeats[i]; j++)
            s->repeats[i] = !s->repeats[j] && !memcmp(s->vector[i], s->vector[j], terms);
        n_seen += !s->repeats[i];
    }
    return n_seen > 0;
}

status fit_screen_make(fit_screen **out, const fit_problem *p, const fit_start_list *starts, err *e)
{
    *out = NULL;
    if (!p->ops) return ST_OK;
    fit_screen *s = calloc(1, sizeof *s);
    if (s) {
        s->starts = starts;
        s->vector = calloc(starts->n + 1, sizeof *s->vector);
        s->repeats = calloc(starts->n + 1, sizeof *s->repeats);
        s->inverse_y = malloc((p->n + 1) * sizeof *s->inverse_y);
    }
    if (!s || !s->vector || !s->repeats || !s->inverse_y) {
        fit_screen_free(s);
        return err_set(e, ST_NOMEM, "no memory for %zu starts", starts->n);
    }
    for (size_t i = 0; i < p->n; i++) s->inverse_y[i] = 1 / p->y[i];
    s->gram.n = p->n;
    s->gram.inverse_y = s->inverse_y;
    if (enter_starts(s, p)) *out = s;
    else fit_screen_free(s);
    return ST_OK;
}

void fit_screen_rows(double *gram, const fit_screen *s, const fit_problem *p)
{
    fit_gram g = s->gram;
    g.weight = p->weight;
    p->ops->gram(gram, &g);
}

/* Terms whose amplitude is not free stand on the left: target = 1 - sum c u. */
double fit_screen_value(double *phi, const fit_screen *s, const double *gram, const fit_problem *p, size_t i)
{
    fit_normal q = {.k = p->n_linear};
    const size_t order = s->gram.m + 1, terms = p->law->n_terms, one = s->gram.m;
    size_t of[FIT_MAX_LINEAR] = {0}, n_left = 1, left[FIT_MAX_TERMS + 1] = {one};
    double c[FIT_MAX_TERMS + 1] = {1};
    memcpy(phi, s->starts->s[i].phi, sizeof s->starts->s[i].phi);
    if (s->repeats[i]) return INFINITY;
    for (size_t t = 0; t < terms; t++) {
        const int amplitude = p->law->terms[t].amplitude, slot = p->slot[amplitude];
        size_t a = 0;
        while (a < q.k && p->linear[a] != amplitude) a++;
        if (a < q.k) of[a] = s->vector[i][t];
        else left[n_left] = s->vector[i][t], c[n_left++] = -exp(slot < 0 ? p->fixed[amplitude] : phi[slot]);
    }
    for (size_t a = 0; a < n_left; a++)
        for (size_t b = 0; b < n_left; b++) q.square += c[a] * c[b] * gram[left[a] * order + left[b]];
    for (size_t a = 0; a < q.k; a++) {
        for (size_t b = 0; b < n_left; b++) q.v[a] += c[b] * gram[of[a] * order + left[b]];
        for (size_t b = 0; b <= a; b++) q.m[a * q.k + b] = gram[of[a] * order + of[b]];
    }
    return fit_normal_solve(&q, p, phi);
}
