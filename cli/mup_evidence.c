#include "cli/mup_evidence.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jdoc.h"

enum { LIMIT = 256 << 20 };

/* --- reading without trusting the shape --------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static double number_of(const json_t *o, const char *key)
{
    const json_t *x = json_object_get(o, key);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *copy(const json_t *o, const char *key)
{
    json_t *x = json_object_get(o, key);
    return x ? json_incref(x) : json_null();
}

/* How far the target lies beyond the largest size that was measured: a factor. */
static double beyond(const trainer_config *c, const char *axis, double largest)
{
    const double at = !strcmp(axis, "width") ? (double)c->shape.d_model : !strcmp(axis, "depth") ? (double)c->shape.n_layer : (double)c->tokens;
    return at / largest;
}

static void add_doubt(char doubt[MUP_DOUBT_MAX], const char *text)
{
    const size_t n = strlen(doubt);
    snprintf(doubt + n, MUP_DOUBT_MAX - n, "%s%s", n ? "; " : "", text);
}

static json_t *nothing(const char *why) { return json_pack("{s:n, s:s}", "verdict", "why", why); }

/* --- the coordinate check ----------------------------------------------------------------------------------------- */

static double off(const json_t *row) { return fabs(number_of(row, "slope") - number_of(row, "expected")); }

static bool worse(const json_t *a, const json_t *b)
{
    static const char *const rank[] = {"-", "pass", "undecided", "fail"};
    int x = 0, y = 0;
    for (int k = 0; k < 4; k++) {
        if (!strcmp(text_of(a, "verdict"), rank[k])) x = k;
        if (!strcmp(text_of(b, "verdict"), rank[k])) y = k;
    }
    return x != y ? x > y : off(a) > off(b);
}

/* Of each quantity the row that is worst; how many passed, failed, or neither. */
static json_t *check_axis(const json_t *axis, const trainer_config *target)
{
    const json_t *rows = json_object_get(axis, "rows"), *sizes = json_object_get(axis, "sizes");
    json_t *slopes = json_object();
    int passed = 0, failed = 0, undecided = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        const char *quantity = text_of(row, "quantity"), *verdict = text_of(row, "verdict");
        passed += !strcmp(verdict, "pass");
        failed += !strcmp(verdict, "fail");
        undecided += !strcmp(verdict, "undecided");
        const json_t *old = json_object_get(slopes, quantity);
        if (!*quantity || isnan(off(row)) || (old && !worse(row, old))) continue;
        json_object_set_new(slopes, quantity, json_pack("{s:o, s:o, s:o, s:o, s:o}", "place", copy(row, "place"), "expected",
                                                        copy(row, "expected"), "slope", copy(row, "slope"), "ci95",
                                                        copy(row, "ci95"), "verdict", copy(row, "verdict")));
    }
    const double largest = json_number_value(json_array_get(sizes, json_array_size(sizes) - 1));
    return json_pack("{s:s, s:o, s:o, s:i, s:i, s:i, s:o}", "axis", text_of(axis, "axis"), "sizes", copy(axis, "sizes"),
                     "target_over_largest", number(beyond(target, text_of(axis, "axis"), largest)), "n_pass", passed,
                     "n_fail", failed, "n_undecided", undecided, "slopes", slopes);
}

static status read_check(json_t **out, char doubt[MUP_DOUBT_MAX], const char *path, const trainer_config *target, err *e)
{
    char sha[IO_SHA256_HEX], line[256], where[128];
    json_t *doc = NULL, *axes = json_array();
    status s = jdoc_read(&doc, sha, path, "muscale.mup-check/1", LIMIT, "make it with `muscale --json mup check CONFIG`", e);
    const char *rule = text_of(doc, "parametrisation"), *verdict = text_of(doc, "verdict");
    if (!s && strcmp(rule, target->parametrisation) != 0)
        s = err_set(e, ST_INPUT, "--check %s: is a check of %.40s, the export is of %s; check the config that is exported", path, rule,
                    target->parametrisation);
    snprintf(where, sizeof where, "--check %.100s", path);
    const json_t *config = json_object_get(doc, "config"), *all = json_object_get(doc, "axes");
    const mup_evidence_kind kind = {.head_dim_grew = !strcmp(text_of(doc, "grow"), "head_dim")};
    if (!s) s = mup_evidence_same_model(config, kind, target, where, e);
    for (size_t i = 0; i < json_array_size(all) && !s; i++) json_array_append_new(axes, check_axis(json_array_get(all, i), target));
    if (!s && strcmp(verdict, "pass") != 0) {
        snprintf(line, sizeof line, "coordinate check %.120s: the verdict is %.20s", path, *verdict ? verdict : "nothing");
        add_doubt(doubt, line);
    }
    if (!s && number_of(doc, "lr") != target->base.lr) {
        snprintf(line, sizeof line, "coordinate check %.120s was made at lr %g, the export has %g", path, number_of(doc, "lr"), target->base.lr);
        add_doubt(doubt, line);
    }
    if (!s)
        *out = json_pack("{s:o, s:n, s:s, s:s, s:o, s:o, s:o, s:o, s:O}", "verdict", copy(doc, "verdict"), "why",
                         "file", path, "sha256", sha, "version", copy(json_object_get(doc, "provenance"), "version"),
                         "seeds", copy(doc, "seeds"), "steps", copy(doc, "steps"), "lr", copy(doc, "lr"), "axes", axes);
    json_decref(axes);
    json_decref(doc);
    return s;
}

/* --- the transfer report ------------------------------------------------------------------------------------------ */

/* The optimum at each size in log2 lr, and how many octaves the exported lr lies above it; null: not bracketed. */
static void optima(json_t *line, const json_t *groups, double lr, double *largest, double *worst)
{
    json_t *at = json_object(), *from = json_object(), *last = json_null();
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *g = json_array_get(groups, i);
        const double size = number_of(g, "width"), best = number_of(g, "log2_lr_opt");
        char name[32];
        snprintf(name, sizeof name, "%.10g", size);
        json_object_set_new(at, name, number(best));
        json_object_set_new(from, name, number(log2(lr) - best));
        if (fabs(log2(lr) - best) > *worst) *worst = fabs(log2(lr) - best);
        if (!(size <= *largest)) {
            *largest = size;
            json_decref(last);
            last = copy(g, "penalty");
        }
    }
    json_object_set_new(line, "log2_lr_opt", at);
    json_object_set_new(line, "octaves_above_optimum", from);
    json_object_set_new(line, "penalty_at_largest", last);
}

static json_t *transfer_line(const json_t *panel, const json_t *line, const trainer_config *target, double *worst)
{
    double largest = NAN;
    json_t *o = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "axis", text_of(panel, "axis"), "fixed", copy(line, "fixed"), "verdict",
                          copy(line, "verdict"), "drift", copy(line, "drift"), "drift_ci95", copy(line, "drift_ci95"),
                          "excluded_beyond", copy(line, "excluded_beyond"));
    if (!o) return NULL;
    optima(o, json_object_get(line, "groups"), target->base.lr, &largest, worst);
    json_object_set_new(o, "target_over_largest", number(beyond(target, text_of(panel, "axis"), largest)));
    return o;
}

/* The worst verdict of the lines; drifts before undecided. */
static const char *worst_verdict(const json_t *lines)
{
    const char *word = "excluded";
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *v = text_of(json_array_get(lines, i), "verdict");
        if (!strcmp(v, "drifts")) return "drifts";
        if (strcmp(v, "excluded") != 0) word = "undecided";
    }
    return word;
}

/* Of the rule, over learning rates, and of this model. *why: of the first that is of another model. */
static json_t *lines_of(const json_t *doc, const trainer_config *target, const char *where, double *worst, err *why)
{
    const mup_evidence_kind trained = {.trained = true};
    json_t *lines = json_array();
    const json_t *panels = json_object_get(doc, "panels");
    for (size_t p = 0; p < json_array_size(panels); p++) {
        const json_t *panel = json_array_get(panels, p), *all = json_object_get(panel, "lines");
        if (strcmp(text_of(panel, "x"), "lr") != 0) continue;
        for (size_t i = 0; i < json_array_size(all); i++) {
            const json_t *line = json_array_get(all, i);
            if (strcmp(text_of(line, "parametrisation"), target->parametrisation) != 0) continue;
            const json_t *config = json_object_get(line, "config");
            if (mup_evidence_same_model(config, trained, target, where, why->code ? NULL : why)) continue;
            json_array_append_new(lines, transfer_line(panel, line, target, worst));
        }
    }
    return lines;
}

static status read_transfer(json_t **out, char doubt[MUP_DOUBT_MAX], const char *path, const trainer_config *target, err *e)
{
    char sha[IO_SHA256_HEX], line[256], where[128];
    err other = {0};
    double worst = 0;
    json_t *doc = NULL;
    status s = jdoc_read(&doc, sha, path, "muscale.mup-transfer/1", LIMIT, "make it with `muscale mup transfer SPEC -o CAMPAIGN --report FILE`", e);
    if (s) return s;
    snprintf(where, sizeof where, "--transfer %.100s", path);
    json_t *lines = lines_of(doc, target, where, &worst, &other);
    const char *verdict = worst_verdict(lines);
    if (!json_array_size(lines) && other.code) s = other.code, *e = other;
    else if (!json_array_size(lines))
        s = err_set(e, ST_INPUT, "--transfer %s: has no runs of %s over learning rates; report on a sweep of the rule that is exported",
                    path, target->parametrisation);
    if (!s && strcmp(verdict, "excluded") != 0) {
        snprintf(line, sizeof line, "transfer report %.120s: the verdict on the learning rate is %s", path, verdict);
        add_doubt(doubt, line);
    }
    if (!s && worst > 1) {
        snprintf(line, sizeof line, "lr %g lies %.1f octaves from an optimum of %.120s", target->base.lr, worst, path);
        add_doubt(doubt, line);
    }
    if (!s)
        *out = json_pack("{s:s, s:n, s:s, s:s, s:f, s:o, s:O}", "verdict", verdict, "why", "file", path, "sha256", sha, "lr",
                         target->base.lr, "beyond", copy(doc, "beyond"), "lines", lines);
    json_decref(lines);
    json_decref(doc);
    return s;
}

/* --- the front ---------------------------------------------------------------------------------------------------- */

status mup_evidence(json_t **out, char doubt[MUP_DOUBT_MAX], const mup_evidence_files *files, const trainer_config *target, err *e)
{
    json_t *check = NULL, *transfer = NULL;
    status s = ST_OK;
    doubt[0] = 0;
    if (files->check) s = read_check(&check, doubt, files->check, target, e);
    else check = nothing("no coordinate check given; --check FILE, made with `muscale --json mup check CONFIG`");
    if (!s && files->transfer) s = read_transfer(&transfer, doubt, files->transfer, target, e);
    else if (!s) transfer = nothing("no transfer report given; --transfer FILE, made with `muscale mup transfer SPEC -o CAMPAIGN --report FILE`");
    if (!s && !(check && transfer)) s = err_set(e, ST_NOMEM, "no memory for the evidence");
    if (!s) *out = json_pack("{s:o, s:o}", "coord_check", check, "lr_transfer", transfer);
    else json_decref(check), json_decref(transfer);
    return s;
}
