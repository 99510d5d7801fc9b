/* What bench/peers/ printed: one JSON line a case. */
#ifndef BENCH_GPU_PEERS_H
#define BENCH_GPU_PEERS_H
#include "base/err.h"

/* The last line of that peer and case in the file; 0 when there is none. ST_IO: no such file; ST_INPUT: a line that
 * starts like a record and is none. */
status gpu_peer_rate(double *tokens_per_s, const char *file, const char *peer, const char *name, err *e);
#endif
