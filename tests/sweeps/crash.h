/* Accidents of the store: a scenario is something a program does with a directory; whatever happens meanwhile, `check`
 * holds at once and `finished` once the same thing has been done again. test_kill.c kills and fails at every call,
 * test_power_loss.c cuts the power.
 *
 * The library interpose.so is preloaded: a program that links crash.c starts itself again with it. */
#ifndef TESTS_SWEEPS_CRASH_H
#define TESTS_SWEEPS_CRASH_H
#include <stdbool.h>
#include <stdint.h>

#include "base/io.h"
#include "tests/sweeps/interpose.h"

/* What the program under test was told is safe. */
typedef enum crash_promise {
    WRITTEN, /* last row for which the observer returned: a kill must not lose it */
    SYNCED,  /* ... followed by a sync that returned: a power cut must not */
    KEPT,    /* step of the newest checkpoint */
    ENDED,   /* 1: the run's end was recorded and synced */
    MADE,    /* 1: the thing as a whole returned ST_OK */
    N_PROMISES
} crash_promise;

typedef struct crash_state {
    interpose_arm_fn *arm;       /* NULL: not preloaded */
    interpose_count_fn *count;
    interpose_record_fn *record;
    interpose_note_fn *note;
    char top[IO_PATH_MAX], dir[IO_PATH_MAX]; /* scratch of this test; what the scenario works on, below top */
    int64_t *promised;           /* [N_PROMISES], shared with the children */
    bool may_tear;               /* half a line may stay: ftruncate fails too, or a write was cut in two */
    bool power_cut;
    long points, lost, unreadable, wrong; /* wrong: readable, and not what was written, or not what an undisturbed one gives */
} crash_state;
extern crash_state crash;

void crash_begin(void); /* in a test's .init: skips it without the library */
void crash_promise_of(crash_promise what, int64_t value);
void crash_forget(void);     /* all promises */
void crash_superseded(void); /* those of rows: an unfinished run that is continued makes the ones behind its checkpoint anew */

typedef status crash_act(err *e);
typedef struct crash_scenario {
    const char *name;
    void (*prepare)(void);
    crash_act *act;
    void (*check)(const char *where);
    void (*finished)(const char *where);
    long at_least; /* calls it is known to make: fewer means they are not seen */
    bool torn;     /* it begins with half a line */
} crash_scenario;
const crash_scenario *crash_at(size_t i); /* NULL: there are no more */
bool crash_wanted(const crash_scenario *s); /* SCENARIO=name in the environment picks one */
const crash_scenario *crash_find(const char *name);

/* rc of the child: the status; 100: killed; 101: an error that does not name the directory. */
int crash_child(crash_act *act, long at, int error, int once);
void crash_recover(const crash_scenario *s, const char *where); /* check; done again: finished; and once more: nothing changes */
void crash_fresh(const char *name); /* dir = top/name, made empty */
void crash_drop(void);              /* removes dir */
void crash_copy(const char *to, const char *from); /* a directory with all that is in it; to must not exist */
void crash_remove(const char *path);

/* Counts and prints a broken promise; ok is returned. */
bool crash_hold(bool ok, long *kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void crash_say(const char *what);   /* the counts, and fails the test unless all are 0 */
#define crash_need(s, e) cr_assert_eq((s), ST_OK, "%s", (e).msg)

char *crash_path(char *out, const char *name);                       /* dir/name */
void crash_no_leftovers(const char *where);                          /* no temporaries in dir */
#endif
