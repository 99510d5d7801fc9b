#include "sweeps/retry.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweeps/owner.h"
#include "sweeps/store.h"

enum { MOST_ATTEMPTS = 100000 };

/* ---- choosing ------------------------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    return strncmp((*(const campaign_entry *const *)a)->id, (*(const campaign_entry *const *)b)->id, SWEEP_ID_SIZE - 1);
}

/* has[i]: attempts/ holds one of run i. */
static status find_attempts(bool *has, const campaign_plan *p, const char *campaign, err *e)
{
    char path[IO_PATH_MAX];
    status st = io_join(path, campaign, "attempts", e);
    DIR *d = st ? NULL : opendir(path);
    if (!d) return st;
    const campaign_entry **sorted = malloc((p->n_runs + 1) * sizeof *sorted);
    if (!sorted) {
        closedir(d);
        return err_set(e, ST_NOMEM, "%s: no memory", campaign);
    }
    for (size_t i = 0; i < p->n_runs; i++) sorted[i] = &p->runs[i];
    qsort(sorted, p->n_runs, sizeof *sorted, by_id);
    for (const struct dirent *x; (x = readdir(d));) {
        campaign_entry key = {0};
        const campaign_entry *k = &key;
        snprintf(key.id, sizeof key.id, "%.16s", x->d_name);
        const campaign_entry **found = bsearch(&k, sorted, p->n_runs, sizeof *sorted, by_id);
        if (found) has[*found - p->runs] = true;
    }
    free(sorted);
    closedir(d);
    return ST_OK;
}

status retry_choose(bool *chosen, const sweep_status *s, const char *campaign, const retry_want *want, err *e)
{
    const bool wanted[] = {[SWEEP_AGAIN_NO] = false,
                           [SWEEP_AGAIN_FAILED] = want->failed,
                           [SWEEP_AGAIN_MISSING] = want->missing,
                           [SWEEP_AGAIN_DIVERGED] = want->diverged};
    memset(chosen, 0, s->plan.n_runs * sizeof *chosen);
    status st = want->diverged ? find_attempts(chosen, &s->plan, campaign, e) : ST_OK;
    for (size_t i = 0; i < s->plan.n_runs; i++) {
        const sweep_state_row *state = &sweep_states[s->rows[i].state];
        const bool open = state->again == SWEEP_AGAIN_MISSING || state->again == SWEEP_AGAIN_FAILED;
        const bool begun_again = chosen[i] && open;
        chosen[i] = wanted[state->again] || begun_again;
    }
    return st;
}

/* ---- making room ---------------------------------------------------------------------------------------------- */

static status free_name(char out[IO_PATH_MAX], const char *attempts, const char *id, err *e)
{
    for (int k = 1; k <= MOST_ATTEMPTS; k++) {
        char name[64];
        snprintf(name, sizeof name, "%.16s.%d", id, k);
        status st = io_join(out, attempts, name, e);
        if (st || !io_exists(out)) return st;
    }
    return err_set(e, ST_IO, "%s: holds %d attempts of %s; move some of them away", attempts, (int)MOST_ATTEMPTS, id);
}

/* By the owner of dir, so nobody else looks for a name for it. The new place is made durable first: after a loss of
 * power the run may stand in both directories' names, never in none. */
static status move_it(char to[IO_PATH_MAX], const char *campaign, const char *dir, const char *id, err *e)
{
    char attempts[IO_PATH_MAX], runs[IO_PATH_MAX];
    status st = io_join(attempts, campaign, "attempts", e);
    if (!st) st = io_join(runs, campaign, "runs", e);
    if (!st && !io_exists(attempts)) {
        st = io_mkdirs(attempts, e);
        if (!st) st = io_sync_dir(campaign, e);
    }
    if (!st) st = free_name(to, attempts, id, e);
    if (st) return st;
    if (rename(dir, to)) return err_set(e, ST_IO, "%s: cannot rename to %s: %s", dir, to, strerror(errno));
    st = io_sync_dir(attempts, e);
    return st ? st : io_sync_dir(runs, e);
}

status retry_put_aside(char to[IO_PATH_MAX], const char *campaign, const char *id, err *e)
{
    char dir[IO_PATH_MAX];
    store_look look;
    owner o;
    *to = 0;
    status st = campaign_run_dir(dir, campaign, id, e);
    if (!st) st = owner_take(&o, dir, e);
    if (st) return st;
    st = store_peek(&look, dir, e);
    if (!st && look.state == STORE_DIVERGED) st = move_it(to, campaign, dir, id, e);
    if (*to && io_exists(to)) snprintf(o.path, sizeof o.path, "%.1000s/owner", to); /* it moved along */
    owner_release(&o);
    return st;
}
