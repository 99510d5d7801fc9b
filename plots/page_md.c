/* The page as Markdown (tables as in GitHub's), figures by reference. */
#include <string.h>

#include "plots/page.h"

/* What Markdown or HTML would take for its own. */
static void escape(text *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strchr("\\`*_[]<>|#", s[i]) && s[i]) text_put(out, "\\");
        text_putn(out, s + i, 1);
    }
}

static void table(text *out, const char *cells)
{
    bool head = true;
    while (*cells) {
        size_t line = strcspn(cells, "\n"), columns = 0;
        const char *end = cells + line;
        text_put(out, "|");
        while (cells < end) {
            size_t n = strcspn(cells, "\t\n");
            text_put(out, " ");
            escape(out, cells, n);
            text_put(out, " |");
            columns++;
            cells += n + (cells[n] == '\t');
        }
        text_put(out, "\n");
        if (head) {
            text_put(out, "|");
            while (columns--) text_put(out, " --- |");
            text_put(out, "\n");
        }
        head = false;
        cells = end + (*end == '\n');
    }
    text_put(out, "\n");
}

/* A fence longer than any run of backquotes inside. */
static void code(text *out, const text *words)
{
    size_t longest = 2, run = 0;
    for (size_t i = 0; i < words->n; i++) {
        run = words->s[i] == '`' ? run + 1 : 0;
        if (run > longest) longest = run;
    }
    for (size_t i = 0; i <= longest; i++) text_put(out, "`");
    text_add(out, "\n%s\n", text_str(words));
    for (size_t i = 0; i <= longest; i++) text_put(out, "`");
    text_put(out, "\n\n");
}

void page_markdown(text *out, const page *p)
{
    text_put(out, "# ");
    escape(out, p->title, strlen(p->title));
    text_put(out, "\n\n");
    for (size_t i = 0; i < p->n; i++) {
        const page_block *b = &p->blocks[i];
        const char *s = text_str(&b->words);
        switch (b->kind) {
        case PAGE_HEADING:
            text_put(out, "## ");
            escape(out, s, b->words.n);
            text_put(out, "\n\n");
            break;
        case PAGE_CALLOUT:
            text_put(out, "> ");
            escape(out, s, b->words.n);
            text_put(out, "\n\n");
            break;
        case PAGE_TEXT:
            escape(out, s, b->words.n);
            text_put(out, "\n\n");
            break;
        case PAGE_CODE: code(out, &b->words); break;
        case PAGE_TABLE: table(out, s); break;
        case PAGE_FIGURE:
            text_add(out, "![%s](figures/%s.svg)\n\n", b->title, b->name);
            break;
        }
    }
}
