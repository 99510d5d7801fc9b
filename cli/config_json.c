#include "cli/config_json.h"

#include <string.h>

#include "base/num.h"

json_t *cli_config_json(const trainer_config *c)
{
    size_t n;
    char text[IO_PATH_MAX];
    const config_key *k = config_keys(&n);
    json_t *o = json_object();
    for (size_t i = 0; i < n && o; i++) {
        const char *v = config_value(c, &k[i], text);
        double x;
        int64_t w;
        json_t *value = k[i].type == CFG_BOOL ? json_boolean(!strcmp(v, "true"))
                      : (k[i].type == CFG_I64 || k[i].type == CFG_U64) && num_parse_i64(v, &w) ? json_integer(w)
                      : k[i].type == CFG_F64 && num_parse_f64(v, &x) ? json_real(x) : json_string(v);
        json_object_set_new(o, k[i].name, value);
    }
    return o;
}

/* As a person would write it; NULL for what is no value. */
static const char *value_text(const json_t *v, char buf[32])
{
    if (json_is_string(v)) return json_string_value(v);
    if (json_is_boolean(v)) return json_is_true(v) ? "true" : "false";
    if (json_is_integer(v)) snprintf(buf, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v)) return num_text(json_real_value(v), buf);
    else return NULL;
    return buf;
}

status cli_config_from_json(trainer_config *out, const json_t *o, const char *where, err *e)
{
    const char *key;
    json_t *v;
    status s = ST_OK;
    config_default(out);
    if (!json_is_object(o)) return err_set(e, ST_INPUT, "%s: no config stands there", where);
    json_object_foreach((json_t *)o, key, v) {
        char buf[32];
        const config_key *k = config_find(key);
        const char *text = value_text(v, buf);
        if (k && k->launch_only) continue;
        if (k && !text) return err_set(e, ST_INPUT, "%s: %s has no value", where, key);
        if ((s = config_set(out, key, text ? text : "", where, e))) return s;
    }
    return ST_OK;
}
