/* What was measured before an export: a coordinate check and a transfer report, as the `evidence` of groups.json. */
#ifndef CLI_MUP_EVIDENCE_H
#define CLI_MUP_EVIDENCE_H
#include <jansson.h>

#include "trainer/config.h"

typedef struct mup_evidence_files { const char *check, *transfer; } mup_evidence_files; /* paths, or NULL */

/* *out: {coord_check, lr_transfer}; each with a verdict, or with null and why. target: the resolved config that is
 * exported. *doubt: "" or what a person should hear: a check that fails, a learning rate that drifts or lies off.
 * ST_INPUT: not such a file; of another model (below); a report without a line of the rule over learning rates. */
enum { MUP_DOUBT_MAX = 512 };
status mup_evidence(json_t **out, char doubt[MUP_DOUBT_MAX], const mup_evidence_files *files, const trainer_config *target,
                    err *e);

/* Is what was measured on `config` (a JSON object of keys) of the model that is exported: rule, options, base,
 * architecture, tuned values? Sizes may differ; head_dim only where it grew with the width. A check does not look at
 * schedule and decay; what was trained to its end did. ST_INPUT, naming what differs; `where` starts the message. */
typedef struct mup_evidence_kind { bool head_dim_grew, trained; } mup_evidence_kind;
status mup_evidence_same_model(const json_t *config, mup_evidence_kind kind, const trainer_config *target,
                               const char *where, err *e);
#endif
