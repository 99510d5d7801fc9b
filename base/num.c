#include "base/num.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool plain_decimal(const char *s)
{
    /* strtod also takes hex floats, nan(...) and leading blanks: keep to digits, sign, point, exponent. */
    if (!*s) return false;
    bool digit = false;
    for (const char *p = s; *p; p++) {
        if (isdigit((unsigned char)*p)) digit = true;
        else if (!strchr("+-.eE", *p)) return false;
    }
    return digit;
}

bool num_parse_f64(const char *text, double *out)
{
    if (!plain_decimal(text)) return false;
    char *end;
    errno = 0;
    double x = strtod(text, &end);
    if (*end || !isfinite(x)) return false;
    if (errno == ERANGE && x == 0.0) return false; /* underflow to zero is not the number that was written */
    *out = x;
    return true;
}

bool num_parse_i64(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    if (!plain_decimal(text)) return false;
    long long v = strtoll(text, &end, 10);
    if (!*end && !errno) {
        *out = v;
        return true;
    }
    double x;
    if (!num_parse_f64(text, &x) || x != floor(x) || fabs(x) > 0x1p53) return false;
    *out = (int64_t)x;
    return true;
}

bool num_is_nonfinite_word(const char *text)
{
    static const char *const words[] = {"nan", "inf", "infinity"};
    if (*text == '+' || *text == '-') text++;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i])) return true;
    return false;
}

const char *num_text(double x, char *buf)
{
    /* A normal double that has a name of 7 to 15 digits is printed by it with 15 (DBL_DIG), and below 1e6 it is not the
     * digits that decide whether %g writes an exponent. Plans of sweeps spend most of their time here. */
    const bool plain = fabs(x) < 1e6 && fabs(x) > 1e-300;
    for (int digits = 6; digits <= 17; digits = plain && digits == 6 ? 15 : digits + 1) {
        snprintf(buf, 32, "%.*g", digits, x);
        if (strtod(buf, NULL) == x) break;
    }
    return buf;
}

enum { MAX = 63 }; /* longest word that is compared */

static int edit_distance(const char *a, const char *b)
{
    int la = (int)strlen(a), lb = (int)strlen(b), row[MAX + 1];
    if (la > MAX || lb > MAX) return MAX;
    for (int j = 0; j <= lb; j++) row[j] = j;
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[lb];
}

const char *num_nearest_word(const char *word, const char *const *candidates, int n)
{
    const char *best = NULL;
    if (strlen(word) > MAX) return NULL;
    int limit = (int)strlen(word) / 3 + 1, best_d = limit + 1;
    for (int i = 0; i < n; i++) {
        int d = edit_distance(word, candidates[i]);
        if (d < best_d) best_d = d, best = candidates[i];
    }
    return best;
}
