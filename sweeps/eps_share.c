#include "sweeps/eps_share.h"

#include <stdio.h>

#include "mup/coord.h"

bool eps_share_warning(char *text, size_t size, const run_record *r)
{
    const attrs *sum = &r->group[RUN_SUMMARY];
    const double share = attrs_f64(sum, "eps_share");
    const char *tensor = attrs_text(sum, "eps_share_tensor"), *id = attrs_text(&r->group[RUN_ROOT], "run_id");
    if (!(share > MUP_COORD_EPS_SHARE)) return false;
    snprintf(text, size,
             "run %s: eps is %.2g %% of sqrt(v) in %s at step %lld, more than %g %%: it damps those steps and does not "
             "scale with them; eps 1e-12 is safe in single precision",
             id ? id : "?", 100 * share, tensor ? tensor : "?", (long long)attrs_i64(sum, "eps_share_step", 0),
             100 * MUP_COORD_EPS_SHARE);
    return true;
}
