/* muscale score: a prediction that was written first against the run it was made for. A miss is a result: exit 0, said
 * loudly. What is refused is a comparison that would prove nothing: another run, an unfinished one, a prediction that the
 * run's own record does not know. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/jdoc.h"
#include "base/run.h"
#include "base/table.h"
#include "cli/cli.h"
#include "config.h"
#include "trainer/config.h"

enum { READ_LIMIT = 64 << 20, MAX_CHECKS = 16 };

typedef struct lr_check { char path[IO_PATH_MAX]; double lr, factor, loss, minus_base; bool diverged; } lr_check;

typedef struct score {
    const char *prediction_path, *run_path, *naive, *lr_base, *out;
    cli_list lr_checks;
    char sha256[IO_SHA256_HEX];
    json_t *prediction;
    run_record run;
    char config_id[17];
    bool diverged;
    double predicted, lo, hi, measured, se;
    double naive_loss;
    const char *naive_from;
    double lr_predicted, lr_ci[2], lr_used;
    double base_loss;
    lr_check check[MAX_CHECKS];
    size_t n_checks;
} score;

static double number(const json_t *v) { return json_is_number(v) ? json_number_value(v) : NAN; }
static double at_key(const json_t *o, const char *a, const char *b) { return number(json_object_get(json_object_get(o, a), b)); }

static void pair(double out[2], const json_t *o, const char *a, const char *b)
{
    const json_t *p = json_object_get(json_object_get(o, a), b);
    out[0] = number(json_array_get(p, 0));
    out[1] = number(json_array_get(p, 1));
}

static status read_prediction(score *s, err *e)
{
    double pi[2];
    status st = jdoc_read(&s->prediction, s->sha256, s->prediction_path, "muscale.predict/1", READ_LIMIT,
                          "score reads what muscale predict ... --config TARGET.yaml -o wrote", e);
    if (st) return st;
    const json_t *target = json_object_get(s->prediction, "target");
    const char *id = json_string_value(json_object_get(target, "config_id"));
    if (!id || strlen(id) != 16)
        return err_set(e, ST_INPUT, "%s: made for no particular run; predict with --config TARGET.yaml so that it can be scored", s->prediction_path);
    memcpy(s->config_id, id, sizeof s->config_id);
    s->predicted = number(json_object_get(target, "loss"));
    if (isnan(s->predicted)) return err_set(e, ST_INPUT, "%s: predicts no loss; give muscale predict a loss law", s->prediction_path);
    pair(pi, target, "pi95", "loss");
    s->lo = pi[0], s->hi = pi[1];
    s->lr_predicted = at_key(s->prediction, "optimum", "lr");
    pair(s->lr_ci, s->prediction, "ci95", "lr");
    s->naive_loss = at_key(s->prediction, "naive", "loss");
    s->naive_from = "the fit's points";
    return ST_OK;
}

static status read_run(score *s, err *e)
{
    status st = run_read(&s->run, s->run_path, RUN_HEADER, e);
    if (st) return st;
    const char *id = attrs_text(&s->run.group[RUN_ROOT], "run_id"), *bound = attrs_text(&s->run.group[RUN_ROOT], "prediction_sha256");
    const char *how = run_status_text(&s->run);
    if (!id || strcmp(id, s->config_id))
        return err_set(e, ST_INPUT, "%s: is run %s, the prediction %s was made for run %s; predict with this run's config before training it",
                       s->run_path, id ? id : "without id", s->prediction_path, s->config_id);
    if (!bound)
        return err_set(e, ST_INPUT, "%s: its record names no prediction; train with --prediction %s so that what came first is on record",
                       s->run_path, s->prediction_path);
    if (strcmp(bound, s->sha256))
        return err_set(e, ST_INPUT, "%s: was started under prediction %.12s..., %s is now %.12s...: the prediction changed after the run began",
                       s->run_path, bound, s->prediction_path, s->sha256);
    s->diverged = !strcmp(how, "diverged");
    s->measured = s->diverged ? NAN : attrs_f64(&s->run.group[RUN_SUMMARY], "final_val_loss");
    s->se = s->diverged ? NAN : attrs_f64(&s->run.group[RUN_SUMMARY], "final_val_loss_se");
    s->lr_used = attrs_f64(&s->run.group[RUN_CONFIG], "lr");
    if (!s->diverged && (strcmp(how, "done") || !isfinite(s->measured)))
        return err_set(e, ST_INPUT, "%s: status '%s'%s; finish it with muscale train --resume", s->run_path, how,
                       strcmp(how, "done") ? "" : " without a final validation loss");
    return ST_OK;
}

/* The sweep's best loss: what one would say without a law. */
static status read_naive(score *s, err *e)
{
    table t = {0};
    double best = NAN;
    size_t len = strlen(s->naive);
    if (len > 5 && !strcmp(s->naive + len - 5, ".json")) {
        json_t *fit = NULL;
        status st = jdoc_read(&fit, NULL, s->naive, "muscale.fit/1", READ_LIMIT, "--naive reads what muscale fit -o wrote, or a campaign", e);
        if (st) return st;
        const json_t *loss = json_object_get(json_object_get(fit, "points"), "loss");
        for (size_t i = 0; i < json_array_size(loss); i++) best = fmin(best, number(json_array_get(loss, i)));
        json_decref(fit);
    } else {
        const double *loss = NULL;
        status st = table_read(&t, s->naive, e);
        if (!st) st = table_number_col(&t, "loss", &loss, e);
        const table_column *how = st ? NULL : table_col(&t, "status"), *id = st ? NULL : table_col(&t, "run");
        for (size_t i = 0; !st && i < t.n_rows; i++) {
            if (how && how->is_text && strcmp(table_word(how, i), "done")) continue;
            if (id && id->is_text && !strcmp(table_word(id, i), s->config_id)) continue; /* the run itself is no predictor */
            if (isfinite(loss[i])) best = fmin(best, loss[i]);
        }
        table_free(&t);
        if (st) return st;
    }
    if (isnan(best)) return err_set(e, ST_INPUT, "%s: no finite loss for the naive predictor", s->naive);
    s->naive_loss = best;
    s->naive_from = s->naive;
    return ST_OK;
}

/* The check runs may differ from the base in lr only: anything else would be blamed on the learning rate. */
static status only_lr_differs(const char *base, const char *other, const char *path, err *e)
{
    char *diff = config_diff(base, other);
    status st = diff ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory", path);
    for (char *line = diff, *next; line && *line && !st; line = next) {
        size_t n = strcspn(line, "\n");
        next = line + n + (line[n] == '\n');
        if (n && strncmp(line, "lr:", 3))
            st = err_set(e, ST_INPUT, "%s: differs from the base run in more than lr (%.*s); train it with that value too", path, (int)n, line);
    }
    free(diff);
    return st;
}

static status read_check(lr_check *c, const run_record *base, const char *path, err *e)
{
    run_record r;
    status st = run_read(&r, path, RUN_HEADER, e);
    if (st) return st;
    const char *mine = attrs_text(&r.group[RUN_CONFIG], "canonical"), *theirs = attrs_text(&base->group[RUN_CONFIG], "canonical");
    snprintf(c->path, sizeof c->path, "%s", path);
    c->lr = attrs_f64(&r.group[RUN_CONFIG], "lr");
    c->factor = c->lr / attrs_f64(&base->group[RUN_CONFIG], "lr");
    c->diverged = !strcmp(run_status_text(&r), "diverged");
    c->loss = c->diverged ? NAN : attrs_f64(&r.group[RUN_SUMMARY], "final_val_loss");
    c->minus_base = c->loss - attrs_f64(&base->group[RUN_SUMMARY], "final_val_loss");
    if (!run_is_final(&r)) st = err_set(e, ST_INPUT, "%s: status '%s'; finish it with muscale train --resume", path, run_status_text(&r));
    else if (!mine || !theirs) st = err_set(e, ST_INPUT, "%s: its record holds no canonical config to compare", !mine ? path : base->path);
    else st = only_lr_differs(theirs, mine, path, e);
    run_free(&r);
    return st;
}

static status read_checks(score *s, err *e)
{
    run_record other = {0}, *base = &s->run;
    status st = ST_OK;
    if (s->lr_checks.n > MAX_CHECKS) return err_set(e, ST_USAGE, "at most %d --lr-check runs", MAX_CHECKS);
    if (s->lr_base) {
        st = run_read(&other, s->lr_base, RUN_HEADER, e);
        if (st) return st;
        base = &other;
        if (strcmp(run_status_text(base), "done"))
            st = err_set(e, ST_INPUT, "%s: status '%s'; the base of the lr checks must be done", s->lr_base, run_status_text(base));
    }
    s->base_loss = attrs_f64(&base->group[RUN_SUMMARY], "final_val_loss");
    for (size_t i = 0; i < s->lr_checks.n && !st; i++) st = read_check(&s->check[s->n_checks++], base, s->lr_checks.items[i], e);
    run_free(&other);
    return st;
}

/* --- output -------------------------------------------------------------------------------------- */

static json_t *real(double x) { return isfinite(x) ? json_real(x) : json_null(); }
static json_t *real2(double a, double b) { return isnan(a) && isnan(b) ? json_null() : json_pack("[o,o]", real(a), real(b)); }

static bool has_interval(const score *s) { return isfinite(s->lo) && isfinite(s->hi); }
static bool hit(const score *s) { return !s->diverged && s->lo <= s->measured && s->measured <= s->hi; }

static json_t *score_json(const score *s)
{
    json_t *penalty = json_array();
    for (size_t i = 0; i < s->n_checks; i++)
        json_array_append_new(penalty, json_pack("{s:o,s:o,s:o,s:o,s:b,s:s}", "factor", real(s->check[i].factor), "lr", real(s->check[i].lr),
            "loss", real(s->check[i].loss), "loss_minus_base", real(s->check[i].minus_base), "diverged", s->check[i].diverged, "path", s->check[i].path));
    const json_t *trust = json_object_get(s->prediction, "trust");
    return json_pack("{s:s,s:{s:s,s:s},s:{s:s,s:s,s:s},s:{s:o,s:o,s:o,s:o,s:o,s:o,s:o},s:{s:o,s:o,s:s?},s:{s:o,s:o,s:o},s:o,s:o,s:O?,s:O?}",
        "schema", "muscale.score/1", "prediction", "path", s->prediction_path, "sha256", s->sha256,
        "run", "path", s->run_path, "run_id", s->config_id, "status", run_status_text(&s->run),
        "loss", "predicted", real(s->predicted), "pi95", real2(s->lo, s->hi), "half_width", real((s->hi - s->lo) / 2),
        "measured", real(s->measured), "measured_se", real(s->se), "error", real(s->measured - s->predicted),
        "hit", has_interval(s) ? json_boolean(hit(s)) : json_null(),
        "naive", "loss", real(s->naive_loss), "error", real(s->measured - s->naive_loss), "from", s->naive_from,
        "lr", "predicted", real(s->lr_predicted), "ci95", real2(s->lr_ci[0], s->lr_ci[1]), "used", real(s->lr_used),
        "lr_base_loss", s->n_checks ? real(s->base_loss) : json_null(), "lr_penalty", penalty,
        "trust", trust, "forced", json_object_get(s->prediction, "forced"));
}

static void print_verdict(const score *s)
{
    if (!has_interval(s)) puts("no interval was predicted: neither hit nor miss");
    else if (s->diverged) puts("MISS: the run diverged");
    else if (hit(s)) printf("HIT: the measured loss lies inside the predicted 95 %% interval\n");
    else printf("MISS: the measured loss lies %.4f nats %s the predicted 95 %% interval\n",
                s->measured < s->lo ? s->lo - s->measured : s->measured - s->hi, s->measured < s->lo ? "below" : "above");
}

static void score_print(const score *s)
{
    const json_t *forced = json_object_get(s->prediction, "forced");
    print_verdict(s);
    if (json_is_true(forced)) puts("the prediction was FORCED: its fit was refused and the run lies beyond the data");
    printf("\n  %-22s %9.4f", "predicted loss", s->predicted);
    if (has_interval(s)) printf("   [%.4f, %.4f]  half-width %.4f nats", s->lo, s->hi, (s->hi - s->lo) / 2);
    if (s->diverged) printf("\n  %-22s %9s\n", "measured", "diverged");
    else {
        printf("\n  %-22s %9.4f   +- %.4f (standard error of the validation set)\n", "measured", s->measured, s->se);
        printf("  %-22s %+9.4f   nats, measured - predicted\n", "error", s->measured - s->predicted);
        if (!isnan(s->naive_loss))
            printf("  %-22s %+9.4f   nats, against the best loss %.4f of %s\n", "error, naive predictor", s->measured - s->naive_loss, s->naive_loss, s->naive_from);
    }
    if (isnan(s->lr_predicted)) printf("  %-22s %9s   used %.4g\n", "learning rate", "-", s->lr_used);
    else if (isnan(s->lr_ci[0])) printf("  %-22s %9.4g   used %.4g\n", "predicted lr", s->lr_predicted, s->lr_used);
    else printf("  %-22s %9.4g   [%.4g, %.4g]  used %.4g\n", "predicted lr", s->lr_predicted, s->lr_ci[0], s->lr_ci[1], s->lr_used);
    for (size_t i = 0; i < s->n_checks; i++) {
        const lr_check *c = &s->check[i];
        if (c->diverged) printf("  penalty at %-4.3g x lr    diverged\n", c->factor);
        else printf("  penalty at %-4.3g x lr   %+9.4f   nats, %.4f - %.4f%s\n", c->factor, c->minus_base, c->loss, s->base_loss,
                    c->minus_base < 0 ? "  (better than the predicted lr)" : "");
    }
    if (s->out) printf("\nwritten %s\n", s->out);
}

static status publish(const score *s, const json_t *j, err *e)
{
    char *text = json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(17) | JSON_PRESERVE_ORDER);
    status st = text ? io_publish(s->out, text, strlen(text), e) : err_set(e, ST_NOMEM, "%s: no memory for the score", s->out);
    free(text);
    return st;
}

int cmd_score(cli *c, int argc, char **argv)
{
    err e = {0};
    score s = {0};
    cli_list rest = {0};
    json_t *j = NULL;
    int rc = 0;
    const cli_opt opts[] = {
        {"naive", 0, OPT_TEXT, &s.naive, "CAMPAIGN|FIT.json", "whose best loss is the naive predictor (default: the fit's points)"},
        {"lr-check", 0, OPT_LIST, &s.lr_checks, "RUN", "a run at another lr, else equal to the base; may be repeated"},
        {"lr-base", 0, OPT_TEXT, &s.lr_base, "RUN", "what the checks are compared with (default: RUN itself)"},
        {"out", 'o', OPT_TEXT, &s.out, "FILE", "write the score as JSON"},
    };
    status st = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &rest, &e);
    if (st || c->show_help) goto done;
    if (rest.n != 2) {
        st = err_set(&e, ST_USAGE, "score takes a prediction and a run: muscale score prediction.json runs/target");
        goto done;
    }
    s.prediction_path = rest.items[0];
    s.run_path = rest.items[1];
    st = cli_check_output(s.out, &rest, &e);
    if (!st) st = read_prediction(&s, &e);
    if (!st) st = read_run(&s, &e);
    if (!st && s.naive) st = read_naive(&s, &e);
    if (!st) st = read_checks(&s, &e);
    if (!st && !(j = score_json(&s))) st = err_set(&e, ST_NOMEM, "score: no memory for the result");
    if (!st && s.out) st = publish(&s, j, &e);
    if (!st && c->json) rc = cli_json_out(json_incref(j));
    else if (!st) score_print(&s);
done:
    if (st) rc = cli_usage(c, argv[0], &e);
    json_decref(j);
    json_decref(s.prediction);
    run_free(&s.run);
    free(s.lr_checks.items);
    free(rest.items);
    return rc;
}
