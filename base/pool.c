#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SPINS = 2000 }; /* some tens of microseconds: the gap between two steps of a bank, not a validation pause */

typedef struct member { pool *p; int index; pthread_t thread; bool started; } member;

struct pool {
    int threads;
    member *members; /* [threads]; 0 is the caller */
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    atomic_uint round;       /* a new value: there is work */
    atomic_size_t next;      /* next item to take */
    atomic_int busy;         /* workers that have not finished this round */
    bool quit;
    pool_fn fn;
    void *self;
    size_t n_items;
};

static void relax(void)
{
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

static void take_items(pool *p, int worker)
{
    for (;;) {
        const size_t i = atomic_fetch_add(&p->next, 1);
        if (i >= p->n_items) return;
        p->fn(p->self, i, worker);
    }
}

static void *work(void *arg)
{
    const member *me = arg;
    pool *p = me->p;
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; i < SPINS && atomic_load(&p->round) == seen; i++) relax();
        pthread_mutex_lock(&p->lock);
        while (atomic_load(&p->round) == seen) pthread_cond_wait(&p->wake, &p->lock);
        seen = atomic_load(&p->round);
        const bool quit = p->quit;
        pthread_mutex_unlock(&p->lock);
        if (quit) return NULL;
        take_items(p, me->index);
        if (atomic_fetch_sub(&p->busy, 1) == 1) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

status pool_new(pool **out, int threads, err *e)
{
    if (threads < 1) return err_set(e, ST_INPUT, "threads: %d; use at least 1", threads);
    pool *p = calloc(1, sizeof *p);
    member *members = calloc((size_t)threads, sizeof *members);
    if (!p || !members) {
        free(p);
        free(members);
        return err_set(e, ST_NOMEM, "threads: no memory for %d workers", threads);
    }
    p->threads = threads;
    p->members = members;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    /* Signals are the main thread's: a worker that took SIGTERM's handler would be as good, but EINTR surprises
     * libraries. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int rc = 0;
    for (int i = 1; i < threads && !rc; i++) {
        members[i] = (member){.p = p, .index = i};
        rc = pthread_create(&members[i].thread, NULL, work, &members[i]);
        members[i].started = rc == 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        pool_free(p);
        return err_set(e, ST_SYSTEM, "threads: cannot start %d workers: %s; use fewer", threads, strerror(rc));
    }
    *out = p;
    return ST_OK;
}

static void start_round(pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->round, 1);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void pool_run(pool *p, pool_fn fn, void *self, size_t n_items)
{
    p->fn = fn;
    p->self = self;
    p->n_items = n_items;
    atomic_store(&p->next, 0);
    if (p->threads > 1 && n_items > 1) {
        atomic_store(&p->busy, p->threads - 1);
        start_round(p);
        take_items(p, 0);
        for (int i = 0; i < SPINS && atomic_load(&p->busy); i++) relax();
        pthread_mutex_lock(&p->lock);
        while (atomic_load(&p->busy)) pthread_cond_wait(&p->done, &p->lock);
        pthread_mutex_unlock(&p->lock);
    } else {
        take_items(p, 0);
    }
}

void pool_free(pool *p)
{
    if (!p) return;
    p->quit = true;
    start_round(p);
    for (int i = 1; i < p->threads; i++)
        if (p->members[i].started) pthread_join(p->members[i].thread, NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    pthread_cond_destroy(&p->done);
    free(p->members);
    free(p);
}
