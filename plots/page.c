#include "plots/page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void page_free(page *p)
{
    for (size_t i = 0; i < p->n; i++) text_free(&p->blocks[i].words);
    free(p->blocks);
    memset(p, 0, sizeof *p);
}

static page_block *add(page *p, page_kind kind)
{
    if (p->failed) return NULL;
    page_block *more = realloc(p->blocks, (p->n + 1) * sizeof *more);
    if (!more) {
        p->failed = true;
        return NULL;
    }
    p->blocks = more;
    more[p->n] = (page_block){.kind = kind};
    return &more[p->n++];
}

__attribute__((format(printf, 3, 0))) static void words(page *p, text *t, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *s = n < 0 ? NULL : malloc((size_t)n + 1);
    if (s) {
        vsnprintf(s, (size_t)n + 1, fmt, again);
        text_put(t, s);
    }
    p->failed |= !s || t->failed;
    free(s);
    va_end(again);
}

void page_heading(page *p, const char *fmt, ...)
{
    va_list ap;
    page_block *b = add(p, PAGE_HEADING);
    va_start(ap, fmt);
    if (b) words(p, &b->words, fmt, ap);
    va_end(ap);
}

void page_text(page *p, const char *fmt, ...)
{
    va_list ap;
    page_block *b = add(p, PAGE_TEXT);
    va_start(ap, fmt);
    if (b) words(p, &b->words, fmt, ap);
    va_end(ap);
}

void page_callout(page *p, page_tone tone, const char *fmt, ...)
{
    va_list ap;
    page_block *b = add(p, PAGE_CALLOUT);
    va_start(ap, fmt);
    if (b) {
        b->tone = tone;
        words(p, &b->words, fmt, ap);
    }
    va_end(ap);
}

void page_code(page *p, const char *s)
{
    page_block *b = add(p, PAGE_CODE);
    if (b) text_put(&b->words, s);
}

void page_figure(page *p, const char *name, const char *title, const char *caption)
{
    page_block *b = add(p, PAGE_FIGURE);
    if (!b) return;
    snprintf(b->name, sizeof b->name, "%s", name);
    snprintf(b->title, sizeof b->title, "%s", title);
    text_put(&b->words, caption);
}

void page_table(page *p, const char *head)
{
    page_block *b = add(p, PAGE_TABLE);
    if (b) text_add(&b->words, "%s\t\n", head);
}

void page_cell(page *p, const char *fmt, ...)
{
    va_list ap;
    page_block *b = p->n ? &p->blocks[p->n - 1] : NULL;
    if (p->failed || !b || b->kind != PAGE_TABLE) return;
    size_t from = b->words.n;
    va_start(ap, fmt);
    words(p, &b->words, fmt, ap);
    va_end(ap);
    for (size_t i = from; i < b->words.n; i++) /* tabs and newlines are ours */
        if ((unsigned char)b->words.s[i] < 32) b->words.s[i] = ' ';
    text_put(&b->words, "\t");
}

void page_row(page *p)
{
    page_block *b = p->n ? &p->blocks[p->n - 1] : NULL;
    if (!p->failed && b && b->kind == PAGE_TABLE) text_put(&b->words, "\n");
}

void page_escape(text *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (s[i]) {
        case '&': text_put(out, "&amp;"); break;
        case '<': text_put(out, "&lt;"); break;
        case '>': text_put(out, "&gt;"); break;
        case '"': text_put(out, "&quot;"); break;
        case '\'': text_put(out, "&#39;"); break;
        default: text_putn(out, s + i, 1);
        }
    }
}
