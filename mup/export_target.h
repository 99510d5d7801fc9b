/* Private to mup/export*.c. */
#ifndef MUP_EXPORT_TARGET_H
#define MUP_EXPORT_TARGET_H
#include "mup/export.h"

typedef struct mup_export_names {
    const char *kind, *match;
} mup_export_names; /* match: without ^ and $ */

struct mup_export_target {
    const char *name, *file;
    const mup_export_names *names;                          /* ends with kind NULL */
    bool fold;                                              /* else it applies a multiplier per tensor, as we do */
    bool always_gains;                                      /* its norms have gains, whether ours do or not */
    bool fused;                                             /* q, k, v are one tensor, and so are gate and in */
    const char *no_gelu, *no_qk_norm;                       /* why refused; NULL: it can */
    void (*carry)(mup_export *x, const mup_export_in *in);  /* sets x->forward */
    void (*config)(mup_export *x, const mup_export_in *in); /* adds items; groups are known by then */
};

const mup_export_group *mup_export_hidden(const mup_export *x); /* the first of hidden matrices: attention's input */
bool mup_export_scaled(const mup_export *x);            /* some gradient has another size than in Table 8's form */
double mup_export_width_ratio(const mup_export_in *in); /* d_model over the base's; 1 without a base */
#endif
