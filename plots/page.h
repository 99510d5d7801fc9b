/* A page under construction: blocks, rendered as HTML and as Markdown. Private to plots/. */
#ifndef PLOTS_PAGE_H
#define PLOTS_PAGE_H
#include "base/err.h"
#include "plots/text.h"

typedef enum page_tone { TONE_GOOD, TONE_BAD, TONE_PLAIN } page_tone;
typedef enum page_kind { PAGE_HEADING, PAGE_TEXT, PAGE_CALLOUT, PAGE_CODE, PAGE_TABLE, PAGE_FIGURE } page_kind;

typedef struct page_block {
    page_kind kind;
    page_tone tone;
    text words;       /* TABLE: cells, each closed by \t, rows by \n; the first row is the head. FIGURE: the caption */
    char name[64];    /* FIGURE: figures/NAME.* ; HEADING: unused */
    char title[96];   /* FIGURE */
} page_block;

typedef struct page { char title[160]; page_block *blocks; size_t n; bool failed; } page;
void page_free(page *p);

void page_heading(page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void page_text(page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void page_callout(page *p, page_tone tone, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void page_code(page *p, const char *words);
void page_figure(page *p, const char *name, const char *title, const char *caption);
void page_table(page *p, const char *head); /* titles separated by tabs; then cells */
void page_cell(page *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void page_row(page *p); /* ends a row of cells */

/* dir: where figures/NAME.svg are, to be put into the page. ST_INPUT, ST_IO when one cannot be read. */
status page_html(text *out, const page *p, const char *dir, err *e);
void page_markdown(text *out, const page *p);

/* gnuplot's SVG as part of an HTML page: no prolog, no name spaces, no titles but ours; every id, and every reference to
 * one, gets `prefix`, because a page has one space of ids and each of gnuplot's drawings uses the same ones. */
void page_inline_svg(text *out, const char *svg, size_t n, const char *prefix, const char *title);
void page_escape(text *out, const char *s, size_t n); /* & < > " ' */
#endif
