#include "tests/kernels/check.h"

static const real MARK = (real)-12345.678;

enum { KEPT = 4096 };
static void *kept[KEPT];
static size_t n_kept;

void *keep(void *p)
{
    cr_assert_not_null(p);
    cr_assert_lt(n_kept, KEPT);
    return kept[n_kept++] = p;
}

buf buf_new(size_t R, size_t len, double std, uint64_t seed)
{
    const size_t line = K_ALIGN / sizeof(real);
    buf b = {.R = R, .len = len, .stride = (len + line - 1) / line * line + line};
    const size_t total = 2 * GUARD + R * b.stride;
    b.base = keep(aligned_alloc(K_ALIGN, (total * sizeof(real) + K_ALIGN - 1) / K_ALIGN * K_ALIGN));
    b.p = b.base + GUARD;
    for (size_t i = 0; i < total; i++) b.base[i] = MARK;
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < len; i++)
            b.p[r * b.stride + i] = (real)(std * rng_normal(seed, RNG_TEST, (uint32_t)r, i));
    return b;
}

void buf_free(buf *b)
{
    for (size_t i = 0; i < n_kept; i++)
        if (kept[i] == b->base) kept[i--] = kept[--n_kept];
    free(b->base);
    b->base = b->p = NULL;
}

bool buf_intact(const buf *b)
{
    for (size_t i = 0; i < GUARD; i++)
        if (b->base[i] != MARK || b->p[b->R * b->stride + i] != MARK) return false;
    for (size_t r = 0; r < b->R; r++)
        for (size_t i = b->len; i < b->stride; i++)
            if (b->p[r * b->stride + i] != MARK) return false;
    return true;
}

buf buf_copy(const buf *b)
{
    buf c = buf_new(b->R, b->len, 0, 0);
    memcpy(c.p, b->p, b->R * b->stride * sizeof(real));
    return c;
}

double weighted(const buf *y, const buf *w)
{
    double sum = 0;
    for (size_t r = 0; r < y->R; r++)
        for (size_t i = 0; i < y->len; i++) sum += (double)y->p[r * y->stride + i] * (double)w->p[r * w->stride + i];
    return sum;
}

double worst(const buf *a, const buf *b)
{
    double max = 0, sum = 0;
    for (size_t r = 0; r < a->R; r++)
        for (size_t i = 0; i < a->len; i++) {
            const double x = (double)a->p[r * a->stride + i], y = (double)b->p[r * b->stride + i];
            if (isnan(x) && isnan(y)) continue;
            if (!(fabs(x - y) <= max)) max = fabs(x - y); /* NaN on one side stays visible */
            sum += y * y;
        }
    return max / (sqrt(sum / (double)(a->R * a->len)) + 1e-30);
}

int32_t *ids_new(size_t n, size_t vocab, uint64_t seed)
{
    int32_t *x = keep(malloc(n * sizeof *x));
    for (size_t i = 0; i < n; i++) x[i] = (int32_t)rng_below(vocab, seed, RNG_TEST, 9, i);
    return x;
}

double grad_error(scalar_fn f, void *self, const buf *x, const buf *analytic)
{
    double sum = 0, max = 0;
    for (size_t r = 0; r < x->R; r++)
        for (size_t i = 0; i < x->len; i++) sum += pow((double)analytic->p[r * x->stride + i], 2);
    const double rms = sqrt(sum / (double)(x->R * x->len)) + 1e-12;
    const size_t n = x->R * x->len, jump = n / 48 + 1;
    for (size_t k = 0; k < n; k += jump) {
        real *at = x->p + k / x->len * x->stride + k % x->len;
        const double g = (double)analytic->p[at - x->p], h = 1e-5 * (1 + fabs((double)*at));
        const real old = *at;
        *at = (real)((double)old + h);
        const double up = f(self);
        *at = (real)((double)old - h);
        const double down = f(self);
        *at = old;
        max = fmax(max, fabs((up - down) / (2 * h) - g) / rms);
    }
    return max;
}
