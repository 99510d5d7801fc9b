/* The bugs that a coordinate check was built to find, each planted between the rule and the bank, with the row it is
 * known by; and how a test asks for a check. Used at small widths (test_coord.c) and at those of the command
 * (test_coord_bugs_long.c). */
#ifndef TESTS_SWEEPS_COORD_BUGS_H
#define TESTS_SWEEPS_COORD_BUGS_H
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweeps/coord_check.h"

typedef void planted(void *, const trainer_config *, const shape_tensor *, size_t, mup_tensor *, mup_model *);
typedef enum sizes { WIDE, DEEP, WIDE_HEADS } sizes;

#define BUG(name) \
    static void name(void *arg, const trainer_config *c, const shape_tensor *s, size_t n, mup_tensor *t, \
                     mup_model *model)
#define UNUSED() (void)arg, (void)c, (void)s, (void)n, (void)t, (void)model
static inline double m_of(const trainer_config *c) { return (double)c->shape.d_model / (double)c->base_width; }

BUG(readout_lr_too)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr /= s[i].role == MUP_READOUT ? m_of(c) : 1;
}
BUG(readout_std_too)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].init_std /= s[i].role == MUP_READOUT ? m_of(c) : 1;
}
BUG(readout_sqrt)
{
    UNUSED();
    model->logit_mult *= sqrt(m_of(c));
}
BUG(readout_lr_times_m)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr *= s[i].role == MUP_READOUT ? m_of(c) : 1;
}
BUG(hidden_lr)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr *= s[i].role == MUP_HIDDEN ? m_of(c) : 1;
}
BUG(hidden_lr_twice)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr /= s[i].role == MUP_HIDDEN ? m_of(c) : 1;
}
BUG(hidden_std)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].init_std *= s[i].role == MUP_HIDDEN ? sqrt(m_of(c)) : 1;
}
BUG(one_tensor)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr *= !strcmp(s[i].name, "blocks.1.ffn.out") ? m_of(c) : 1;
}
BUG(embedding_lr)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr /= s[i].role == MUP_EMBEDDING ? m_of(c) : 1;
}
BUG(eps_constant)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].eps = c->base.eps;
}
BUG(attention_sqrt)
{
    UNUSED();
    model->attn_scale = 1 / sqrt((double)c->shape.head_dim);
}
BUG(no_residual)
{
    UNUSED();
    model->residual_mult = 1;
}

/* sp, the positive control, and a rule without one for depth: what is wrong there is the rule. */
static const struct coord_bug {
    const char *what;
    planted *plant;
    sizes over;
    const char *parametrisation, *eps; /* eps: NULL, the config's */
    const char *place;
    mup_coord_quantity quantity;
} coord_bugs[] = {
    {"readout lr also /m (scaled twice)", readout_lr_too, WIDE, "mup", NULL, "logits", MUP_COORD_DU_H},
    {"readout std also /m", readout_std_too, WIDE, "mup", NULL, "logits", MUP_COORD_LOGITS},
    {"readout 1/sqrt(m)", readout_sqrt, WIDE, "mup", NULL, "logits", MUP_COORD_LOGITS},
    {"readout lr times m", readout_lr_times_m, WIDE, "mup", NULL, "logits", MUP_COORD_DU_H},
    {"hidden lr not scaled", hidden_lr, WIDE, "mup", NULL, "blocks.1.attn.q", MUP_COORD_DW_NORM},
    {"hidden lr scaled twice", hidden_lr_twice, WIDE, "mup", NULL, "blocks.1.ffn", MUP_COORD_DACT},
    {"hidden std not scaled", hidden_std, WIDE, "mup", NULL, "blocks.0.ffn", MUP_COORD_ACT},
    {"lr of blocks.1.ffn.out alone not scaled", one_tensor, WIDE, "mup", NULL, "blocks.1.ffn.out", MUP_COORD_DW_NORM},
    {"embedding lr /m", embedding_lr, WIDE, "mup", NULL, "embed", MUP_COORD_DEMB},
    {"eps 1e-4 not scaled", eps_constant, WIDE, "mup", "1e-4", "blocks.0.attn.q", MUP_COORD_EPS},
    {"attention 1/sqrt(d), head_dim grows", attention_sqrt, WIDE_HEADS, "mup", NULL, "blocks.1.attn", MUP_COORD_ATTN},
    {"residual multiplier left out, over depth", no_residual, DEEP, "completep", NULL, "stream", MUP_COORD_DACT},
    {"`sp` itself", NULL, WIDE, "sp", NULL, "blocks.1.ffn", MUP_COORD_DACT},
    {"`mup` over depth: no rule for it", NULL, DEEP, "mup", NULL, "stream", MUP_COORD_DACT},
};
enum { COORD_BUGS = sizeof coord_bugs / sizeof *coord_bugs };

typedef struct coord_sizes { const int64_t *widths; const int64_t *depths; } coord_sizes; /* [4] each */

static inline void set_key(trainer_config *c, const char *key, const char *value)
{
    err e = {0};
    cr_assert_eq(config_set(c, key, value, "test", &e), ST_OK, "%s", e.msg);
}

static inline coord_result *coord_run(const trainer_config *c, sizes over, const coord_sizes *z, planted *bug)
{
    coord_result *r = NULL;
    err e = {0};
    coord_opts o = coord_opts_default();
    o.threads = 2;
    o.alter = bug;
    if (over == DEEP) o.depths = z->depths, o.n_depths = 4;
    else o.widths = z->widths, o.n_widths = 4;
    o.grow_head_dim = over == WIDE_HEADS;
    cr_assert_eq(coord_check(&r, c, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_str_empty(r->diverged);
    return r;
}

static inline const coord_row *coord_row_of(const coord_result *r, const char *place, mup_coord_quantity q)
{
    for (size_t i = 0; i < r->axes[0].n_rows; i++)
        if (!strcmp(r->axes[0].rows[i].place, place) && r->axes[0].rows[i].quantity == q) return &r->axes[0].rows[i];
    cr_assert_fail("no row %s %s", place, mup_coord_name(q));
    return NULL;
}

/* Rows that neither pass nor are only shown; those of `tensors` whose gradient is undecided are no news. */
static inline size_t coord_news(const coord_result *r, const char *const *tensors)
{
    size_t n = 0;
    for (size_t i = 0; i < r->axes[0].n_rows; i++) {
        const coord_row *x = &r->axes[0].rows[i];
        bool known = x->verdict == MUP_COORD_PASS || x->verdict == MUP_COORD_SHOWN;
        for (size_t k = 0; tensors && tensors[k]; k++)
            known |= x->verdict == MUP_COORD_UNDECIDED && x->quantity == MUP_COORD_GRAD &&
                     !strcmp(x->place, tensors[k]);
        if (known) continue;
        n++;
        fprintf(stderr, "    %-22s %-8s expected %+.2f, slope %+.2f [%+.2f, %+.2f]: %s\n", x->place,
                mup_coord_name(x->quantity), x->bounds.expected, x->fit.slope, x->fit.lo, x->fit.hi,
                mup_coord_word(x->verdict));
    }
    return n;
}

/* "Pass" is pass: not undecided. */
static inline void coord_passes(const char *what, const trainer_config *c, sizes over, const coord_sizes *z)
{
    coord_result *r = coord_run(c, over, z, NULL);
    cr_expect_eq(coord_news(r, NULL), 0, "%s", what);
    cr_expect_eq(r->verdict, MUP_COORD_PASS, "%s: %s", what, mup_coord_word(r->verdict));
    coord_result_free(r);
}

/* The whole fails, and by the row that the bug is known by. The caller frees the result. */
static inline coord_result *coord_fails(const struct coord_bug *b, trainer_config c, const coord_sizes *z)
{
    set_key(&c, "parametrisation", b->parametrisation);
    if (b->eps) set_key(&c, "eps", b->eps);
    coord_result *r = coord_run(&c, b->over, z, b->plant);
    const coord_row *x = coord_row_of(r, b->place, b->quantity);
    cr_expect_eq(r->verdict, MUP_COORD_FAIL, "%s: %s", b->what, mup_coord_word(r->verdict));
    cr_expect_eq(x->verdict, MUP_COORD_FAIL, "%s: %s %s has slope %g [%g, %g]: %s", b->what, b->place,
                 mup_coord_name(b->quantity), x->fit.slope, x->fit.lo, x->fit.hi, mup_coord_word(x->verdict));
    return r;
}
#endif
