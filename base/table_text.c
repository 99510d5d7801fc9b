/* Which reader a text belongs to, and what every text must be: UTF-8 without zero bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/readers.h"

static const text_reader *const readers[] = {&json_reader, &llmc_log_reader, &csv_reader};

/* Bytes of the UTF-8 sequence at p (RFC 3629: no overlong form, no surrogate, at most U+10FFFF), 0 when it is none. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    static const struct { unsigned char first, last, low, high; size_t n;
    } forms[] = {{0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                 {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
        if (*p < forms[k].first || *p > forms[k].last) continue;
        if (forms[k].n > left) return 0;
        if (forms[k].n > 1 && (p[1] < forms[k].low || p[1] > forms[k].high)) return 0;
        for (size_t i = 2; i < forms[k].n; i++)
            if (p[i] < 0x80 || p[i] > 0xbf) return 0;
        return forms[k].n;
    }
    return 0;
}

/* Where the text stops being UTF-8; n when nowhere. */
static size_t valid_until(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= 8) { /* plain ASCII, eight bytes at a time; zero bytes were looked for before */
            memcpy(&eight, text + i, 8);
            if (!(eight & 0x8080808080808080U)) {
                i += 8;
                continue;
            }
        }
        size_t k = utf8_sequence((const unsigned char *)text + i, n - i);
        if (!k) break;
        i += k;
    }
    return i;
}

static status check(const text_input *in, err *e)
{
    size_t line = 1, start = 0;
    if (in->n >= 2 && (!memcmp(in->text, "\xff\xfe", 2) || !memcmp(in->text, "\xfe\xff", 2)))
        return err_set(e, ST_INPUT, "%s: UTF-16; save it as UTF-8 (iconv -f utf-16 -t utf-8)", in->name);
    if (memchr(in->text, 0, in->n))
        return err_set(e, ST_INPUT,
                       "%s: not a text file; give a CSV, JSON or JSONL file, a campaign, run.h5 or campaign.h5",
                       in->name);
    size_t at = valid_until(in->text, in->n);
    if (at == in->n) return ST_OK;
    for (size_t i = 0; i < at; i++)
        if (in->text[i] == '\n') line++, start = i + 1;
    return err_set(e, ST_INPUT, "%s:%zu:%zu: byte 0x%02x is not UTF-8; convert the file (iconv -f latin1 -t utf-8)",
                   in->name, line, at - start + 1, (unsigned char)in->text[at]);
}

void text_plain_name(char *name)
{
    for (; *name; name++)
        if ((unsigned char)*name < 0x20 || *name == 0x7f) *name = ' ';
}

status text_read(table *t, const text_reader *r, const char *name, const char *text, size_t n, err *e)
{
    char sha256[IO_SHA256_HEX];
    if (!n) text = ""; /* may have come as NULL */
    text_input in = {.name = name, .text = text, .n = n, .sha256 = sha256};
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) in.text += 3, in.n -= 3;
    status s = check(&in, e);
    if (s) return s;
    io_sha256(sha256, text, n);
    for (size_t k = 0; !r; k++)
        if (readers[k]->looks(&in)) r = readers[k];
    size_t first = t->n_rows;
    s = r->read(t, &in, e);
    if (!s) wandb_note_sample(t, first);
    return s;
}

status table_parse(table *t, const char *name, const char *text, size_t n, err *e)
{
    return text_read(t, NULL, name, text, n, e);
}
