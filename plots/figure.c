#include "plots/figure.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Widths of DejaVu Sans in pixels per character, measured on the figures: key text of 10.5, caption of 9.5. */
#define KEY_CHAR 6.5
#define KEY_LINE 15.0
#define KEY_SAMPLE 42.0
#define CAPTION_CHAR 5.35
#define CAPTION_LINE 13.0
/* Of an upright label from its panel, and from the colour scale's: room for tics like 2×10¹³. */
#define LABEL_AWAY 53.0
#define LABEL_BELOW 37.0
#define SCALE_LABEL_AWAY 86.0

void figure_free(figure *f)
{
    text_free(&f->data);
    text_free(&f->script);
    text_free(&f->caption);
}

void figure_block(figure *f, const char *name, const char *columns)
{
    text_add(&f->data, "%s# %s\n# ", f->data.n ? "\n\n" : "", name);
    for (; *columns; columns++) /* names of columns come from files: a line of their own would be data */
        text_putn(&f->data, (unsigned char)*columns < ' ' && *columns != '\t' ? " " : columns, 1);
    text_put(&f->data, "\n");
}

void figure_row(figure *f, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i) text_put(&f->data, "\t");
        if (isfinite(x[i])) text_add(&f->data, "%.10g", x[i]);
        else text_put(&f->data, "NaN");
    }
    text_put(&f->data, "\n");
}

void figure_gap(figure *f)
{
    size_t n = f->data.n; /* two empty lines would end the block */
    if (n < 2 || f->data.s[n - 2] != '\n') text_put(&f->data, "\n");
}

static size_t letters(const char *s)
{
    size_t n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

void panel_plot(panel *p, const char *key, const char *with, ...)
{
    va_list ap;
    char element[512];
    va_start(ap, with);
    vsnprintf(element, sizeof element, with, ap);
    va_end(ap);
    text_add(&p->plots, "%s%s", p->n_plots++ ? ", \\\n  " : "plot ", element);
    if (!key) {
        text_put(&p->plots, " notitle");
        return;
    }
    text_put(&p->plots, " title ");
    plot_quote(&p->plots, key);
    p->n_keys++;
    if (letters(key) > p->longest_key) p->longest_key = letters(key);
}

void panel_line(panel *p, const char *fmt, ...)
{
    va_list ap;
    char line[512];
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    text_add(&p->before, "%s\n", line);
}

void panel_ink(panel *p, double x, double y)
{
    if (!isfinite(x) || !isfinite(y)) return;
    if (p->n_ink + 2 > p->cap_ink) {
        size_t cap = p->cap_ink ? 2 * p->cap_ink : 128;
        double *more = realloc(p->ink, cap * sizeof *more);
        if (!more) { p->plots.failed = true; return; }
        p->ink = more;
        p->cap_ink = cap;
    }
    p->ink[p->n_ink++] = x;
    p->ink[p->n_ink++] = y;
}

/* --- the key: an empty corner, or head room made for it --------------------------------------------------- */

/* The strip of marks at the top edge, as a share of the height: the key stays below it. */
static double strip(const panel *p) { return p->top_edge ? 0.05 : 0; }

static size_t covered(const panel *p, corner c, double w, double h)
{
    if (c == CORNER_TOP_RIGHT || c == CORNER_TOP_LEFT) h += strip(p);
    bool right = c == CORNER_TOP_RIGHT || c == CORNER_BOTTOM_RIGHT, top = c == CORNER_TOP_RIGHT || c == CORNER_TOP_LEFT;
    size_t n = 0;
    for (size_t i = 0; i < p->n_ink; i += 2) {
        double u = axis_at(&p->x, p->ink[i]), v = axis_at(&p->y, p->ink[i + 1]);
        n += (right ? u > 1 - w : u < w) && (top ? v > 1 - h : v < h) && u > -0.02 && u < 1.02 && v > -0.02 && v < 1.02;
    }
    return n;
}

static corner place_key(panel *p)
{
    if (p->key == CORNER_BESIDE || p->key == CORNER_ABOVE || p->key == CORNER_NONE || !p->n_keys) return p->key;
    double lines = (double)(p->n_keys + (p->key_title[0] ? 1 : 0));
    double w = (KEY_SAMPLE + KEY_CHAR * (double)p->longest_key + 10) / p->box.w, h = (KEY_LINE * lines + 12) / p->box.h;
    corner order[5] = {p->key, CORNER_TOP_RIGHT, CORNER_TOP_LEFT, CORNER_BOTTOM_LEFT, CORNER_BOTTOM_RIGHT};
    for (int i = 0; i < 5; i++)
        if (!covered(p, order[i], w, h)) return order[i];
    for (int k = 1; k <= 12; k++) { /* raise the roof by twentieths until a top corner is free */
        p->y.hi = axis_value(&p->y, 1 + 0.05);
        for (int i = 1; i <= 2; i++)
            if (!covered(p, order[i], w, h)) return order[i];
    }
    return CORNER_TOP_RIGHT;
}

static void write_key(text *t, const panel *p, corner c)
{
    static const char *const places[] = {
        [CORNER_TOP_RIGHT] = "right top", [CORNER_TOP_LEFT] = "left top", [CORNER_BOTTOM_LEFT] = "left bottom",
        [CORNER_BOTTOM_RIGHT] = "right bottom", [CORNER_BESIDE] = "left top",
    };
    if (c == CORNER_NONE || !p->n_keys) {
        text_put(t, "unset key\n");
        return;
    }
    if (c == CORNER_ABOVE) {
        text_add(t, "set key at graph 0,1.02 left bottom horizontal maxrows 1 Left reverse noenhanced title ''\n");
        return;
    }
    double x = c == CORNER_BESIDE ? 1.03 : c == CORNER_TOP_RIGHT || c == CORNER_BOTTOM_RIGHT ? 0.99 : 0.02;
    double y = c == CORNER_BESIDE ? 1 : c == CORNER_TOP_RIGHT || c == CORNER_TOP_LEFT ? 0.99 - strip(p) : 0.02;
    text_add(t, "set key at graph %.3f,%.3f %s Left reverse vertical noenhanced", x, y, places[c]);
    if (p->key_title[0]) {
        text_put(t, " title ");
        plot_quote(t, p->key_title);
        text_put(t, " left");
    } else text_put(t, " title ''");
    text_put(t, "\n");
}

static void write_axis(text *t, const char *which, const axis *a, double px, bool across)
{
    if (a->scale == AXIS_LINEAR) text_add(t, "unset logscale %s\n", which);
    else text_add(t, "set logscale %s %d\n", which, a->scale == AXIS_LOG2 ? 2 : 10);
    text_add(t, "set %srange [%.12g:%.12g]\n", which, a->lo, a->hi);
    axis_tics(t, which, a, px, across);
}

/* Labels of axes stand at places of ours: gnuplot moves its own with the width and height of the tics as it guesses them, off
 * the page or into the tics, and each terminal guesses differently. */
/* Characters cannot be turned: there the label lies above the panel, from or up to its edge. */
static void upright(text *t, const char *words, double px, rect box, bool left)
{
    if (!words) return;
    text_put(t, "words = ");
    plot_quote(t, words);
    text_add(t, "\nif (format eq 'txt') set label words at screen X(%.1f), Y(%.1f) %s; else set label words at screen X(%.1f), graph 0.5 center rotate by 90\n",
             left ? box.x - 40 : px + 10, box.y + box.h + 9, left ? "left" : "right", px);
}

static void level(text *t, const char *words, double px)
{
    if (!words) return;
    text_put(t, "set label ");
    plot_quote(t, words);
    text_add(t, " at graph 0.5, screen Y(%.1f) center\n", px);
}

void panel_close(figure *f, panel *p)
{
    text *t = &f->script;
    corner c = place_key(p);
    rect b = p->box;
    text_add(t, "\nset lmargin at screen X(%.1f); set rmargin at screen X(%.1f); set bmargin at screen Y(%.1f); set tmargin at screen Y(%.1f)\n",
             b.x, b.x + b.w, b.y, b.y + b.h);
    write_axis(t, "x", &p->x, b.w, true);
    write_axis(t, "y", &p->y, b.h, false);
    upright(t, p->y.label, b.x - LABEL_AWAY, b, true);
    level(t, p->x.label, b.y - LABEL_BELOW);
    if (p->top_edge) text_put(t, "set y2range [0:1]\n");
    write_key(t, p, c);
    text_put(t, text_str(&p->before));
    text_put(t, text_str(&p->plots));
    text_put(t, "\nunset label; unset arrow; unset object; unset colorbox\n");
    t->failed |= p->before.failed || p->plots.failed;
    text_free(&p->before);
    text_free(&p->plots);
    free(p->ink);
    p->ink = NULL;
    p->n_ink = p->cap_ink = p->n_plots = p->n_keys = 0;
}

void figure_scale(figure *f, rect b, const axis *a)
{
    text *t = &f->script;
    text_add(t, "set colorbox vertical user origin screen X(%.1f),Y(%.1f) size screen X(12),YH(%.1f) noborder\n", b.x + b.w + 12,
             b.y + 0.02 * b.h, 0.96 * b.h);
    write_axis(t, "cb", a, 0.96 * b.h, false);
    text_put(t, "set cbtics scale 0.4,0.2 offset -0.6,0\n");
    upright(t, a->label, b.x + b.w + SCALE_LABEL_AWAY, b, false);
}

void figure_caption(figure *f, const char *fmt, ...)
{
    va_list ap;
    char line[1024];
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    text_add(&f->caption, "%s%s", f->caption.n ? " " : "", line);
}

/* --- writing ---------------------------------------------------------------------------------------------- */

/* Breaks the caption at blanks; returns the number of lines, emits labels from the top when out is given. */
static int wrap(text *out, const char *caption, size_t most, bool print)
{
    int lines = 0;
    while (*caption) {
        size_t n = 0, last = 0, seen = 0;
        for (; caption[n]; n++) {
            if (caption[n] == ' ' && caption[n + 1] != '%') last = n; /* 95 % stays together */
            seen += ((unsigned char)caption[n] & 0xC0) != 0x80;
            if (seen > most && last) break;
        }
        size_t take = caption[n] ? last : n;
        lines++;
        if (out) {
            char line[512];
            snprintf(line, sizeof line, "%.*s", (int)(take < 511 ? take : 511), caption);
            text_put(out, print ? "if (format eq 'txt') print " : "if (format ne 'txt') set label ");
            plot_quote(out, line);
            if (print) text_put(out, "\n");
            else text_add(out, " at screen X(6),YC(%.1f) left front font ',9.5' textcolor rgb '#444444'\n", CAPTION_LINE * (lines - 1) + 9);
        }
        caption += take;
        while (*caption == ' ') caption++;
    }
    return lines;
}

status figure_write(const figure *f, const char *dir, const char *name, err *e)
{
    char path[IO_PATH_MAX], file[IO_PATH_MAX];
    text t = {0};
    size_t most = (size_t)((f->width - 12) / CAPTION_CHAR);
    int lines = wrap(NULL, text_str(&f->caption), most, false);
    double foot = lines ? CAPTION_LINE * lines + 8 : 0, whole = f->height + foot;
    plot_gnuplot_head(&t, name, f->width, whole);
    text_add(&t, "foot = format eq 'txt' ? 0.0 : %.1f  # the caption's; characters get it after the drawing\n"
                 "X(px) = px / %.1f\nY(px) = (px + foot) / (%.1f + foot)\nYH(px) = px / (%.1f + foot)\nYC(px) = (foot - px) / (%.1f + foot)\n",
             foot, f->width, f->height, f->height, f->height);
    text_put(&t, "set multiplot\n");
    wrap(&t, text_str(&f->caption), most, false);
    text_put(&t, text_str(&f->script));
    text_put(&t, "unset multiplot\nunset output\n");
    if (lines) {
        text_put(&t, "if (format eq 'txt') set print out append\n");
        wrap(&t, text_str(&f->caption), most, true);
        text_put(&t, "set print\n");
    }
    status s = ST_OK;
    if (t.failed || f->data.failed || f->script.failed || f->caption.failed) s = err_set(e, ST_NOMEM, "no memory for the figure %s", name);
    if (!s && snprintf(file, sizeof file, "%s.tsv", name) >= (int)sizeof file) s = err_set(e, ST_INPUT, "%s: name too long", name);
    if (!s) s = io_join(path, dir, file, e);
    if (!s) s = io_publish(path, text_str(&f->data), f->data.n, e);
    if (!s) snprintf(file, sizeof file, "%s.gp", name);
    if (!s) s = io_join(path, dir, file, e);
    if (!s) s = io_publish(path, t.s, t.n, e);
    text_free(&t);
    return s;
}
