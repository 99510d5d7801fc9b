/* What the files of `muscale predict` share. cmd_predict.c: options and order of work; predict_target.c: what a config
 * knows (counts, widths, per-tensor table); predict_out.c: muscale.predict/1 and the screen. */
#ifndef CLI_PREDICT_H
#define CLI_PREDICT_H
#include <jansson.h>
#include "cli/cli.h"
#include "fit/predict.h"
#include "trainer/config.h"

typedef struct predict_input {          /* the command line */
    predict_ask ask;
    const char *config, *out, *write_config;
    double unique_tokens;               /* NaN = not given */
    cli_list at;                        /* NAME=VALUE: columns of the law that are no N, D, C */
    int64_t seed;
    bool force;
    const char **overrides; size_t n_overrides; /* key=value */
} predict_input;

/* Columns of the ladder: shapes of the base config at rising widths. */
typedef struct predict_ladder { size_t n_rows; int64_t *width; double *n, *flops_per_token; } predict_ladder;

typedef struct prediction {
    predict_input in;
    predict_fit *fits; size_t n_fits;
    /* The fits that are used; NULL = none of that kind. lr: the optimum per width; lr_law and batch_law: laws whose target is
     * the learning rate or the batch. */
    const predict_fit *loss, *lr, *lr_law, *batch_law;
    bool exact_run;                     /* --config alone: this run and no other */
    predict_cost cost;
    char cost_from[96];
    predict_ladder ladder;
    predict_result best;                /* what was asked, continuous N */
    bool has_best;
    /* from the config */
    bool has_target;
    trainer_config base, target;        /* base: as loaded, not resolved; target: resolved */
    char target_id[17];
    double target_n, target_d, target_c; /* in the loss fit's conventions; D in whole steps */
    predict_result run;                 /* the target run */
    size_t n_tensors;
    shape_tensor *tensors; mup_tensor *hparams;
    bool tensors_lr_predicted;          /* their lr is the predicted one, else the config's */
    predict_lr rate;
    double batch; predict_interval ci_batch; /* by batch_law; NaN */
    json_t *notes;                      /* strings */
    json_t *reasons;                    /* trust */
    const char *verdict;
    bool forced;
} prediction;

void prediction_note(prediction *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void prediction_reason(prediction *p, const char *code, double value, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

status target_load(prediction *p, err *e);           /* base from --config and key=value */
status target_make_ladder(prediction *p, err *e);    /* widths of the base config; also sets p->cost */
/* The resolved target: exact_run the config as it is; else width nearest to best.n, whole steps, predicted lr. */
status target_choose(prediction *p, err *e);
status target_tensors(prediction *p, err *e);
/* N and FLOPs per token by the loss fit's rules. ST_INPUT: a rule that a config's counts do not know. */
status target_counts(double *n, double *flops_per_token, const shape *s, const char *n_rule, const char *c_rule, err *e);
void target_free(prediction *p);

json_t *prediction_json(const prediction *p, const cli *c); /* muscale.predict/1; NULL = no memory */
void prediction_print(const prediction *p);
bool predict_knows_repetition(const prediction *p); /* the loss law has a column U */

/* Fits of law filtering, one a bucket (predict_buckets.c): which to use for --tokens. *out: muscale.predict/1 with `mixes`. */
bool predict_is_buckets(const prediction *p);
status predict_buckets(json_t **out, prediction *p, bool screen, err *e);
#endif
