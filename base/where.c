/* --where: a comparison language over the columns of a table.
 *
 *   expr       = and { "or" and }            and = primary { "and" primary }
 *   primary    = "(" expr ")" | operand op operand
 *   op         = < <= > >= == = !=           operand = number | name | 'quoted' | "quoted"
 *
 * A name is a column when the table has one of that name, else a word; one side at least must be a column. Words
 * compare by == and != with text columns only. Evaluated for all rows at once while parsing: no tree is kept. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/table.h"

enum { MAX_DEPTH = 64, MAX_SUGGEST = 256 };

typedef struct parser {
    const char *text, *p;
    const table *t;
    int depth;
    err *e;
} parser;

typedef struct operand {
    const table_column *col; /* or */
    bool is_number;
    double x;
    char word[TABLE_NAME_MAX]; /* as written */
    const char *at;
} operand;

typedef enum cmp { LT, LE, GT, GE, EQ, NE } cmp;

static status bad(const parser *q, const char *at, const char *what)
{
    return err_set(q->e, ST_INPUT, "'%s', character %zu: %s", q->text, (size_t)(at - q->text) + 1, what);
}

static void blanks(parser *q)
{
    while (isspace((unsigned char)*q->p)) q->p++;
}

static bool name_char(char c) { return c && !isspace((unsigned char)c) && !strchr("<>=!()'\"", c); }

static bool keyword(parser *q, const char *word)
{
    size_t n = strlen(word);
    blanks(q);
    if (strncmp(q->p, word, n) || name_char(q->p[n])) return false;
    q->p += n;
    return true;
}

static status parse_operand(parser *q, operand *o)
{
    blanks(q);
    memset(o, 0, sizeof *o);
    o->at = q->p;
    bool quoted = *q->p == '\'' || *q->p == '"';
    const char *start = q->p + quoted, *stop = start;
    if (quoted) {
        while (*stop && *stop != *q->p) stop++;
        if (!*stop) return bad(q, q->p, "this quote is never closed");
    } else {
        while (name_char(*stop)) stop++;
    }
    size_t n = (size_t)(stop - start);
    if (!n)
        return bad(q, q->p, *q->p ? "a column, a number or a word is expected here" : "the expression ends too early");
    if (n >= sizeof o->word) return bad(q, q->p, "name too long");
    memcpy(o->word, start, n);
    q->p = stop + quoted;
    o->col = table_col(q->t, o->word);
    if (!o->col && !quoted) o->is_number = num_parse_f64(o->word, &o->x);
    return ST_OK;
}

static status parse_op(parser *q, cmp *op)
{
    static const struct { const char *text; cmp op; } ops[] = {
        {"<=", LE}, {">=", GE}, {"==", EQ}, {"!=", NE}, {"<", LT}, {">", GT}, {"=", EQ}};
    blanks(q);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strncmp(q->p, ops[i].text, strlen(ops[i].text))) {
            q->p += strlen(ops[i].text);
            *op = ops[i].op;
            return ST_OK;
        }
    return bad(q, q->p, "one of < <= > >= == != is expected here");
}

static bool holds(double a, cmp op, double b)
{
    if (isnan(a) || isnan(b)) return false;
    if (isinf(a) || isinf(b)) return true; /* a diverged value: unknown, keep the row */
    switch (op) {
    case LT: return a < b;
    case LE: return a <= b;
    case GT: return a > b;
    case GE: return a >= b;
    case EQ: return a == b;
    case NE: return a != b;
    }
    return false;
}

static status no_column(const parser *q, const operand *o)
{
    const char *names[MAX_SUGGEST];
    int n = 0;
    for (size_t i = 0; i < q->t->n_cols && n < MAX_SUGGEST; i++) names[n++] = q->t->cols[i].name;
    const char *near = num_nearest_word(o->word, names, n);
    char what[2 * TABLE_NAME_MAX + 64];
    if (near) snprintf(what, sizeof what, "there is no column '%s'; did you mean '%s'?", o->word, near);
    else snprintf(what, sizeof what, "there is no column '%s'", o->word);
    return bad(q, o->at, what);
}

static status compare_words(parser *q, bool *match, const operand *a, cmp op, const operand *b)
{
    if (op != EQ && op != NE) return bad(q, a->at, "words compare by == and != only");
    for (size_t i = 0; i < q->t->n_rows; i++) {
        bool absent = isnan(a->col->x[i]) || (b->col && isnan(b->col->x[i]));
        const char *other = b->col ? table_word(b->col, i) : b->word;
        match[i] = !absent && (!strcmp(table_word(a->col, i), other)) == (op == EQ);
    }
    return ST_OK;
}

static status comparison(parser *q, bool *match)
{
    static const cmp mirrored[] = {GT, GE, LT, LE, EQ, NE};
    operand a, b;
    cmp op = EQ;
    status s = parse_operand(q, &a);
    if (!s) s = parse_op(q, &op);
    if (!s) s = parse_operand(q, &b);
    if (s) return s;
    if (!a.col) { /* a column stands left */
        operand swap = a;
        a = b, b = swap, op = mirrored[op];
    }
    if (!a.col) return no_column(q, &b); /* b is what stood left */
    if (a.col->is_text || (b.col && b.col->is_text)) {
        if (b.col && a.col->is_text != b.col->is_text)
            return bad(q, b.at, "a column of words and one of numbers do not compare");
        return compare_words(q, match, &a, op, &b);
    }
    if (!b.col && !b.is_number) return no_column(q, &b);
    for (size_t i = 0; i < q->t->n_rows; i++) match[i] = holds(a.col->x[i], op, b.col ? b.col->x[i] : b.x);
    return ST_OK;
}

static status expression(parser *q, bool *match);

static status primary(parser *q, bool *match)
{
    blanks(q);
    if (*q->p != '(') return comparison(q, match);
    if (++q->depth > MAX_DEPTH) return bad(q, q->p, "more than 64 nested parentheses");
    q->p++;
    status s = expression(q, match);
    if (s) return s;
    blanks(q);
    if (*q->p != ')') return bad(q, q->p, "')' is expected here");
    q->p++;
    q->depth--;
    return ST_OK;
}

/* One level of the grammar: operands of `next`, joined by `word`. */
static status chain(parser *q, bool *match, const char *word, status (*next)(parser *, bool *))
{
    status s = next(q, match);
    if (s) return s;
    bool any = *word == 'o';
    while (keyword(q, word)) {
        bool *right = calloc(q->t->n_rows + 1, sizeof *right);
        if (!right) return err_set(q->e, ST_NOMEM, "no memory to select rows");
        s = next(q, right);
        for (size_t i = 0; i < q->t->n_rows && !s; i++) match[i] = any ? match[i] || right[i] : match[i] && right[i];
        free(right);
        if (s) return s;
    }
    return ST_OK;
}

static status conjunction(parser *q, bool *match) { return chain(q, match, "and", primary); }
static status expression(parser *q, bool *match) { return chain(q, match, "or", conjunction); }

status table_match(const table *t, const char *expr, bool *match, err *e)
{
    parser q = {.text = expr, .p = expr, .t = t, .e = e};
    status s = expression(&q, match);
    if (s) return s;
    blanks(&q);
    if (*q.p) return bad(&q, q.p, "'and', 'or' or the end is expected here");
    return ST_OK;
}

status table_where(table *t, const char *expr, size_t *n_kept, err *e)
{
    bool *match = calloc(t->n_rows + 1, sizeof *match);
    if (!match) return err_set(e, ST_NOMEM, "no memory to select rows");
    status s = table_match(t, expr, match, e);
    if (!s) {
        table_keep(t, match);
        if (n_kept) *n_kept = t->n_rows;
    }
    free(match);
    return s;
}
