#include "plots/axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TICS = 64 };

range range_empty(void) { return (range){INFINITY, -INFINITY}; }
bool range_is_empty(range r) { return !(r.lo <= r.hi); }

void range_add(range *r, double x)
{
    if (!isfinite(x)) return;
    if (x < r->lo) r->lo = x;
    if (x > r->hi) r->hi = x;
}

static double to_line(axis_scale s, double x) { return s == AXIS_LINEAR ? x : s == AXIS_LOG10 ? log10(x) : log2(x); }
static double from_line(axis_scale s, double u) { return s == AXIS_LINEAR ? u : s == AXIS_LOG10 ? pow(10, u) : exp2(u); }

bool axis_far(range r) { return r.hi >= 1e5 || (r.lo > 0 && r.hi < 1e-3) || r.lo <= -1e5; }

axis axis_over(axis_scale scale, axis_words words, range r, double pad, const char *label)
{
    axis a = {.scale = scale, .words = words, .label = label};
    if (range_is_empty(r) || (scale != AXIS_LINEAR && r.lo <= 0)) r = (range){1, 10};
    double lo = to_line(scale, r.lo), hi = to_line(scale, r.hi), span = hi - lo;
    double least = scale == AXIS_LINEAR ? 1e-6 * fmax(fabs(lo), 1e-6) : 1e-4;
    if (span < least) {
        double half = scale == AXIS_LINEAR ? fmax(0.05 * fabs(lo), 1e-6) : 0.3;
        lo -= half;
        hi += half;
        span = hi - lo;
    }
    a.lo = from_line(scale, lo - pad * span);
    a.hi = from_line(scale, hi + pad * span);
    return a;
}

double axis_at(const axis *a, double x)
{
    double lo = to_line(a->scale, a->lo), hi = to_line(a->scale, a->hi);
    return (to_line(a->scale, x) - lo) / (hi - lo);
}

double axis_value(const axis *a, double at)
{
    double lo = to_line(a->scale, a->lo), hi = to_line(a->scale, a->hi);
    return from_line(a->scale, lo + at * (hi - lo));
}

/* --- numbers as words ------------------------------------------------------------------------------ */

static void superscript(char *buf, size_t size, int n)
{
    static const char *const digit[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
    char plain[16];
    snprintf(plain, sizeof plain, "%d", n);
    buf[0] = 0;
    for (const char *p = plain; *p; p++) strncat(buf, *p == '-' ? "⁻" : digit[*p - '0'], size - strlen(buf) - 1);
}

const char *axis_power(char *buf, double x, int digits)
{
    char sup[24], mantissa[16], sci[48];
    if (!(fabs(x) > 0) || !isfinite(x)) {
        snprintf(buf, AXIS_WORD, "%g", x);
        return buf;
    }
    snprintf(sci, sizeof sci, "%.*e", digits - 1, x); /* rounds; 9.99 may become 1.0e1 */
    char *e = strchr(sci, 'e');
    int exponent = 0;
    sscanf(e + 1, "%d", &exponent);
    *e = 0;
    snprintf(mantissa, sizeof mantissa, "%.15s", sci);
    if (strchr(mantissa, '.')) { /* 2.0 -> 2 */
        char *end = mantissa + strlen(mantissa) - 1;
        while (*end == '0') *end-- = 0;
        if (*end == '.') *end = 0;
    }
    superscript(sup, sizeof sup, exponent);
    if (!strcmp(mantissa, "1")) snprintf(buf, AXIS_WORD, "10%s", sup);
    else snprintf(buf, AXIS_WORD, "%s×10%s", mantissa, sup);
    return buf;
}

const char *axis_count(char *buf, double x)
{
    static const struct { double unit; const char *name; } units[] = {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}};
    if (!isfinite(x) || fabs(x) >= 1e16) return axis_power(buf, x, 3);
    if (!(fabs(x) > 0)) x = 0; /* not -0 */
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (fabs(x) >= 0.9995 * units[i].unit) {
            double m = x / units[i].unit;
            snprintf(buf, AXIS_WORD, fabs(m) >= 99.95 ? "%.0f%s" : "%.3g%s", m, units[i].name);
            return buf;
        }
    snprintf(buf, AXIS_WORD, "%.4g", x);
    return buf;
}

const char *axis_short(char *buf, double x, int digits)
{
    char word[AXIS_WORD];
    double size = fabs(x);
    if (size >= 1e6 || (size > 0 && size < 1e-4)) axis_power(word, size, digits);
    else {
        int before_point = size >= 1 ? (int)log10(size) + 1 : 1;
        snprintf(word, sizeof word, "%.*g", digits > before_point ? digits : before_point, size);
    }
    snprintf(buf, AXIS_WORD, "%s%.40s", x < 0 ? "−" : "", word);
    return buf;
}

const char *axis_pow2(char *buf, int exponent)
{
    char sup[24];
    superscript(sup, sizeof sup, exponent);
    snprintf(buf, AXIS_WORD, "2%s", sup);
    return buf;
}

/* --- tics ------------------------------------------------------------------------------------------ */

typedef struct tics { int n; double x[MAX_TICS]; char word[MAX_TICS][AXIS_WORD]; bool minor[MAX_TICS]; } tics;

static void put(tics *t, const axis *a, double x, const char *word)
{
    double at = axis_at(a, x);
    if (t->n == MAX_TICS || at < -1e-9 || at > 1 + 1e-9) return;
    t->x[t->n] = x;
    t->minor[t->n] = !word;
    snprintf(t->word[t->n++], AXIS_WORD, "%s", word ? word : "");
}

static void plain(char *buf, double x, double step)
{
    int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    double scaled = step * pow(10, decimals);
    if (fabs(scaled - round(scaled)) > 1e-6) decimals++; /* steps of 0.25 */
    snprintf(buf, AXIS_WORD, "%s%.*f", x < -step * 1e-6 ? "−" : "", decimals, fabs(x) < step * 1e-6 ? 0.0 : fabs(x));
}

/* Evenly spaced values; on a log axis of less than a decade they read better than powers. */
static void even(tics *t, const axis *a, int most)
{
    static const double nice[] = {1, 2, 2.5, 5, 10};
    double raw = (a->hi - a->lo) / most, unit = pow(10, floor(log10(raw))), step;
    int i = 0;
    while (i < 4 && nice[i] * unit < raw * (1 - 1e-9)) i++;
    step = nice[i] * unit;
    if (floor(a->hi / step) - ceil(a->lo / step) < 1) /* one label says nothing */
        step = i ? nice[i - 1] * unit : unit / 2;
    for (double k = ceil(a->lo / step - 1e-9) + 0.0; k * step <= a->hi * (1 + 1e-12) + 1e-9 * step && t->n < MAX_TICS; k++) {
        char word[AXIS_WORD];
        if (a->words == WORDS_POWER && fabs(k * step) >= 1e4) axis_power(word, k * step, 3);
        else if (a->words == WORDS_COUNT) axis_count(word, k * step);
        else plain(word, k * step, step);
        put(t, a, k * step, word);
    }
}

static void decades(tics *t, const axis *a, int most)
{
    int lo = (int)ceil(log10(a->lo) - 1e-9), hi = (int)floor(log10(a->hi) + 1e-9);
    double span = log10(a->hi / a->lo);
    char word[AXIS_WORD];
    int labels = 0;
    /* 1 2 5 when they fit, else 1 3, else 1, else every k-th decade */
    static const double sets[3][3] = {{1, 2, 5}, {1, 3, 0}, {1, 0, 0}};
    int set = 0;
    for (; set < 2; set++) {
        labels = 0;
        for (int k = lo - 1; k <= hi; k++)
            for (int j = 0; j < 3; j++)
                if (sets[set][j] > 0 && sets[set][j] * pow(10, k) >= a->lo && sets[set][j] * pow(10, k) <= a->hi) labels++;
        if (labels <= most && span < 2.5) break;
    }
    int every = (hi - lo + 1 + most - 1) / most;
    if (every < 1) every = 1;
    for (int k = lo - 1; k <= hi; k++)
        for (int m = 1; m <= 9; m++) {
            double x = m * pow(10, k);
            bool major = m == 1 ? (k % every == 0) : (set == 0 && (m == 2 || m == 5)) || (set == 1 && m == 3);
            if (!major && hi - lo > 5) continue;
            if (major && a->words == WORDS_PLAIN) snprintf(word, sizeof word, "%g", x);
            else if (major && a->words == WORDS_COUNT) axis_count(word, x);
            else if (major) axis_power(word, x, 3);
            put(t, a, x, major ? word : NULL);
        }
}

static void octaves(tics *t, const axis *a, int most)
{
    int lo = (int)ceil(log2(a->lo) - 1e-9), hi = (int)floor(log2(a->hi) + 1e-9), every = 1;
    while ((hi - lo) / every + 1 > most) every++;
    for (int k = lo; k <= hi; k++) {
        char word[AXIS_WORD];
        if (a->words == WORDS_PLAIN) snprintf(word, sizeof word, "%g", exp2(k));
        else axis_pow2(word, k);
        put(t, a, exp2(k), k % every == 0 ? word : NULL);
    }
}

void axis_tics(text *out, const char *which, const axis *a, double px, bool across)
{
    tics t = {0};
    if (a->tics) {
        text_add(out, "set %stics (%s)\n", which, a->tics);
        return;
    }
    /* a label needs about this many pixels of its own */
    double each = which[0] == 'c' ? 40 : !across ? 26 : a->words == WORDS_POWER && a->scale == AXIS_LOG10 ? 58 : 44;
    int most = (int)(px / each);
    if (most < 2) most = 2;
    if (most > 8) most = 8;
    if (a->scale == AXIS_LOG2) octaves(&t, a, most);
    else if (a->scale == AXIS_LOG10 && a->hi / a->lo > 7) decades(&t, a, most);
    else even(&t, a, most);
    text_add(out, "set %stics (", which);
    for (int i = 0; i < t.n && a->inner && across; i++)
        if (fabs(axis_at(a, t.x[i]) - 0.5) > 0.5 - 0.28 * each / px) t.word[i][0] = 0;
    for (int i = 0; i < t.n; i++) /* a tic's text is a format for gnuplot; ours holds no % */
        text_add(out, "%s\"%s\" %.12g%s", i ? ", " : "", a->bare ? "" : t.word[i], t.x[i], t.minor[i] ? " 1" : "");
    text_put(out, ")\n");
}
