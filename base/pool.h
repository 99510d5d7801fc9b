/* Worker threads for independent items of work. The caller is one of the workers. Items are taken in order; results
 * must not depend on who takes which. A worker with nothing to do spins briefly, then sleeps. */
#ifndef BASE_POOL_H
#define BASE_POOL_H
#include <stddef.h>
#include "base/err.h"

typedef struct pool pool;
typedef void (*pool_fn)(void *self, size_t item, int worker); /* worker 0 is the caller; 0 <= worker < threads */

status pool_new(pool **out, int threads, err *e); /* ST_SYSTEM when threads cannot be started */
void pool_free(pool *p);
void pool_run(pool *p, pool_fn fn, void *self, size_t n_items); /* returns when all items are done */
#endif
