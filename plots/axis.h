/* Axes: a range from the data, and tics written out by us. gnuplot's own autoscale gives 10^1 to 10^9 for data between
 * 10^6 and 10^9, and its log tics have no labels below one decade. Superscripts are Unicode characters, so that no text
 * needs gnuplot's markup and run names with _ { } ^ stay as they are. */
#ifndef PLOTS_AXIS_H
#define PLOTS_AXIS_H
#include <stdbool.h>
#include <stddef.h>
#include "plots/text.h"

typedef struct range { double lo, hi; } range;
range range_empty(void);
bool range_is_empty(range r);
void range_add(range *r, double x); /* ignores what is not finite */

typedef enum axis_scale { AXIS_LINEAR, AXIS_LOG10, AXIS_LOG2 } axis_scale;
typedef enum axis_words { WORDS_PLAIN, WORDS_POWER, WORDS_COUNT } axis_words; /* 0.02; 2×10⁻²; 1.5M */

typedef struct axis {
    axis_scale scale;
    axis_words words;
    double lo, hi;
    const char *label; /* with its unit; NULL = none */
    const char *tics;  /* the inside of `set xtics (...)` where the values are names; NULL = made from the range */
    bool inner;        /* no labels close to the ends, where the next panel's stand */
    bool bare;         /* tics without labels: shared with the panel below or beside */
} axis;

bool axis_far(range r); /* numbers that read better as powers: 1e5 and more, or all below 1e-3 */

/* Range of the data widened by `pad` (a share of its length) on each side; never empty. A log axis needs positive data. */
axis axis_over(axis_scale scale, axis_words words, range r, double pad, const char *label);

double axis_at(const axis *a, double x); /* 0 at lo, 1 at hi */
double axis_value(const axis *a, double at); /* the inverse */

/* `set xtics (...)` with as many labels as `px` pixels hold. which: "x", "y" or "cb". `across`: labels stand side by side. */
void axis_tics(text *out, const char *which, const axis *a, double px, bool across);

/* Numbers for people. buf: AXIS_WORD bytes. */
enum { AXIS_WORD = 48 };
const char *axis_power(char *buf, double x, int digits); /* 3.2×10¹⁴; 10⁶ */
const char *axis_count(char *buf, double x);             /* 85k, 1.2M, 3.4B */
const char *axis_short(char *buf, double x, int digits); /* 0.3473, 2143, 5.6×10⁸: plain where that is short */
const char *axis_pow2(char *buf, int exponent);          /* 2⁻⁹ */
#endif
