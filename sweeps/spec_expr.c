#include "sweeps/spec_expr.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { MAX_OPS = 256, MAX_DEPTH = 64, NAME_SIZE = 40 };

typedef enum op_kind {
    PUSH, NAME, ADD, SUB, MUL, DIV, MOD, NEG, POW, LT, LE, GT, GE, EQ, NE, AND, OR, NOT,
    MIN, MAX, ROUND, ROUND_TO, FLOOR, FLOOR_TO, CEIL, CEIL_TO, SQRT, LOG2, LN, EXP
} op_kind;

typedef struct op {
    op_kind kind;
    int name;
    double x;
} op;

/* Postfix. */
struct spec_expr {
    size_t n;
    op ops[MAX_OPS];
};

typedef struct parser {
    const char *text, *p;
    spec_expr *x;
    spec_expr_find *find;
    int depth;
    size_t at; /* of the first complaint */
    err *e;
} parser;

static status bad(parser *q, const char *at, const char *what)
{
    q->at = (size_t)(at - q->text);
    return err_set(q->e, ST_INPUT, "%s", what);
}

static status emit(parser *q, op_kind kind, int name, double x)
{
    if (q->x->n == MAX_OPS) return bad(q, q->p, "this formula is too long");
    q->x->ops[q->x->n++] = (op){kind, name, x};
    return ST_OK;
}

static void blanks(parser *q)
{
    while (isspace((unsigned char)*q->p)) q->p++;
}

static bool word_char(char c) { return isalnum((unsigned char)c) || c == '_'; }

static bool take(parser *q, const char *sign)
{
    size_t n = strlen(sign);
    blanks(q);
    if (strncmp(q->p, sign, n) || (word_char(*sign) && word_char(q->p[n]))) return false;
    q->p += n;
    return true;
}

/* What a part of the text stands for; arithmetic wants numbers, and/or/not want truths. */
typedef enum sort { NUMBER, TRUTH } sort;

static status want(parser *q, const char *at, sort is, sort wanted)
{
    if (is == wanted) return ST_OK;
    return bad(q, at,
               wanted == TRUTH ? "a comparison is needed here, as in d_model >= 512"
                               : "a number is needed here, not a comparison");
}

static status parse_truth(parser *q, sort *s);
static status parse_signed(parser *q, sort *s);

static status parse_number(parser *q)
{
    char text[NAME_SIZE];
    const char *start = q->p;
    size_t n = 0;
    double x;
    while (isdigit((unsigned char)start[n]) || start[n] == '.') n++;
    if (start[n] == 'e' || start[n] == 'E') {
        n++;
        if (start[n] == '+' || start[n] == '-') n++;
    }
    while (word_char(start[n])) n++;
    snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), start);
    if (n >= sizeof text || !num_parse_f64(text, &x))
        return bad(q, start, "this is not a number; write it like 20 or 1e15");
    q->p += n;
    return emit(q, PUSH, 0, x);
}

static const struct function {
    const char *name;
    op_kind one, two; /* by number of arguments; PUSH = not so */
} functions[] = {
    {"min", PUSH, MIN},         {"max", PUSH, MAX},      {"round", ROUND, ROUND_TO},
    {"floor", FLOOR, FLOOR_TO}, {"ceil", CEIL, CEIL_TO}, {"sqrt", SQRT, PUSH},
    {"log2", LOG2, PUSH},       {"ln", LN, PUSH},        {"exp", EXP, PUSH},
};

static status parse_call(parser *q, const char *at, const char *name)
{
    const struct function *f = NULL;
    int n = 0;
    for (size_t i = 0; i < sizeof functions / sizeof *functions && !f; i++)
        if (!strcmp(functions[i].name, name)) f = &functions[i];
    if (!f) return bad(q, at, "unknown function; there are min, max, round, floor, ceil, sqrt, log2, ln, exp");
    do {
        sort s;
        const char *arg = q->p;
        status st = parse_truth(q, &s);
        if (!st) st = want(q, arg, s, NUMBER);
        if (st) return st;
        n++;
    } while (take(q, ","));
    if (!take(q, ")")) return bad(q, q->p, "')' is expected here");
    op_kind kind = n == 1 ? f->one : n == 2 ? f->two : PUSH;
    return kind == PUSH ? bad(q, at, "wrong number of arguments") : emit(q, kind, 0, 0);
}

static status parse_name(parser *q)
{
    char name[NAME_SIZE], why[256];
    const char *start = q->p;
    size_t n = 0;
    while (word_char(start[n])) n++;
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), start);
    q->p += n;
    if (take(q, "(")) return parse_call(q, start, name);
    int number = q->find(name, why, sizeof why);
    return number < 0 ? bad(q, start, why) : emit(q, NAME, number, 0);
}

static status parse_primary(parser *q, sort *s)
{
    status st;
    blanks(q);
    *s = NUMBER;
    if (isdigit((unsigned char)*q->p) || *q->p == '.') return parse_number(q);
    if (word_char(*q->p)) return parse_name(q);
    if (!take(q, "("))
        return bad(q, q->p, *q->p ? "a number or a name is expected here" : "the formula ends too early");
    if (++q->depth > MAX_DEPTH) return bad(q, q->p, "too many nested parentheses");
    if ((st = parse_truth(q, s))) return st;
    q->depth--;
    return take(q, ")") ? ST_OK : bad(q, q->p, "')' is expected here");
}

/* One more operand for a binary sign. */
static status operand(parser *q, status (*parse)(parser *, sort *), sort wanted, op_kind kind)
{
    sort s;
    blanks(q);
    const char *at = q->p;
    status st = parse(q, &s);
    if (!st) st = want(q, at, s, wanted);
    return st ? st : emit(q, kind, 0, 0);
}

static status parse_power(parser *q, sort *s)
{
    blanks(q);
    const char *at = q->p;
    status st = parse_primary(q, s);
    if (st || !(take(q, "^") || take(q, "**"))) return st;
    if ((st = want(q, at, *s, NUMBER))) return st;
    return operand(q, parse_signed, NUMBER, POW);
}

static status parse_signed(parser *q, sort *s)
{
    *s = NUMBER;
    if (++q->depth > MAX_DEPTH) return bad(q, q->p, "too many signs and parentheses");
    const bool minus = take(q, "-"), plus = !minus && take(q, "+");
    status st = minus ? operand(q, parse_signed, NUMBER, NEG) : plus ? parse_signed(q, s) : parse_power(q, s);
    q->depth--;
    return st;
}

typedef struct sign {
    const char *text;
    op_kind kind;
} sign;

/* left { sign right }, from left to right. */
static status parse_chain(parser *q, sort *s, status (*parse)(parser *, sort *), const sign *signs, size_t n,
                          sort sort_)
{
    blanks(q);
    const char *at = q->p;
    status st = parse(q, s);
    while (!st) {
        size_t i = 0;
        while (i < n && !take(q, signs[i].text)) i++;
        if (i == n) return ST_OK;
        st = want(q, at, *s, sort_);
        if (!st) st = operand(q, parse, sort_, signs[i].kind);
    }
    return st;
}

static status parse_product(parser *q, sort *s)
{
    static const sign signs[] = {{"*", MUL}, {"/", DIV}, {"%", MOD}};
    return parse_chain(q, s, parse_signed, signs, 3, NUMBER);
}

static status parse_sum(parser *q, sort *s)
{
    static const sign signs[] = {{"+", ADD}, {"-", SUB}};
    return parse_chain(q, s, parse_product, signs, 2, NUMBER);
}

static status parse_comparison(parser *q, sort *s)
{
    static const sign signs[] = {{"<=", LE}, {">=", GE}, {"==", EQ}, {"!=", NE}, {"<", LT}, {">", GT}, {"=", EQ}};
    blanks(q);
    const char *at = q->p;
    if (take(q, "not")) {
        *s = TRUTH;
        return operand(q, parse_comparison, TRUTH, NOT);
    }
    status st = parse_sum(q, s);
    for (size_t i = 0; !st && i < sizeof signs / sizeof *signs; i++)
        if (take(q, signs[i].text)) {
            if ((st = want(q, at, *s, NUMBER))) return st;
            *s = TRUTH;
            return operand(q, parse_sum, NUMBER, signs[i].kind);
        }
    return st;
}

static status parse_and(parser *q, sort *s)
{
    static const sign signs[] = {{"and", AND}};
    return parse_chain(q, s, parse_comparison, signs, 1, TRUTH);
}

static status parse_truth(parser *q, sort *s)
{
    static const sign signs[] = {{"or", OR}};
    return parse_chain(q, s, parse_and, signs, 1, TRUTH);
}

status spec_expr_parse(spec_expr **out, const char *text, bool truth, spec_expr_find *find, size_t *at, err *e)
{
    sort s;
    parser q = {.text = text, .p = text, .find = find, .e = e, .x = calloc(1, sizeof(spec_expr))};
    *out = NULL;
    *at = 0;
    if (!q.x) return err_set(e, ST_NOMEM, "no memory for a formula");
    status st = parse_truth(&q, &s);
    blanks(&q);
    if (!st && *q.p) st = bad(&q, q.p, "the formula should end here");
    if (!st) st = want(&q, text, s, truth ? TRUTH : NUMBER);
    *at = q.at;
    if (st) free(q.x);
    else *out = q.x;
    return st;
}

void spec_expr_free(spec_expr *x) { free(x); }

bool spec_expr_uses(const spec_expr *x, int name)
{
    for (size_t i = 0; i < x->n; i++)
        if (x->ops[i].kind == NAME && x->ops[i].name == name) return true;
    return false;
}

bool spec_expr_equal(double a, double b) { return a == b || fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b)); }

static double binary(op_kind k, double a, double b)
{
    switch (k) {
    case ADD: return a + b;
    case SUB: return a - b;
    case MUL: return a * b;
    case DIV: return a / b;
    case MOD: return fmod(a, b);
    case POW: return pow(a, b);
    case LT: return a < b && !spec_expr_equal(a, b);
    case LE: return a < b || spec_expr_equal(a, b);
    case GT: return a > b && !spec_expr_equal(a, b);
    case GE: return a > b || spec_expr_equal(a, b);
    case EQ: return spec_expr_equal(a, b);
    case NE: return !spec_expr_equal(a, b);
    case AND: return a != 0 && b != 0;
    case OR: return a != 0 || b != 0;
    case MIN: return a < b ? a : b;
    case MAX: return a > b ? a : b;
    case ROUND_TO: return round(a / b) * b;
    case FLOOR_TO: return floor(a / b) * b;
    case CEIL_TO: return ceil(a / b) * b;
    default: return NAN;
    }
}

static bool unary(double *x, op_kind k)
{
    switch (k) {
    case NEG: *x = -*x; return true;
    case NOT: *x = *x == 0; return true;
    case ROUND: *x = round(*x); return true;
    case FLOOR: *x = floor(*x); return true;
    case CEIL: *x = ceil(*x); return true;
    case SQRT: *x = sqrt(*x); return true;
    case LOG2: *x = log2(*x); return true;
    case LN: *x = log(*x); return true;
    case EXP: *x = exp(*x); return true;
    default: return false;
    }
}

status spec_expr_eval(double *out, const spec_expr *x, spec_expr_value *value, void *ctx, err *e)
{
    double stack[MAX_OPS];
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++) {
        const op *o = &x->ops[i];
        status st = ST_OK;
        if (o->kind == PUSH) stack[n++] = o->x;
        else if (o->kind == NAME) st = value(&stack[n++], ctx, o->name, e);
        else if (!unary(&stack[n - 1], o->kind)) {
            n--;
            stack[n - 1] = binary(o->kind, stack[n - 1], stack[n]);
        }
        if (st) return st;
        if (!isfinite(stack[n - 1]))
            return err_set(e, ST_INPUT,
                           "the formula gives no finite number (a division by 0, a root of a negative"
                           " number?)");
    }
    *out = stack[0];
    return ST_OK;
}
