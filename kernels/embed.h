/* Embedding lookup.
 *   fwd: y[i] = alpha * table[id(i)]            y (n, c) row stride ld, table (V, c) contiguous
 *   bwd: dtable[id(i)] += alpha * dy[i]         rows in order i = 0, 1, ...: a fixed order of summation
 * Ids are below V: the caller checked. No aliasing. */
#ifndef KERNELS_EMBED_H
#define KERNELS_EMBED_H
#include "kernels/kernels.h"
status k_embed_fwd_cpu(k_ctx *, k_act y, k_in table, k_ids ids, k_mult alpha, const k_rows *s, err *);
status k_embed_bwd_cpu(k_ctx *, k_arr dtable, k_cact dy, k_ids ids, k_mult alpha, const k_rows *s, err *);
#endif
