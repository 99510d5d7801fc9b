#include "tests/kernels/gpu.h"

enum { EDGE = 2 * K_ALIGN_DEVICE };      /* bytes of guard before the first and after the last replica */
static const uint16_t NAN_WORD = 0x7fc1; /* a NaN as bf16, and as either half of a float */

static uint32_t bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint16_t to_half(float x)
{
    const uint32_t u = bits(x);
    if (x != x) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float gpu_bf16(float x) { return from_bits((uint32_t)to_half(x) << 16); }

void gpu_round(const gpu *g, buf *host)
{
    if (!g->half) return;
    for (size_t r = 0; r < host->R; r++)
        for (size_t i = 0; i < host->len; i++) {
            real *at = &host->p[r * host->stride + i];
            *at = gpu_bf16(*at);
        }
}

status gpu_open(gpu *g, const char *name, size_t scratch)
{
    memset(g, 0, sizeof *g);
    status s = k_backend_ready(name, &g->e);
    if (!s) s = k_backend(&g->ops, name, &g->e);
    if (!s) s = g->ops->ctx_new(&g->ctx, scratch, &g->e);
    if (s) return s;
    g->half = g->ops->act_bytes == 2;
    cr_assert_not_null(g->ops->device, "%s has no memory of its own", name);
    return ST_OK;
}

void gpu_release(gpu *g)
{
    GPU_OK(g, g->ops->device->sync(g->ctx, &g->e));
    for (size_t i = 0; i < g->n_owned; i++) g->ops->device->mem_free(g->ctx, g->owned[i]);
    g->n_owned = 0;
}

void gpu_close(gpu *g)
{
    gpu_release(g);
    g->ops->ctx_free(g->ctx);
}

void gpu_each(gpu_fn f, size_t scratch)
{
    static const char *const names[] = {"cuda-fp32", "cuda"};
    for (size_t i = 0; i < 2; i++) {
        gpu *g = keep(calloc(1, sizeof *g));
        const status s = gpu_open(g, names[i], scratch);
        if (s == ST_DEVICE) cr_skip("%s", g->e.msg);
        cr_assert_eq(s, ST_OK, "%s", g->e.msg);
        f(g);
        gpu_close(g);
    }
}

static void *own(gpu *g, size_t bytes)
{
    void *p = NULL;
    cr_assert_lt(g->n_owned, sizeof g->owned / sizeof *g->owned, "too many device buffers: gpu_release");
    GPU_OK(g, g->ops->device->mem_new(g->ctx, &p, bytes, &g->e));
    cr_assert_eq((uintptr_t)p % K_ALIGN_DEVICE, 0);
    return g->owned[g->n_owned++] = p;
}

void *gpu_put(gpu *g, const void *from, size_t bytes)
{
    void *p = own(g, bytes);
    if (from) GPU_OK(g, g->ops->device->upload(g->ctx, p, from, bytes, &g->e));
    GPU_OK(g, g->ops->device->sync(g->ctx, &g->e)); /* `from` may be gone afterwards */
    return p;
}

void gpu_take(gpu *g, void *to, const void *from, size_t bytes)
{
    GPU_OK(g, g->ops->device->download(g->ctx, to, from, bytes, &g->e));
    GPU_OK(g, g->ops->device->sync(g->ctx, &g->e));
}

k_mult gpu_mult(gpu *g, const real *a, size_t R) { return (k_mult){gpu_put(g, a, R * sizeof *a), a}; }

static size_t total(const gbuf *b) { return 2 * EDGE + b->R * b->stride * b->size; }

static gbuf shaped(size_t R, size_t len, size_t size)
{
    const size_t line = K_ALIGN_DEVICE / size;
    return (gbuf){.R = R, .len = len, .stride = (len + line - 1) / line * line + line, .size = size};
}

static void store(void *image, const gbuf *b, size_t i, real x)
{
    char *at = (char *)image + EDGE + i * b->size;
    const float f = (float)x;
    const uint16_t h = to_half(f);
    memcpy(at, b->size == 2 ? (const void *)&h : (const void *)&f, b->size);
}

static gbuf upload(gpu *g, const buf *host, size_t size)
{
    gbuf b = shaped(host->R, host->len, size);
    const size_t bytes = total(&b);
    char *image = malloc(bytes);
    cr_assert_not_null(image);
    for (size_t i = 0; i < bytes; i += 2) memcpy(image + i, &NAN_WORD, 2);
    for (size_t r = 0; r < b.R; r++)
        for (size_t i = 0; i < b.len; i++) store(image, &b, r * b.stride + i, host->p[r * host->stride + i]);
    b.base = gpu_put(g, image, bytes);
    b.p = b.base + EDGE;
    free(image);
    return b;
}

gbuf gpu_real(gpu *g, const buf *host) { return upload(g, host, sizeof(real)); }

gbuf gpu_act(gpu *g, buf *host)
{
    gpu_round(g, host);
    return upload(g, host, g->ops->act_bytes);
}

static bool guarded(const char *image, size_t from, size_t to)
{
    for (size_t i = from; i < to; i += 2)
        if (memcmp(image + i, &NAN_WORD, 2) != 0) return false;
    return true;
}

buf gpu_get(gpu *g, const gbuf *b)
{
    const size_t bytes = total(b);
    char *image = malloc(bytes);
    cr_assert_not_null(image);
    gpu_take(g, image, b->base, bytes);
    cr_assert(guarded(image, 0, EDGE) && guarded(image, bytes - EDGE, bytes), "%s: written outside its bounds",
              g->ops->name);
    buf out = buf_new(b->R, b->len, 0, 0);
    for (size_t r = 0; r < b->R; r++) {
        const char *row = image + EDGE + r * b->stride * b->size;
        cr_assert(guarded(row, b->len * b->size, b->stride * b->size), "%s: written between replicas %zu and %zu",
                  g->ops->name, r, r + 1);
        for (size_t i = 0; i < b->len; i++) {
            uint16_t h;
            float f;
            memcpy(&h, row + i * b->size, sizeof h);
            if (b->size == 2) f = from_bits((uint32_t)h << 16);
            else memcpy(&f, row + i * b->size, sizeof f);
            out.p[r * out.stride + i] = f;
        }
    }
    free(image);
    return out;
}

double gpu_off(const buf *got, const buf *want, bool half)
{
    double sum = 0, worst_off = 0;
    cr_assert(got->R == want->R && got->len == want->len, "buffers of different shapes");
    for (size_t r = 0; r < want->R; r++)
        for (size_t i = 0; i < want->len; i++) {
            const double y = (double)want->p[r * want->stride + i];
            if (isfinite(y)) sum += y * y;
        }
    const double rms = sqrt(sum / (double)(want->R * want->len)) + 1e-30;
    for (size_t r = 0; r < want->R; r++)
        for (size_t i = 0; i < want->len; i++) {
            const double x = (double)got->p[r * got->stride + i], y = (double)want->p[r * want->stride + i];
            if ((isnan(x) && isnan(y)) || x == y) continue;
            const double off = fabs(x - y) / (half ? fabs(y) / 256 + 1e-4 * rms : 1e-5 * (fabs(y) + rms));
            if (isnan(off)) return INFINITY;
            if (off > worst_off) worst_off = off;
        }
    return worst_off;
}

gbuf gpu_alone(gpu *g, const gbuf *b, size_t r)
{
    buf all = gpu_get(g, b), one = buf_new(1, b->len, 0, 0);
    memcpy(one.p, all.p + r * all.stride, b->len * sizeof *one.p);
    const gbuf out = upload(g, &one, b->size);
    buf_free(&all), buf_free(&one);
    return out;
}

bool gpu_same(gpu *g, const gbuf *a, size_t r, const gbuf *b, size_t q)
{
    buf x = gpu_get(g, a), y = gpu_get(g, b);
    const bool same = a->len == b->len && memcmp(x.p + r * x.stride, y.p + q * y.stride, a->len * sizeof *x.p) == 0;
    buf_free(&x), buf_free(&y);
    return same;
}
