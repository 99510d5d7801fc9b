/* Independent fits on threads: starts of a search, resamples of a bootstrap. Every thread has its own work space on the
 * same rows; results stand in the item's place, so they do not depend on who did what. */
#include <stdlib.h>
#include <unistd.h>

#include "base/pool.h"
#include "fit/search.h"

typedef struct job {
    fit_problem *copies;
    fit_item_fn *fn;
    void *self;
    status *code;
    err *errors; /* [n] */
} job;

static void one(void *self, size_t item, int worker)
{
    job *j = self;
    j->code[item] = j->fn(j->self, &j->copies[worker], item, &j->errors[item]);
}

size_t fit_threads(const fit_solver *solver, size_t asked)
{
    enum { MOST = 256 };
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (!solver->threads) return 1;
    if (!asked) asked = n > 0 ? (size_t)n : 1;
    return asked < MOST ? asked : MOST;
}

static status first_error(const job *j, size_t n, err *e)
{
    for (size_t i = 0; i < n; i++)
        if (j->code[i]) {
            if (e) *e = j->errors[i];
            return j->code[i];
        }
    return ST_OK;
}

status fit_in_parallel(fit_problem *p, size_t n, size_t threads, fit_item_fn *fn, void *self, err *e)
{
    pool *workers = NULL;
    status s = ST_OK;
    if (threads > n) threads = n ? n : 1;
    if (threads < 2) {
        for (size_t i = 0; i < n && !s; i++) s = fn(self, p, i, e);
        return s;
    }
    job j = {calloc(threads, sizeof *j.copies), fn, self, calloc(n, sizeof *j.code), calloc(n, sizeof *j.errors)};
    size_t made = 0;
    if (!j.copies || !j.code || !j.errors) s = err_set(e, ST_NOMEM, "no memory for %zu threads", threads);
    for (; made < threads && !s; made++) s = fit_problem_share(&j.copies[made], p, e);
    if (!s) s = pool_new(&workers, (int)threads, e);
    if (!s) {
        pool_run(workers, one, &j, n);
        s = first_error(&j, n, e);
    }
    pool_free(workers);
    for (size_t i = 0; i < made; i++) fit_problem_free(&j.copies[i]);
    free(j.copies);
    free(j.code);
    free(j.errors);
    return s;
}
