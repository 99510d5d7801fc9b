#include "cli/config_args.h"

#include <stdlib.h>
#include <string.h>

status cli_read_config(trainer_config *out, const cli_list *words, const char *command, err *e)
{
    if (!words->n) return err_set(e, ST_USAGE, "%s: CONFIG.yaml is missing", command);
    for (size_t i = 1; i < words->n; i++)
        if (!strchr(words->items[i], '='))
            return err_set(e, ST_USAGE, "%s: '%s' is no key=value; one CONFIG.yaml is taken", command, words->items[i]);
    status s = config_load(out, words->items[0], e);
    for (size_t i = 1; i < words->n && !s; i++) {
        const char *value = strchr(words->items[i], '=') + 1;
        char *key = strndup(words->items[i], (size_t)(value - words->items[i]) - 1);
        s = key ? config_set(out, key, value, "command line", e) : err_set(e, ST_NOMEM, "no memory");
        free(key);
    }
    return s;
}

status cli_load_config(trainer_config *out, const cli_list *words, const char *command, err *e)
{
    status s = cli_read_config(out, words, command, e);
    if (!s && (s = config_resolve(out, e))) err_prefix(e, "%s", words->items[0]);
    return s;
}
