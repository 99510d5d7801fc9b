/* gnuplot's SVG inside a page. Not an XML parser: it knows what gnuplot writes, and copies character data as it is (gnuplot
 * escapes it). */
#include <stdio.h>
#include <string.h>

#include "plots/page.h"

static const char *find(const char *s, const char *end, const char *what)
{
    return s < end ? memmem(s, (size_t)(end - s), what, strlen(what)) : NULL;
}

/* Copies one tag, s..end excluding '>', renaming ids. */
static void copy_tag(text *out, const char *s, const char *end, const char *prefix)
{
    while (s < end) {
        size_t left = (size_t)(end - s);
        static const struct { const char *from, *to; } swaps[] = {
            {" id='", " id='"}, {" id=\"", " id=\""}, {"xlink:href='#", "href='#"}, {"xlink:href=\"#", "href=\"#"}, {"url(#", "url(#"}};
        size_t k = 0, n_swaps = sizeof swaps / sizeof *swaps;
        while (k < n_swaps && (left < strlen(swaps[k].from) || memcmp(s, swaps[k].from, strlen(swaps[k].from)))) k++;
        if (k == n_swaps) {
            text_putn(out, s++, 1);
            continue;
        }
        text_add(out, "%s%s-", swaps[k].to, prefix);
        s += strlen(swaps[k].from);
    }
}

void page_inline_svg(text *out, const char *svg, size_t n, const char *prefix, const char *title)
{
    const char *end = svg + n, *s = find(svg, end, "<svg"), *box = find(svg, end, "viewBox=\"");
    double w = 0, h = 0;
    if (!s || !box || sscanf(box, "viewBox=\"0 0 %lf %lf", &w, &h) != 2) return;
    text_add(out, "<svg viewBox=\"0 0 %.0f %.0f\" style=\"max-width:%.0fpx\" role=\"img\"><title>", w, h, w * 1.35);
    page_escape(out, title, strlen(title));
    text_put(out, "</title>");
    s = find(s, end, ">");
    s = s ? s + 1 : end;
    while (s < end) {
        const char *open = memchr(s, '<', (size_t)(end - s));
        if (!open) open = end;
        text_putn(out, s, (size_t)(open - s));
        if (open == end) break;
        const char *skip = !strncmp(open, "<title>", 7) ? "</title>" : !strncmp(open, "<desc>", 6) ? "</desc>" : NULL;
        const char *close = find(open, end, skip ? skip : ">");
        if (!close) break;
        if (!skip) {
            copy_tag(out, open, close, prefix);
            text_put(out, ">");
        }
        s = close + (skip ? strlen(skip) : 1);
    }
}
