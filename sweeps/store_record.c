#include "sweeps/store_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "config.h"
#include "sweeps/journal.h"

/* --- pieces -------------------------------------------------------------------------------------------------- */

static bool put(json_t *o, const char *key, json_t *v) { return json_object_set_new(o, key, v) == 0; }

/* Not UTF-8 (a path may hold anything): JSON has no word for it, so the odd bytes become '?'. */
static json_t *text(const char *t)
{
    json_t *v = json_string(t);
    if (v) return v;
    char *copy = strdup(t);
    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p >= 0x80) *p = '?';
    v = copy ? json_string(copy) : NULL;
    free(copy);
    return v;
}

static json_t *value(const trainer_config *c, const config_key *k)
{
    char buf[IO_PATH_MAX];
    double x;
    int64_t i;
    config_value(c, k, buf);
    switch (k->type) {
    case CFG_I64:
    case CFG_U64: return num_parse_i64(buf, &i) ? json_integer(i) : text(buf); /* a seed above 2^63 stays text */
    case CFG_F64: return num_parse_f64(buf, &x) ? json_real(x) : text(buf);
    case CFG_BOOL: return json_integer(!strcmp(buf, "true"));
    case CFG_TEXT:
    case CFG_ENUM: return text(buf);
    }
    return NULL;
}

static json_t *config_object(const trainer_config *c, const char *argv)
{
    size_t n;
    const config_key *keys = config_keys(&n);
    char *canonical = config_canonical(c), *yaml = config_yaml(c);
    json_t *o = json_object();
    bool ok = o && canonical && yaml;
    for (size_t i = 0; i < n && ok; i++) ok = put(o, keys[i].name, value(c, &keys[i]));
    ok = ok && put(o, "canonical", text(canonical)) && put(o, "yaml", text(yaml)) && put(o, "argv", text(argv));
    free(canonical);
    free(yaml);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

static json_t *model_object(const train_start *s)
{
    const trainer_config *c = s->config;
    return json_pack("{s:I,s:I,s:I,s:o,s:s,s:s,s:I,s:I}", "n_params_total", (json_int_t)s->counts.n_params_total, "n_params_non_embed",
                     (json_int_t)s->counts.n_params_non_embed, "n_params_embed", (json_int_t)s->counts.n_params_embed, "flops_per_token",
                     journal_real(s->flops_per_token), "flops_rule", c->flops_rule, "parametrisation", c->parametrisation, "base_width",
                     (json_int_t)c->base_width, "base_depth", (json_int_t)c->base_depth);
}

static json_t *data_object(const train_start *s)
{
    const data_info *d = s->data;
    json_t *name = text(s->config->data);
    if (!d) return json_pack("{s:o}", "dataset", name);
    return json_pack("{s:o,s:s,s:s,s:I,s:I,s:I,s:s,s:o,s:o}", "dataset", name, "format", d->format, "tokenizer", d->tokenizer, "vocab",
                     (json_int_t)d->vocab, "tokens_available", (json_int_t)d->train_tokens, "val_tokens_available",
                     (json_int_t)d->val_tokens, "sha256", d->sha256, "bytes_per_token", journal_real(d->bytes_per_token), "entropy_rate",
                     journal_real(d->entropy_rate));
}

static void cpu_name(char *out, size_t size)
{
    char *info = NULL;
    snprintf(out, size, "unknown");
    if (io_read_file(&info, NULL, "/proc/cpuinfo", 1 << 24, NULL)) return;
    const char *p = strstr(info, "model name");
    p = p ? strchr(p, ':') : NULL;
    if (p) snprintf(out, size, "%.*s", (int)strcspn(p + 2, "\n"), p + 2);
    free(info);
}

static json_t *env_object(const train_start *s, const record_origin *o)
{
    char host[128] = "unknown", cpu[128];
    const char *job = getenv("SLURM_JOB_ID");
    gethostname(host, sizeof host - 1);
    cpu_name(cpu, sizeof cpu);
    return json_pack("{s:o,s:o,s:s,s:i,s:s,s:I,s:I,s:s}", "host", text(host), "cpu", text(cpu), "device", s->device ? s->device : "",
                     "threads", o->threads, "compiler", "cc " __VERSION__, "bank_size", (json_int_t)s->bank_size, "bank_bytes",
                     (json_int_t)s->bytes_needed, "slurm_job", job ? job : "");
}

/* --- events -------------------------------------------------------------------------------------------------- */

json_t *record_start(const train_start *s, const record_origin *o)
{
    json_t *r = json_pack("{s:s,s:s,s:s,s:s,s:s}", "event", "start", "schema", "muscale.journal/1", "run_id", s->id, "campaign_id",
                          o->campaign_id, "created_by", "muscale " PACKAGE_VERSION);
    bool ok = r != NULL;
    if (ok && *o->prediction_sha256)
        ok = put(r, "prediction_sha256", text(o->prediction_sha256)) && put(r, "prediction", text(o->prediction));
    ok = ok && put(r, "config", config_object(s->config, o->argv)) && put(r, "model", model_object(s)) &&
         put(r, "data", data_object(s)) && put(r, "env", env_object(s, o));
    if (ok) return r;
    json_decref(r);
    return NULL;
}

json_t *record_resume(const train_start *s, const record_origin *o)
{
    return json_pack("{s:s,s:I,s:s,s:o,s:o}", "event", "resume", "from_step", (json_int_t)s->from_step, "created_by",
                     "muscale " PACKAGE_VERSION, "argv", text(o->argv), "env", env_object(s, o));
}

json_t *record_ckpt(int64_t step, const char *file)
{
    const char *slash = file ? strrchr(file, '/') : NULL;
    return json_pack("{s:s,s:I,s:o}", "event", "ckpt", "step", (json_int_t)step, "file", text(slash ? slash + 1 : file ? file : ""));
}

json_t *record_left(int64_t step, const char *file)
{
    json_t *r = record_ckpt(step, file);
    if (r) json_object_set_new(r, "event", json_string("left"));
    return r;
}

json_t *record_start_as(const json_t *start, const trainer_config *c, const record_origin *o)
{
    char id[17];
    config_id(id, c);
    json_t *r = json_pack("{s:s,s:s,s:s,s:s,s:s}", "event", "start", "schema", "muscale.journal/1", "run_id", id,
                          "campaign_id", o->campaign_id, "created_by", "muscale " PACKAGE_VERSION);
    json_t *data = json_deep_copy(json_object_get(start, "data"));
    bool ok = r && put(r, "config", config_object(c, o->argv)) &&
              put(r, "model", json_deep_copy(json_object_get(start, "model"))) && json_is_object(data) &&
              put(data, "dataset", text(c->data)) && put(r, "data", json_incref(data)) &&
              put(r, "env", json_deep_copy(json_object_get(start, "env")));
    json_decref(data);
    if (ok) return r;
    json_decref(r);
    return NULL;
}

json_t *record_branch(const char *from, int64_t step, int64_t tokens, double flops, double wall_s)
{
    return json_pack("{s:s,s:s,s:I,s:I,s:o,s:o}", "event", "branch", "from_run", from, "step", (json_int_t)step, "tokens",
                     (json_int_t)tokens, "flops", journal_real(flops), "wall_s", journal_real(wall_s));
}

/* Why a rule ended it: members of the summary, all with stop_ before. */
static bool put_verdict(json_t *o, const train_end *end)
{
    const train_verdict *v = &end->verdict;
    return put(o, "stop_rule", json_string(v->rule)) && put(o, "stop_metric", json_string(v->metric)) &&
           put(o, "stop_at", json_integer((json_int_t)v->at)) && put(o, "stop_value", journal_real(v->value)) &&
           put(o, "stop_threshold", journal_real(v->threshold)) && put(o, "stop_n", json_integer((json_int_t)v->n)) &&
           put(o, "stop_val_loss", journal_real(end->stop_val_loss));
}

json_t *record_end(const train_end *end)
{
    json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o}", "event", "end", "status", run_status_name(end->status), "step",
                     (json_int_t)end->step, "tokens", (json_int_t)end->tokens, "diverged_at", (json_int_t)end->diverged_at,
                     "final_val_loss", journal_real(end->final_val_loss), "final_val_loss_se", journal_real(end->final_val_loss_se),
                     "best_val_loss", journal_real(end->best_val_loss), "final_train_loss_ema",
                     journal_real(end->final_train_loss_ema), "flops", journal_real(end->flops), "wall_s", journal_real(end->wall_s));
    if (!o || end->status != RUN_EARLY_STOPPED || put_verdict(o, end)) return o;
    json_decref(o);
    return NULL;
}

json_t *record_failed(const char *why)
{
    return json_pack("{s:s,s:s,s:o}", "event", "end", "status", "failed", "why", text(why));
}

char *record_argv(char *const *argv, int argc)
{
    size_t n = 1, at = 0;
    for (int i = 0; i < argc; i++) n += 4 * strlen(argv[i]) + 3;
    char *out = malloc(n);
    if (!out) return NULL;
    for (int i = 0; i < argc; i++) {
        bool plain = argv[i][0] && !argv[i][strspn(argv[i], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%")];
        if (i) out[at++] = ' ';
        if (!plain) out[at++] = '\'';
        for (const char *p = argv[i]; *p; p++) {
            if (*p == '\'') at += (size_t)sprintf(out + at, "'\\''");
            else out[at++] = *p;
        }
        if (!plain) out[at++] = '\'';
    }
    out[at] = 0;
    return out;
}
