/* Looking at a run directory without touching it, and at a prediction that was written for a run. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jdoc.h"
#include "sweeps/owner.h"
#include "sweeps/store.h"
#include "sweeps/store_private.h"

static const char *const state_names[] = {
    [STORE_ABSENT] = "absent", [STORE_PARTIAL] = "partial", [STORE_STOPPED] = "stopped",
    [STORE_FAILED] = "failed", [STORE_DONE] = "done",       [STORE_DIVERGED] = "diverged",
    [STORE_EARLY_STOPPED] = "early-stopped",
};

const char *store_state_name(store_state s) { return state_names[s]; }
bool store_is_final(store_state s) { return s >= STORE_DONE; }

void store_look_at(store_look *out, const run_record *r)
{
    const char *id = attrs_text(&r->group[RUN_ROOT], "run_id"), *how = run_status_text(r);
    const attrs *sum = &r->group[RUN_SUMMARY];
    out->state = STORE_PARTIAL; /* also a status of a later version: not known to be final */
    for (int s = STORE_STOPPED; s < STORE_N_STATES; s++)
        if (!strcmp(how, state_names[s])) out->state = (store_state)s;
    if (!id) out->state = STORE_ABSENT;
    snprintf(out->id, sizeof out->id, "%s", id ? id : "");
    out->step = attrs_i64(sum, "step", 0);
    out->tokens = attrs_i64(sum, "tokens", 0);
    out->loss = attrs_f64(sum, "final_val_loss");
    out->flops = attrs_f64(sum, "flops");
    out->wall_s = attrs_f64(sum, "wall_s");
    if (attrs_text(sum, "branched_from")) out->shared_flops = attrs_f64(sum, "shared_flops");
    if (r->torn_bytes)
        snprintf(out->note, sizeof out->note, "journal.jsonl: %zu bytes after byte %zu are torn or damaged", r->torn_bytes, r->journal_bytes);
}

bool h5_shows(const char *dir, const run_record *journal)
{
    char path[IO_PATH_MAX];
    run_record h5;
    if (io_join(path, dir, "run.h5", NULL) || !io_exists(path) || run_read_h5(&h5, path, RUN_HEADER, NULL)) return false;
    const char *a = attrs_text(&h5.group[RUN_ROOT], "journal_xxh64"), *b = attrs_text(&journal->group[RUN_ROOT], "journal_xxh64");
    bool same = a && b && !strcmp(a, b);
    run_free(&h5);
    return same;
}

status store_peek(store_look *out, const char *dir, err *e)
{
    char journal[IO_PATH_MAX], h5[IO_PATH_MAX];
    run_record r;
    memset(out, 0, sizeof *out);
    out->loss = NAN;
    status s = io_join(journal, dir, "journal.jsonl", e);
    if (!s) s = io_join(h5, dir, "run.h5", e);
    if (s) return s;
    owner_look(out->owner, dir);
    if (!io_exists(journal) && !io_exists(h5)) return ST_OK;
    s = run_read(&r, dir, RUN_HEADER, e);
    if (s) return s;
    store_look_at(out, &r);
    run_free(&r);
    return ST_OK;
}

status store_prediction(char sha256[IO_SHA256_HEX], const char *path, const char *config_id, err *e)
{
    json_t *o;
    status s = jdoc_read(&o, sha256, path, "muscale.predict/1", (size_t)256 << 20,
                         "make a prediction with `muscale predict ... --config TARGET.yaml -o PREDICTION.json`", e);
    if (s) return s;
    const char *id = json_string_value(json_object_get(json_object_get(o, "target"), "config_id"));
    if (!id) s = err_set(e, ST_INPUT, "%s: made for no config (target.config_id is absent); predict with --config TARGET.yaml", path);
    else if (strcmp(id, config_id))
        s = err_set(e, ST_INPUT, "%s: made for config %.20s, this run is %s; predict again with this run's config, or train that one", path, id, config_id);
    json_decref(o);
    return s;
}
