/* Results and runs made by a formula: a chinchilla law with noise, learning-rate valleys with a drift under sp and none under
 * mup, a held-out run. For the tests and, by tests/plots/gallery, for eyes. */
#ifndef TESTS_PLOTS_SYNTHETIC_H
#define TESTS_PLOTS_SYNTHETIC_H
#include <jansson.h>
#include <stdbool.h>

typedef struct synthetic {
    bool miss;          /* the measured loss lies outside the interval */
    bool no_runs;       /* results only */
    bool refused;       /* the fit's verdict is refuse, parameters under raw */
    bool more;          /* the fit also has minima, profiles, a hold-out and a back-test */
    const char *name;   /* goes into every place that holds words: NULL, or something hostile */
} synthetic;

/* dir/fit.json lr.json prediction.json score.json runs.csv campaign/runs/(id)/journal.jsonl one/journal.jsonl. Aborts on failure. */
void synthetic_write(const char *dir, const synthetic *o);
double synthetic_loss(double n, double d);
#endif
