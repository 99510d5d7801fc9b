/* The journal's events as JSON objects (doc/formats.md). Private to the store. NULL = no memory. */
#ifndef SWEEPS_STORE_RECORD_H
#define SWEEPS_STORE_RECORD_H
#include <jansson.h>

#include "trainer/train.h"

typedef struct record_origin {
    const char *campaign_id;       /* "" none */
    const char *prediction, *prediction_sha256; /* "" none */
    const char *argv;              /* as one shell line */
    int threads;
} record_origin;

json_t *record_start(const train_start *s, const record_origin *o);
json_t *record_resume(const train_start *s, const record_origin *o);
json_t *record_ckpt(int64_t step, const char *file);
json_t *record_left(int64_t step, const char *file); /* the state that branches go on from */
/* A branch begins as its trunk did: `start` is the trunk's record, the identity and the settings are the branch's own. */
json_t *record_start_as(const json_t *start, const trainer_config *c, const record_origin *o);
json_t *record_branch(const char *from, int64_t step, int64_t tokens, double flops, double wall_s);
json_t *record_end(const train_end *end);
json_t *record_failed(const char *why);

char *record_argv(char *const *argv, int argc); /* words that need it in single quotes; malloc'ed */
#endif
