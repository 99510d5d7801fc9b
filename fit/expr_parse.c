/* From text to tape: recursive descent, one function per level of the grammar in expr.h. Nothing is guessed: what might
 * be meant otherwise ("2N", "1,000", a minus sign from a word processor) is refused with what to write instead. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fit/expr_program.h"

enum { MAX_TEXT = 4096, MAX_DEPTH = 64, MAX_LOCALS = 64, MAX_NUMBER = 64, MANY = 255 };

typedef struct local { char name[EXPR_NAME]; int32_t node; const char *at; bool used; } local;

typedef struct parser {
    const char *text, *p;
    const char *prev, *prev_end; /* the last operand's last token: for "write 2*N" */
    expr_tape *t;
    expr *x;
    bool given;                  /* parameters are given */
    const char *param_at[EXPR_MAX_PARAMS]; /* where it was first used, NULL: not yet */
    const char *const *cols;
    size_t n_cols, n_locals;
    local locals[MAX_LOCALS];
    int depth;
    err *e;
} parser;

/* op of min, max and pos: which operand is taken (LE, GE). */
typedef struct function { const char *name; expr_op op; int least, most; } function;
static const function functions[] = {
    {"exp", OP_EXP, 1, 1},     {"log", OP_LOG, 1, 1},     {"ln", OP_LOG, 1, 1},    {"log2", OP_LOG2, 1, 1},
    {"log10", OP_LOG10, 1, 1}, {"sqrt", OP_SQRT, 1, 1},   {"abs", OP_ABS, 1, 1},   {"expm1", OP_EXPM1, 1, 1},
    {"log1p", OP_LOG1P, 1, 1}, {"tanh", OP_TANH, 1, 1},   {"erf", OP_ERF, 1, 1},   {"pos", OP_GE, 1, 1},
    {"min", OP_LE, 2, MANY},   {"max", OP_GE, 2, MANY},   {"pow", OP_POW, 2, 2}};
enum { N_FUNCTIONS = sizeof functions / sizeof *functions };

/* --- errors ----------------------------------------------------------------------------------------------------- */

/* A piece of the formula for a message: one line, valid UTF-8. */
static size_t piece(char *out, const char *from, const char *to)
{
    size_t n = 0;
    while (from < to) {
        unsigned char c = (unsigned char)*from;
        int more = c < 0x80 ? 0 : c >> 5 == 6 ? 1 : c >> 4 == 14 ? 2 : c >> 3 == 30 ? 3 : -1, have = 0;
        while (have < more && from + have + 1 < to && ((unsigned char)from[have + 1] & 0xc0) == 0x80) have++;
        if (more < 0 || have < more) out[n++] = '?';
        else if (more == 0) out[n++] = c < ' ' || c == 127 ? ' ' : (char)c;
        else
            for (int i = 0; i <= more; i++) out[n++] = from[i];
        from += more > 0 && have == more ? more + 1 : 1;
    }
    out[n] = 0;
    return n;
}

static status bad(const parser *q, const char *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static status bad(const parser *q, const char *at, const char *fmt, ...)
{
    enum { BEFORE = 160, AFTER = 60 };
    char before[BEFORE + 1], after[AFTER + 4], what[400];
    const char *end = at + strnlen(at, AFTER), *start = at - q->text > BEFORE ? at - BEFORE : q->text;
    for (int i = 0; i < 3 && end > at && ((unsigned char)*end & 0xc0) == 0x80; i++) end--; /* not amid a character */
    piece(before, start, at);
    piece(after, at, end);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_set(q->e, ST_INPUT, "'%s%s%shere>%s%s%s', character %zu: %s", start > q->text ? "..." : "", before,
                   *before && !isspace((unsigned char)before[strlen(before) - 1]) ? " " : "", *after ? " " : "", after,
                   *end ? "..." : "", (size_t)(at - q->text) + 1, what);
}

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static void blanks(parser *q)
{
    while (isspace((unsigned char)*q->p)) q->p++;
}

static bool name_start(char c) { return isalpha((unsigned char)c) || c == '_'; }
static bool name_char(char c) { return isalnum((unsigned char)c) || c == '_'; }
static bool digit(char c) { return isdigit((unsigned char)c); }

static bool accept(parser *q, char c)
{
    blanks(q);
    if (*q->p != c) return false;
    q->p++;
    return true;
}

/* A character outside ASCII: what to write for it, where we know. */
static status foreign(const parser *q)
{
    static const char *const greek[] = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota",
                                        "kappa", "lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "sigma",
                                        "tau", "upsilon", "phi", "chi", "psi", "omega"}; /* U+03B1 .. U+03C9 */
    static const struct { const char *utf8, *ascii; } signs[] = {
        {"\u2212", "-"}, {"\u2013", "-"}, {"\u00d7", "*"}, {"\u00b7", "*"}, {"\u22c5", "*"}, {"\u00f7", "/"},
        {"\u00b2", "^2"}, {"\u00b3", "^3"}, {"\u2044", "/"}, {"\u00a0", " "}};
    const unsigned char *c = (const unsigned char *)q->p;
    const char *write = NULL;
    if ((c[0] == 0xce || c[0] == 0xcf) && (c[1] & 0xc0) == 0x80) {
        unsigned code = (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu);
        if (code >= 0x3b1 && code <= 0x3c9) write = greek[code - 0x3b1];
    }
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (!strncmp(q->p, signs[i].utf8, strlen(signs[i].utf8))) write = signs[i].ascii;
    if (write) return bad(q, q->p, "not an ASCII character; write '%s'", write);
    return bad(q, q->p, "not an ASCII character; names have letters a-z, A-Z, digits and _");
}

static bool operand_starts(char c) { return name_start(c) || digit(c) || c == '.' || c == '('; }

/* Something stands where an operator or an end should; inside: where ')' would be an end. */
static status leftover(parser *q, bool inside)
{
    blanks(q);
    const char c = *q->p, *end = q->p;
    if ((unsigned char)c >= 0x80) return foreign(q);
    if (operand_starts(c)) {
        while (name_char(*end) || *end == '.') end++;
        if (end == q->p) end++;
        return bad(q, q->p, "an operator is missing; for a product write %.*s*%.*s", (int)(q->prev_end - q->prev),
                   q->prev, (int)(end - q->p < EXPR_COL_NAME ? end - q->p : EXPR_COL_NAME), q->p);
    }
    if (c == ')') return bad(q, q->p, "this ')' closes nothing");
    if (c == ',')
        return bad(q, q->p, "a ',' only separates the arguments of a function (numbers are written without it)");
    if (c == '<' || c == '>' || c == '!' || (c == '=' && q->p[1] == '='))
        return bad(q, q->p, "formulas have no comparisons; see min, max and pos");
    if (c == '=') return bad(q, q->p, "a '=' only stands after the name of a local variable: name = formula;");
    if (c == ';' && inside) return bad(q, q->p, "')' is expected before this ';'");
    if (c == '[' || c == '{' || c == ']' || c == '}') return bad(q, q->p, "only ( and ) group");
    if (c > ' ' && c < 127) return bad(q, q->p, "'%c' means nothing here; an operator + - * / ^ is expected", c);
    return bad(q, q->p, "an operator + - * / ^ is expected here");
}

/* Something stands where an operand should. */
static status no_operand(parser *q)
{
    const char c = *q->p;
    if ((unsigned char)c >= 0x80) return foreign(q);
    if (!c && q->p == q->text + strspn(q->text, " \t\n\v\f\r")) return bad(q, q->p, "the formula is empty");
    if (!c) return bad(q, q->p, "the formula ends too early: a number, a name or '(' is expected here");
    if (c == ')' && !q->depth) return bad(q, q->p, "this ')' closes nothing");
    if (strchr("*/^),;=", c)) return bad(q, q->p, "a number, a name or '(' is expected before '%c'", c);
    if (c > ' ' && c < 127) return bad(q, q->p, "'%c' means nothing here; a number, a name or '(' is expected", c);
    return bad(q, q->p, "a number, a name or '(' is expected here");
}

/* --- nodes ------------------------------------------------------------------------------------------------------ */

/* The node of the operation written at `at`. A constant part that is no number is a mistake worth telling. */
static status made(parser *q, const char *at, int32_t node)
{
    if (q->t->nomem) return err_set(q->e, ST_NOMEM, "no memory for a formula");
    if (q->t->full) return bad(q, at, "the formula has more than %d operations", EXPR_MAX_VALUE);
    if (expr_is_const(q->t, node) && !isfinite(q->t->nodes[node].k))
        return bad(q, at, "the constant part here is %s", isnan(q->t->nodes[node].k) ? "not a number" : "infinite");
    return ST_OK;
}

static status number(parser *q, int32_t *out)
{
    const char *at = q->p, *p = at;
    bool digits = false;
    for (; digit(*p); p++) digits = true;
    if (*p == '.')
        for (p++; digit(*p); p++) digits = true;
    if (!digits) return bad(q, at, "a '.' needs a digit beside it");
    if ((*p == 'e' || *p == 'E') && (digit(p[1]) || ((p[1] == '-' || p[1] == '+') && digit(p[2]))))
        for (p += 2; digit(*p); p++) {}
    if (*p == '.') return bad(q, p, "a second '.' in a number");
    if (*p == '_') return bad(q, p, "numbers are written without '_'");
    char buf[MAX_NUMBER];
    double k;
    if ((size_t)(p - at) >= sizeof buf) return bad(q, at, "a number of more than %zu characters", sizeof buf - 1);
    memcpy(buf, at, (size_t)(p - at));
    buf[p - at] = 0;
    if (!num_parse_f64(buf, &k))
        return bad(q, at, "%s is too %s for a double", buf, strtod(buf, NULL) > 1 ? "large" : "small");
    q->prev = at;
    q->prev_end = q->p = p;
    *out = expr_const(q->t, k);
    return made(q, at, *out);
}

static status take_name(parser *q, char *name)
{
    const char *at = q->p;
    while (name_char(*q->p)) q->p++;
    size_t n = (size_t)(q->p - at);
    if (n >= EXPR_COL_NAME) return bad(q, at, "a name of %zu characters; %d are the most", n, EXPR_NAME - 1);
    memcpy(name, at, n);
    name[n] = 0;
    q->prev = at;
    q->prev_end = q->p;
    return ST_OK;
}

static int index_in(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(names[i], name)) return (int)i;
    return -1;
}

static const function *function_named(const char *name)
{
    for (size_t i = 0; i < N_FUNCTIONS; i++)
        if (!strcmp(functions[i].name, name)) return &functions[i];
    return NULL;
}

static local *local_named(parser *q, const char *name)
{
    for (size_t i = 0; i < q->n_locals; i++)
        if (!strcmp(q->locals[i].name, name)) return &q->locals[i];
    return NULL;
}

static int param_named(const parser *q, const char *name)
{
    for (size_t i = 0; i < q->x->n_params; i++)
        if (!strcmp(q->x->params[i], name)) return (int)i;
    return -1;
}

/* Words that are no free names. NULL: it is one. */
static const char *reserved(const char *name)
{
    if (function_named(name)) return "a function";
    if (!strcmp(name, "pi")) return "the constant 3.14159...";
    if (num_is_nonfinite_word(name)) return "no number that a formula can use";
    return NULL;
}

static status column(parser *q, int32_t *out, const char *name)
{
    size_t i = 0;
    while (i < q->x->n_cols && strcmp(q->x->cols[i], name)) i++;
    if (i == q->x->n_cols) {
        if (i == EXPR_MAX_COLS) return bad(q, q->prev, "more than %d columns", EXPR_MAX_COLS);
        snprintf(q->x->cols[q->x->n_cols++], EXPR_COL_NAME, "%s", name);
    }
    *out = expr_leaf(q->t, OP_COL, i);
    return made(q, q->prev, *out);
}

static status unknown_name(parser *q, const char *name)
{
    const char *known[EXPR_MAX_PARAMS + MAX_LOCALS + 256];
    int n = 0;
    for (size_t i = 0; i < q->x->n_params; i++) known[n++] = q->x->params[i];
    for (size_t i = 0; i < q->n_locals; i++) known[n++] = q->locals[i].name;
    for (size_t i = 0; i < q->n_cols && i < 256; i++) known[n++] = q->cols[i];
    const char *near = num_nearest_word(name, known, n);
    if (near) return bad(q, q->prev, "there is no parameter or column '%s'; did you mean '%s'?", name, near);
    return bad(q, q->prev, "there is no parameter or column '%s'", name);
}

static status parameter(parser *q, int32_t *out, const char *name)
{
    int j = param_named(q, name);
    if (j < 0 && q->given) return unknown_name(q, name);
    if (j < 0) {
        if (strlen(name) >= EXPR_NAME) return bad(q, q->prev, "a name of more than %d characters", EXPR_NAME - 1);
        if (q->x->n_params == EXPR_MAX_PARAMS) return bad(q, q->prev, "more than %d parameters", EXPR_MAX_PARAMS);
        j = (int)q->x->n_params++;
        snprintf(q->x->params[j], EXPR_NAME, "%s", name);
    }
    if (!q->param_at[j]) q->param_at[j] = q->prev;
    *out = expr_leaf(q->t, OP_PARAM, (size_t)j);
    return made(q, q->prev, *out);
}

/* --- the grammar ---------------------------------------------------------------------------------------------- */

static status sum(parser *q, int32_t *out);

static status deeper(parser *q, const char *at)
{
    return ++q->depth > MAX_DEPTH ? bad(q, at, "more than %d levels of parentheses, functions and powers", MAX_DEPTH)
                                  : ST_OK;
}

/* After the '(' at `open`: one sum, or several with commas up to `most`. */
static status arguments(parser *q, int32_t *arg, int *n, int most, const char *open,
                        int32_t (*fold)(parser *, int32_t, int32_t))
{
    status s = deeper(q, open);
    for (*n = 0; !s;) {
        int32_t next;
        s = sum(q, &next);
        if (s) break;
        if (fold && *n) arg[0] = fold(q, arg[0], next);
        else arg[*n < 2 ? *n : 1] = next;
        ++*n;
        if (*n < most && accept(q, ',')) continue;
        if (accept(q, ')')) break;
        blanks(q);
        if (!*q->p) s = bad(q, open, "this '(' is never closed");
        else s = leftover(q, true);
    }
    q->depth--;
    q->prev_end = q->p;
    q->prev = q->p - 1; /* the ')' */
    return s;
}

static int32_t smaller(parser *q, int32_t a, int32_t b)
{
    return expr_make(q->t, OP_SEL, expr_make(q->t, OP_LE, a, b, EXPR_NONE), a, b);
}

static int32_t larger(parser *q, int32_t a, int32_t b)
{
    return expr_make(q->t, OP_SEL, expr_make(q->t, OP_GE, a, b, EXPR_NONE), a, b);
}

static status call(parser *q, int32_t *out, const function *f, const char *at)
{
    int32_t arg[2] = {EXPR_ZERO, EXPR_ZERO};
    int n;
    bool many = f->most == MANY;
    blanks(q);
    const char *open = q->p++;
    status s = arguments(q, arg, &n, MANY, open, !many ? NULL : f->op == OP_LE ? smaller : larger);
    if (s) return s;
    if (n < f->least || n > f->most)
        return bad(q, at, "%s takes %s%d argument%s, not %d", f->name, many ? "at least " : "", f->least,
                   f->least == 1 ? "" : "s", n);
    if (many) *out = arg[0];
    else if (f->op == OP_POW) *out = expr_make_pow(q->t, arg[0], arg[1]);
    else if (f->op == OP_GE) *out = larger(q, arg[0], EXPR_ZERO);
    else *out = expr_make(q->t, f->op, arg[0], EXPR_NONE, EXPR_NONE);
    return made(q, at, *out);
}

static status name_operand(parser *q, int32_t *out)
{
    char name[EXPR_COL_NAME];
    const char *at = q->p;
    status s = take_name(q, name);
    if (s) return s;
    const char *next = q->p + strspn(q->p, " \t\n\v\f\r");
    const function *f = function_named(name);
    if (f && *next == '(') return call(q, out, f, at);
    if (f) return bad(q, at, "'%s' is a function; write %s(...)", name, name);
    local *v = local_named(q, name);
    bool is_column = index_in(q->cols, q->n_cols, name) >= 0, is_pi = !strcmp(name, "pi");
    if (*next == '(' && !v && !is_column && !is_pi && param_named(q, name) < 0) {
        const char *names[N_FUNCTIONS];
        for (int i = 0; i < N_FUNCTIONS; i++) names[i] = functions[i].name;
        const char *near = num_nearest_word(name, names, N_FUNCTIONS);
        if (near) return bad(q, at, "there is no function '%s'; did you mean '%s'?", name, near);
        return bad(q, at, "there is no function '%s'; for a product write %s*(...)", name, name);
    }
    if (v) {
        v->used = true;
        *out = v->node;
        return ST_OK;
    }
    if (is_column && reserved(name))
        return bad(q, at, "'%s' is %s, and a column: give the column another name", name, reserved(name));
    if (is_pi) {
        *out = expr_const(q->t, 3.14159265358979323846);
        return made(q, at, *out);
    }
    if (reserved(name)) return bad(q, at, "'%s' is %s", name, reserved(name));
    return is_column ? column(q, out, name) : parameter(q, out, name);
}

static status primary(parser *q, int32_t *out)
{
    blanks(q);
    if (digit(*q->p) || *q->p == '.') return number(q, out);
    if (name_start(*q->p)) return name_operand(q, out);
    if (*q->p != '(') return no_operand(q);
    const char *open = q->p++;
    int n;
    return arguments(q, out, &n, 1, open, NULL);
}

/* signed, power: one loop for the signs, so that a thousand of them need no stack. */
static status operand(parser *q, int32_t *out)
{
    bool minus = false;
    const char *at;
    for (blanks(q), at = q->p; *q->p == '-' || *q->p == '+'; blanks(q)) minus ^= *q->p++ == '-';
    status s = primary(q, out);
    if (s) return s;
    blanks(q);
    if (*q->p == '^' || (*q->p == '*' && q->p[1] == '*')) {
        const char *op = q->p;
        int32_t y;
        q->p += *op == '^' ? 1 : 2;
        s = deeper(q, op);
        if (!s) s = operand(q, &y);
        q->depth--;
        if (s) return s;
        *out = expr_make_pow(q->t, *out, y);
        s = made(q, op, *out);
    }
    if (s || !minus) return s;
    *out = expr_make(q->t, OP_NEG, *out, EXPR_NONE, EXPR_NONE);
    return made(q, at, *out);
}

static status product(parser *q, int32_t *out)
{
    status s = operand(q, out);
    while (!s) {
        blanks(q);
        const char *op = q->p;
        int32_t right;
        if (*op != '*' && *op != '/') break;
        q->p++;
        s = operand(q, &right);
        if (s) break;
        *out = expr_make(q->t, *op == '*' ? OP_MUL : OP_DIV, *out, right, EXPR_NONE);
        s = made(q, op, *out);
    }
    return s;
}

static status sum(parser *q, int32_t *out)
{
    status s = product(q, out);
    while (!s) {
        blanks(q);
        const char *op = q->p;
        int32_t right;
        if (*op != '+' && *op != '-') break;
        q->p++;
        s = product(q, &right);
        if (s) break;
        *out = expr_make(q->t, *op == '+' ? OP_ADD : OP_SUB, *out, right, EXPR_NONE);
        s = made(q, op, *out);
    }
    return s;
}

/* "name =" at q->p? */
static bool assignment(const parser *q)
{
    const char *p = q->p;
    if (!name_start(*p)) return false;
    while (name_char(*p)) p++;
    p += strspn(p, " \t\n\v\f\r");
    return *p == '=' && p[1] != '=';
}

static status may_define(parser *q, const char *at, const char *name)
{
    int j = param_named(q, name);
    if (local_named(q, name)) return bad(q, at, "'%s' is defined twice", name);
    if (reserved(name)) return bad(q, at, "'%s' is %s; choose another name", name, reserved(name));
    if (index_in(q->cols, q->n_cols, name) >= 0) return bad(q, at, "'%s' is a column; choose another name", name);
    if (j >= 0 && q->given) return bad(q, at, "'%s' is a parameter; choose another name", name);
    if (j >= 0) return bad(q, q->param_at[j], "'%s' is used before it is defined", name);
    if (strlen(name) >= EXPR_NAME) return bad(q, at, "a name of more than %d characters", EXPR_NAME - 1);
    if (q->n_locals == MAX_LOCALS) return bad(q, at, "more than %d local variables", MAX_LOCALS);
    return ST_OK;
}

static status define(parser *q)
{
    local v = {.at = q->p};
    char name[EXPR_COL_NAME];
    status s = take_name(q, name);
    if (!s) s = may_define(q, v.at, name);
    if (s) return s;
    accept(q, '=');
    s = sum(q, &v.node);
    if (s) return s;
    blanks(q);
    if (!*q->p)
        return bad(q, v.at, "the last part is the value and has no name: leave '%s =' away, or go on after a ';'",
                   name);
    if (*q->p != ';') return leftover(q, false);
    q->p++;
    memcpy(v.name, name, sizeof v.name);
    q->locals[q->n_locals++] = v;
    return ST_OK;
}

static status formula(parser *q, int32_t *out)
{
    status s = ST_OK;
    for (blanks(q); !s && assignment(q); blanks(q)) s = define(q);
    if (s) return s;
    if (!*q->p && q->n_locals) return bad(q, q->p, "the value is missing: the last part is a formula without a name");
    s = sum(q, out);
    if (s) return s;
    blanks(q);
    if (*q->p == ';') return bad(q, q->p, "nothing follows the value; a part that ends in ';' begins with 'name ='");
    if (*q->p) return leftover(q, false);
    for (size_t i = 0; i < q->n_locals; i++)
        if (!q->locals[i].used) return bad(q, q->locals[i].at, "'%s' is defined and never used", q->locals[i].name);
    for (size_t j = 0; j < q->x->n_params; j++)
        if (!q->param_at[j]) return bad(q, q->p, "parameter '%s' does not occur", q->x->params[j]);
    return ST_OK;
}

/* What the caller hands over is checked too: law tables and files write it. */
static status take_given(parser *q, const char *const *params, size_t n_params)
{
    if (n_params > EXPR_MAX_PARAMS)
        return err_set(q->e, ST_INPUT, "%zu parameters; a formula has at most %d", n_params, EXPR_MAX_PARAMS);
    for (size_t j = 0; j < n_params; j++) {
        const char *name = params[j];
        bool word = name_start(*name) && strlen(name) < EXPR_NAME;
        for (const char *p = name; *p; p++) word = word && name_char(*p);
        if (!word || reserved(name) || index_in(params, j, name) >= 0 || index_in(q->cols, q->n_cols, name) >= 0)
            return err_set(q->e, ST_INPUT, "parameter '%.80s' of a formula: the name is %s", name,
                           !word ? "no word of letters, digits and _" : reserved(name) ? "reserved" : "taken twice");
        snprintf(q->x->params[j], EXPR_NAME, "%s", name);
    }
    q->x->n_params = n_params;
    return ST_OK;
}

/* wanted NULL: derivatives in all parameters. */
static status parse(expr **out, const char *text, const char *const *params, size_t n_params, const char *const *cols,
                    size_t n_cols, const bool *wanted, err *e)
{
    expr_tape t;
    int32_t value = EXPR_ZERO;
    bool all[EXPR_MAX_PARAMS];
    for (size_t j = 0; j < EXPR_MAX_PARAMS; j++) all[j] = true;
    *out = NULL;
    if (strnlen(text, MAX_TEXT + 1) > MAX_TEXT)
        return err_set(e, ST_INPUT, "a formula of more than %d characters", MAX_TEXT);
    parser *q = calloc(1, sizeof *q);
    expr *x = calloc(1, sizeof *x);
    if (x) x->text = strdup(text);
    expr_tape_init(&t);
    status s = q && x && x->text && !t.nomem ? ST_OK : err_set(e, ST_NOMEM, "no memory for a formula");
    if (!s) {
        *q = (parser){.text = text, .p = text, .t = &t, .x = x, .given = params, .n_cols = n_cols, .e = e};
        q->cols = cols;
        if (params) s = take_given(q, params, n_params);
    }
    if (!s) s = formula(q, &value);
    if (!s) s = expr_compile(x, &t, value, wanted ? wanted : all, e);
    expr_tape_free(&t);
    free(q);
    if (s) expr_free(x);
    else *out = x;
    return s;
}

status expr_parse(expr **out, const char *text, const char *const *params, size_t n_params, const char *const *cols,
                  size_t n_cols, err *e)
{
    return parse(out, text, params, n_params, cols, n_cols, NULL, e);
}

status expr_only(expr **out, const expr *x, const bool *wanted, err *e)
{
    const char *params[EXPR_MAX_PARAMS], *cols[EXPR_MAX_COLS];
    for (size_t j = 0; j < x->n_params; j++) params[j] = x->params[j];
    for (size_t c = 0; c < x->n_cols; c++) cols[c] = x->cols[c];
    return parse(out, x->text, params, x->n_params, cols, x->n_cols, wanted, e);
}
