/* The page as one HTML file: no script, no reference to anything outside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "plots/page.h"

enum { SVG_LIMIT = 64 << 20 };

static const char css[] =
    "body{font:16px/1.5 system-ui,'DejaVu Sans',Verdana,sans-serif;color:#222;background:#fff;max-width:62rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.6rem;margin:0 0 1rem}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;border-bottom:1px solid #ddd;padding-bottom:.2rem}"
    "table{border-collapse:collapse;margin:.8rem 0;font-size:.9rem;display:block;overflow-x:auto}"
    "th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid #eee;vertical-align:top;font-variant-numeric:tabular-nums}"
    "th{border-bottom:1px solid #999;font-weight:600}"
    "td.n{white-space:nowrap}"
    "figure{margin:1.2rem 0}figcaption{font-size:.85rem;color:#555;max-width:46rem}"
    "svg{width:100%;height:auto;display:block}svg text{font-family:'DejaVu Sans',Verdana,sans-serif}"
    "pre{background:#f6f6f6;padding:.6rem .8rem;font-size:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".c{padding:.7rem 1rem;border-left:.4rem solid #777;background:#f4f4f4;margin:1rem 0}"
    ".good{border-color:#009E73;background:#eef8f4}.bad{border-color:#D55E00;background:#fdf1e8}";

static bool looks_like_number(const char *s, size_t n) { return n && n < 40 && (strchr("+-0123456789[", s[0]) || !strncmp(s, "−", 3)); }

static void table(text *out, const char *cells)
{
    bool head = true;
    text_put(out, "<table>\n");
    while (*cells) {
        size_t line = strcspn(cells, "\n");
        const char *end = cells + line;
        text_put(out, head ? "<thead><tr>" : "<tr>");
        while (cells < end) {
            size_t n = strcspn(cells, "\t\n");
            text_put(out, head ? "<th>" : looks_like_number(cells, n) ? "<td class=\"n\">" : "<td>");
            page_escape(out, cells, n);
            text_put(out, head ? "</th>" : "</td>");
            cells += n + (cells[n] == '\t');
        }
        text_put(out, head ? "</tr></thead>\n" : "</tr>\n");
        head = false;
        cells = end + (*end == '\n');
    }
    text_put(out, "</table>\n");
}

static status figure(text *out, const page_block *b, const char *dir, size_t number, err *e)
{
    char path[IO_PATH_MAX], file[96], prefix[32], *svg = NULL;
    size_t n = 0;
    snprintf(file, sizeof file, "figures/%s.svg", b->name);
    snprintf(prefix, sizeof prefix, "f%zu", number);
    status s = io_join(path, dir, file, e);
    if (!s) s = io_read_file(&svg, &n, path, SVG_LIMIT, e);
    if (s) return s;
    text_put(out, "<figure>\n");
    page_inline_svg(out, svg, n, prefix, b->title);
    text_put(out, "\n<figcaption><b>");
    page_escape(out, b->title, strlen(b->title));
    text_add(out, "</b> (figures/%s.*)</figcaption>\n</figure>\n", b->name);
    free(svg);
    return ST_OK;
}

static void element(text *out, const char *open, const text *words, const char *close)
{
    text_put(out, open);
    page_escape(out, text_str(words), words->n);
    text_put(out, close);
}

status page_html(text *out, const page *p, const char *dir, err *e)
{
    static const char *const tones[] = {[TONE_GOOD] = "<p class=\"c good\">", [TONE_BAD] = "<p class=\"c bad\">", [TONE_PLAIN] = "<p class=\"c\">"};
    status s = ST_OK;
    text_put(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    page_escape(out, p->title, strlen(p->title));
    text_add(out, "</title>\n<style>%s</style></head><body>\n<h1>", css);
    page_escape(out, p->title, strlen(p->title));
    text_put(out, "</h1>\n");
    for (size_t i = 0; i < p->n && !s; i++) {
        const page_block *b = &p->blocks[i];
        switch (b->kind) {
        case PAGE_HEADING: element(out, "<h2>", &b->words, "</h2>\n"); break;
        case PAGE_TEXT: element(out, "<p>", &b->words, "</p>\n"); break;
        case PAGE_CALLOUT: element(out, tones[b->tone], &b->words, "</p>\n"); break;
        case PAGE_CODE: element(out, "<pre>", &b->words, "</pre>\n"); break;
        case PAGE_TABLE: table(out, text_str(&b->words)); break;
        case PAGE_FIGURE: s = figure(out, b, dir, i, e); break;
        }
    }
    text_put(out, "</body></html>\n");
    return s ? s : out->failed || p->failed ? err_set(e, ST_NOMEM, "no memory for the report") : ST_OK;
}
