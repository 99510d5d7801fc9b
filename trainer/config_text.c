/* Config as text: the canonical form that identifies a run, the YAML form that a person edits, the difference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/config_keys.h"

enum { MAX_LINES = 128 };

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const config_key *const *)a)->name, (*(const config_key *const *)b)->name);
}

static bool is_default(const trainer_config *c, const config_key *k)
{
    char value[IO_PATH_MAX];
    return !strcmp(config_value(c, k, value), k->fallback); /* fallbacks of late keys are canonical: test_config */
}

char *config_canonical(const trainer_config *c)
{
    /* data_sha256 is no key (nobody writes it by hand) but belongs to the identity. */
    const config_key sha = {.name = "data_sha256", .type = CFG_TEXT, .offset = offsetof(trainer_config, data_sha256)};
    const config_key *rows[MAX_LINES];
    size_t n = 0, bytes;
    char *text = NULL, value[IO_PATH_MAX];
    rows[n++] = &sha;
    for (size_t i = 0; i < config_table_size; i++)
        if (!config_table[i].launch_only && !(config_table[i].late && is_default(c, &config_table[i])))
            rows[n++] = &config_table[i];
    qsort(rows, n, sizeof *rows, by_name);
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return NULL;
    for (size_t i = 0; i < n; i++) fprintf(f, "%s=%s\n", rows[i]->name, config_value(c, rows[i], value));
    return fclose(f) ? free(text), NULL : text;
}

void config_id(char id[17], const trainer_config *c)
{
    char hash[IO_SHA256_HEX] = "";
    char *text = config_canonical(c);
    if (text) io_sha256(hash, text, strlen(text));
    snprintf(id, 17, "%.16s", hash);
    free(text);
}

/* A YAML double-quoted scalar: the only form that can hold any path. */
static void put_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') fprintf(f, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f) fprintf(f, "\\x%02x", *p);
        else fputc(*p, f);
    }
    fputc('"', f);
}

char *config_yaml(const trainer_config *c)
{
    char *text = NULL, value[IO_PATH_MAX], id[17];
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return NULL;
    config_id(id, c);
    fprintf(f, "# muscale config %s\n", id);
    if (*c->data_sha256) fprintf(f, "# data_sha256 %s\n", c->data_sha256);
    for (size_t i = 0; i < config_table_size; i++) {
        const config_key *k = &config_table[i];
        fprintf(f, "%s: ", k->name);
        config_value(c, k, value);
        if (k->type == CFG_TEXT) put_quoted(f, value);
        else fputs(value, f);
        fputc('\n', f);
    }
    return fclose(f) ? free(text), NULL : text;
}

/* One "key=value" line of a canonical text; false at its end. */
typedef struct line { const char *key, *value; int key_n, value_n; } line;
static bool next_line(const char **p, line *l)
{
    if (!**p) return false;
    const char *end = strchrnul(*p, '\n'), *eq = memchr(*p, '=', (size_t)(end - *p));
    if (!eq) eq = end;
    *l = (line){*p, eq < end ? eq + 1 : end, (int)(eq - *p), eq < end ? (int)(end - eq - 1) : 0};
    *p = *end ? end + 1 : end;
    return true;
}

static int key_order(const line *a, const line *b)
{
    int n = a->key_n < b->key_n ? a->key_n : b->key_n, d = memcmp(a->key, b->key, (size_t)n);
    return d ? d : a->key_n - b->key_n;
}

char *config_diff(const char *canonical_old, const char *canonical_new)
{
    char *text = NULL;
    size_t bytes;
    line a, b;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return NULL;
    bool more_a = next_line(&canonical_old, &a), more_b = next_line(&canonical_new, &b);
    while (more_a || more_b) { /* both sorted by key: a merge */
        int order = !more_a ? 1 : !more_b ? -1 : key_order(&a, &b);
        if (order < 0) fprintf(f, "%.*s: %.*s -> (absent)\n", a.key_n, a.key, a.value_n, a.value);
        else if (order > 0) fprintf(f, "%.*s: (absent) -> %.*s\n", b.key_n, b.key, b.value_n, b.value);
        else if (a.value_n != b.value_n || memcmp(a.value, b.value, (size_t)a.value_n))
            fprintf(f, "%.*s: %.*s -> %.*s\n", a.key_n, a.key, a.value_n, a.value, b.value_n, b.value);
        if (order <= 0) more_a = next_line(&canonical_old, &a);
        if (order >= 0) more_b = next_line(&canonical_new, &b);
    }
    return fclose(f) ? free(text), NULL : text;
}
