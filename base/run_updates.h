/* What steps did to the tensors, as a run record holds it. Private to the readers of run records and to publish.c. */
#ifndef BASE_RUN_UPDATES_H
#define BASE_RUN_UPDATES_H
#include <jansson.h>

#include "base/h5.h"

/* One record of the journal; its step takes the place of itself and of later ones. A record that is not understood (of
 * other tensors, of a later version) is passed over. */
status run_updates_take(run_updates *u, const json_t *record, const char *path, err *e);
void run_updates_drop_after(run_updates *u, double step);

/* eps_share, eps_share_step, eps_share_tensor: where eps was largest beside the RMS of sqrt(v hat). Nothing when there
 * are no records. */
status run_updates_summary(attrs *g, const run_updates *u, err *e);

/* Group /updates; written only when there is something in it. */
status run_updates_read_h5(run_updates *u, const h5_file *f, err *e);
status run_updates_write_h5(hid_t file, const run_updates *u, const char *path, err *e);

bool run_updates_equal(const run_updates *a, const run_updates *b); /* NaN equals NaN */
void run_updates_free(run_updates *u);
#endif
