/* Strictness: what PyYAML or libyaml alone would let through, each with line and column. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"

static status parse(yaml_doc *d, const char *text, err *e) { return yaml_parse(d, text, strlen(text), "spec.yaml", e); }

Test(yaml, a_tree_with_places)
{
    yaml_doc d;
    err e = {0};
    cr_assert_eq(parse(&d, "# comment\na: 1\nb:\n  - x\n  - 'y'\nc: {d: 2.5, e: [1, 2]}\n", &e), ST_OK, "%s", e.msg);
    const yaml_node *b = yaml_get(d.root, "b"), *c = yaml_get(d.root, "c");
    cr_assert(b && c && b->kind == YAML_SEQ && c->kind == YAML_MAP);
    cr_expect_eq(b->n, 2);
    cr_expect_str_eq(b->values[1]->text, "y");
    cr_expect(b->values[1]->quoted && !b->values[0]->quoted);
    cr_expect_eq(yaml_get(c, "e")->n, 2);
    const yaml_node *x = yaml_get(c, "d");
    cr_expect(x->line == 6 && x->column == 8, "%d:%d", x->line, x->column);
    cr_expect_null(yaml_get(d.root, "zz"));
    cr_expect_null(yaml_get(b, "a"), "not a map");
    yaml_doc_free(&d);
    yaml_doc_free(&d);
}

Test(yaml, an_empty_file_is_an_empty_map)
{
    static const char *const empty[] = {"", "\n\n", "# only a comment\n"};
    for (size_t i = 0; i < 3; i++) {
        yaml_doc d;
        cr_assert_eq(parse(&d, empty[i], NULL), ST_OK);
        cr_expect(d.root->kind == YAML_MAP && d.root->n == 0);
        yaml_doc_free(&d);
    }
}

Test(yaml, refused_with_line_and_column)
{
    static const struct { const char *text, *place, *says; } rows[] = {
        {"lr: 1\nseed: 2\nlr: 3\n", "spec.yaml:3:1: ", "duplicate key 'lr' (first on line 1)"},
        {"a:\n  x: 1\n  x: 1\n", "spec.yaml:3:3: ", "duplicate key"},
        {"a: {x: 1, x: 2}\n", "spec.yaml:1:11: ", "duplicate key"},
        {"a: 1\n'a': 2\n", "spec.yaml:2:1: ", "duplicate key"}, /* the same key, quoted */
        {"a: &anchor 1\n", "spec.yaml:1:4: ", "anchors"},
        {"a: &x {b: 1}\n", "spec.yaml:1:4: ", "anchors"},
        {"a: &x [1]\n", "spec.yaml:1:4: ", "anchors"},
        {"a: 1\nb: *a\n", "spec.yaml:2:4: ", "aliases"},
        {"<<: *base\n", "spec.yaml:1:5: ", "aliases"},
        {"a: !!int 5\n", "spec.yaml:1:4: ", "tags"},
        {"a: !mine {x: 1}\n", "spec.yaml:1:4: ", "tags"},
        {"[1, 2]: x\n", "spec.yaml:1:1: ", "key"},
        {"? {a: 1}\n: x\n", "spec.yaml:1:3: ", "key"},
        {"a: 1\n---\nb: 2\n", "spec.yaml:2:1: ", "one YAML document"},
        {"a: [1, 2\n", "spec.yaml:2:1: ", ""},
        {"a: \"no end\n", "spec.yaml:", ""},
        {"a: 1\n\tb: 2\n", "spec.yaml:2:", ""},
        {"a: b: c\n", "spec.yaml:1:", ""},
        {"a: \"x\\0y\"\n", "spec.yaml:1:4: ", "zero byte"},
        {"a: \xff\xfe\n", "spec.yaml:", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        yaml_doc d;
        err e = {0};
        cr_expect_eq(parse(&d, rows[i].text, &e), ST_INPUT, "%s", rows[i].text);
        cr_expect(!strncmp(e.msg, rows[i].place, strlen(rows[i].place)), "'%s' does not start with '%s'", e.msg,
                  rows[i].place);
        cr_expect(strstr(e.msg, rows[i].says), "'%s' lacks '%s'", e.msg, rows[i].says);
        cr_expect_null(d.root, "nothing is left behind");
    }
}

Test(yaml, a_text_is_one_scalar)
{
    yaml_doc d;
    err e = {0};
    const char *t;
    cr_assert_eq(parse(&d, "d: 'text'\nl: [1]\n", &e), ST_OK);
    cr_expect(yaml_text(&d, yaml_get(d.root, "d"), "d", &t, &e) == ST_OK && !strcmp(t, "text"));
    cr_expect_eq(yaml_text(&d, yaml_get(d.root, "l"), "l", &t, &e), ST_INPUT);
    cr_expect(!strncmp(e.msg, "spec.yaml:2:", 12) && strstr(e.msg, "l: "), "%s", e.msg);
    yaml_doc_free(&d);
}

Test(yaml, bombs_are_bounded)
{
    yaml_doc d;
    err e = {0};
    char deep[2 * (YAML_MAX_DEPTH + 10) + 8] = "a: ", *p = deep + 3;
    for (int i = 0; i < YAML_MAX_DEPTH + 10; i++) *p++ = '[';
    for (int i = 0; i < YAML_MAX_DEPTH + 10; i++) *p++ = ']';
    cr_expect_eq(yaml_parse(&d, deep, (size_t)(p - deep), "deep", &e), ST_INPUT);
    cr_expect(strstr(e.msg, "nested too deeply"), "%s", e.msg);
    const size_t n = YAML_MAX_NODES + 10;
    char *wide = malloc(2 * n + 8);
    size_t at = (size_t)sprintf(wide, "a: [");
    for (size_t i = 0; i < n; i++) wide[at++] = '1', wide[at++] = ',';
    wide[at++] = ']';
    cr_expect_eq(yaml_parse(&d, wide, at, "wide", &e), ST_INPUT);
    cr_expect(strstr(e.msg, "too many nodes"), "%s", e.msg);
    free(wide);
}

Test(yaml, load_names_the_file)
{
    yaml_doc d;
    err e = {0};
    cr_expect_eq(yaml_load(&d, "/nowhere/spec.yaml", &e), ST_INPUT);
    cr_expect(strstr(e.msg, "/nowhere/spec.yaml"), "%s", e.msg);
    cr_expect_eq(yaml_load(&d, "/tmp", &e), ST_INPUT);
    yaml_doc_free(&d);
}

/* Every prefix of a good file, and every single byte changed: an answer or an error, never a crash. */
Test(yaml, survives_damage)
{
    static const char good[] =
        "base: {lr: 1e-3, name: \"x y\"}\ngrid:\n  seed: [1, 2, 3]\n  width:\n    - 64\n    - 'a'\n? k\n: v\n";
    char text[sizeof good];
    yaml_doc d;
    for (size_t n = 0; n < sizeof good; n++)
        if (yaml_parse(&d, good, n, "cut", NULL) == ST_OK) yaml_doc_free(&d);
    static const char odd[] = "\0\t\n\"'{}[]&*!|>%@`:-?,#\x80\xff";
    for (size_t i = 0; i + 1 < sizeof good; i++)
        for (size_t k = 0; k + 1 < sizeof odd; k++) {
            memcpy(text, good, sizeof good);
            text[i] = odd[k];
            if (yaml_parse(&d, text, sizeof good - 1, "damaged", NULL) == ST_OK) yaml_doc_free(&d);
        }
}
