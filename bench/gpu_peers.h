/* What bench/peers/ printed: one JSON line a case. */
#ifndef BENCH_GPU_PEERS_H
#define BENCH_GPU_PEERS_H
#include "base/err.h"

/* The last line of that peer and case in the file; rate 0 when there is none. mode: how the peer ran, "" where it does
 * not say. ST_IO: no such file; ST_INPUT: a line that starts like a record and is none. */
typedef struct gpu_peer {
    double rate; /* tokens/s */
    char mode[64];
} gpu_peer;
status gpu_peer_rate(gpu_peer *out, const char *file, const char *peer, const char *name, err *e);
#endif
