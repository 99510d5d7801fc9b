/* Matrix products of packed weights, after Goto & van de Geijn 2008 (ACM TOMS 34(3)): a register tile of K_MR x K_NV vectors, panels
 * of the weight that stay in the L1. The activations are read where they lie: their rows are short.
 *
 * pack: W (out, in) twice. For fwd as panels of NR outputs [in][NR]; for dgrad as panels of NR inputs [out][NR]; edges are padded
 * with zeros. Once per step and replica. */

enum { KC = 256, KC_W = 128 }; /* depth of a panel: KC * NR floats are 32 KB (v4) of a 48 KB L1; wgrad also streams its other side */

static size_t panels(size_t n) { return (n + NR - 1) / NR; }
static size_t pack_fwd_len(size_t out, size_t in) { return panels(out) * NR * in; }
static size_t pack_len(size_t out, size_t in) { return pack_fwd_len(out, in) + panels(in) * NR * out; }

static status pack(k_ctx *ctx, k_arr packed, k_in w, size_t R, size_t out, size_t in, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++) {
        const float *src = w.p + r * w.stride;
        float *fwd = packed.p + r * packed.stride, *bwd = fwd + pack_fwd_len(out, in);
        for (size_t j = 0; j < out; j += NR, fwd += NR * in) {
            size_t k = 0;
            if (j + NR <= out)
                for (; k + VL <= in; k += VL)
                    for (int v = 0; v < NV; v++) transpose(fwd + k * NR + v * VL, NR, src + (j + (size_t)v * VL) * in + k, in);
            for (; k < in; k++)
                for (size_t c = 0; c < NR; c++) fwd[k * NR + c] = j + c < out ? src[(j + c) * in + k] : 0;
        }
        for (size_t j = 0; j < in; j += NR)
            for (size_t k = 0; k < out; k++, bwd += NR)
                for (size_t c = 0; c < NR; c++) bwd[c] = j + c < in ? src[k * in + j + c] : 0;
    }
    return ST_OK;
}

/* acc (mr, nv vectors) = sum over k of a(i, k) * b(k, .); a(i, k) = a[i * row + k * step]. All loops but k unroll. */
INLINE void micro(const int mr, const int nv, vec acc[MR][NV], const float *a, size_t row, size_t step, const float *b, size_t ldb, size_t K)
{
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) acc[i][v] = (vec){0};
    for (size_t k = 0; k < K; k++) {
        vec bk[NV];
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) bk[v] = ld(b + k * ldb + (size_t)v * VL);
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) {
            const vec x = splat(a[(size_t)i * row + k * step]);
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) acc[i][v] += x * bk[v];
        }
    }
}

/* What becomes of a finished tile t = alpha * acc. The *_ADD forms first add what earlier depth blocks left in c. */
typedef enum tail { PUT, ADD, GELU, GELU_ADD, MUL, MUL_ADD } tail;
typedef struct side { float *out2; const float *coef; } side; /* GELU: slope; MUL: factor; laid out like c; c itself where unused */
INLINE side no_side(float *c) { return (side){c, c}; }

INLINE void finish(const tail how, float *c, side s, vec t)
{
    if (how == ADD || how == GELU_ADD || how == MUL_ADD) t += ld(c);
    if (how == GELU || how == GELU_ADD) {
        vec slope;
        t = vgelu(t, &slope);
        st(s.out2, slope);
    }
    if (how == MUL || how == MUL_ADD) t *= ld(s.coef);
    st(c, t);
}

INLINE side side_at(side s, size_t at) { return (side){s.out2 + at, s.coef + at}; }

/* alpha is read when the tile is done: kept in a register through the loop it would push an operand onto the stack (v3 has 16
 * registers and needs them all). Hence volatile. */
INLINE void full_tile(const tail how, float *c, size_t ldc, side s, const float *a, size_t row, size_t step, const float *b, size_t ldb,
                      size_t K, const volatile float *alpha)
{
    vec acc[MR][NV];
    /* the tile is wanted a thousand cycles from now: time enough for its lines to come from the L3 */
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
        for (int v = 0; v < NR; v += 16) {
            __builtin_prefetch(c + (size_t)i * ldc + v, 1);
            if (how == MUL || how == MUL_ADD) __builtin_prefetch(s.coef + (size_t)i * ldc + v);
        }
    micro(MR, NV, acc, a, row, step, b, ldb, K);
    const float k = *alpha;
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            const size_t at = (size_t)i * ldc + (size_t)v * VL;
            finish(how, c + at, side_at(s, at), acc[i][v] * k);
        }
}

INLINE void rows_to(float *tmp, const int mr, const float *a, size_t row, size_t step, const float *b, size_t ldb, size_t K, float alpha)
{
    vec acc[MR][NV];
    micro(mr, NV, acc, a, row, step, b, ldb, K);
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) st(tmp + (size_t)i * NR + (size_t)v * VL, acc[i][v] * alpha);
}

/* Any tile of up to MR rows into tmp (MR, NR). */
static void some_rows(float *tmp, size_t mr, const float *a, size_t row, size_t step, const float *b, size_t ldb, size_t K, float alpha)
{
    switch (mr) {
#define ROWS(n) case n: if (n <= MR) rows_to(tmp, n <= MR ? n : 1, a, row, step, b, ldb, K, alpha); break;
    ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8)
#undef ROWS
    default: break;
    }
}

static void edge_tile(tail how, float *c, size_t ldc, side s, const float *a, size_t row, size_t step, const float *b, size_t ldb, size_t K,
                      float alpha, size_t mr, size_t nr)
{
    float tmp[MR * NR] __attribute__((aligned(K_ALIGN)));
    some_rows(tmp, mr, a, row, step, b, ldb, K, alpha);
    for (size_t i = 0; i < mr; i++)
        for (size_t j = 0; j < nr; j += VL) {
            const size_t n = nr - j < VL ? nr - j : VL, at = i * ldc + j;
            vec t = ld(tmp + i * NR + j), slope;
            if (how == ADD || how == GELU_ADD || how == MUL_ADD) t += ld_part(c + at, n, 0);
            if (how == GELU || how == GELU_ADD) {
                t = vgelu(t, &slope);
                st_part(s.out2 + at, slope, n);
            }
            if (how == MUL || how == MUL_ADD) t *= ld_part(s.coef + at, n, 0);
            st_part(c + at, t, n);
        }
}

/* c (n, N) = a (n, K) * panels, one depth block of kc. */
INLINE void block(const tail how, float *c, size_t ldc, side s, const float *a, size_t lda, const float *b, size_t depth, size_t n,
                  size_t kc, size_t N, float alpha)
{
    const volatile float late = alpha;
    const size_t share = (kc * NR * MR / n + 15) / 16 * 16; /* of the next panel, fetched into the L2 beside each tile */
    for (size_t j = 0; j < N; j += NR, b += NR * depth) {
        const size_t nr = N - j < NR ? N - j : NR;
        size_t i = 0;
        if (nr == NR)
            for (const float *next = b + NR * depth; i + MR <= n; i += MR, next += share) {
                if (j + NR < N)
                    for (size_t f = 0; f < share; f += 16) __builtin_prefetch(next + f, 0, 2);
                if (j == 0 && i + 2 * MR <= n) /* later panels find the rows in the L2 */
                    for (size_t x = 0; x < MR; x++)
                        for (size_t f = 0; f < kc; f += 16) __builtin_prefetch(a + (i + MR + x) * lda + f);
                full_tile(how, c + i * ldc + j, ldc, side_at(s, i * ldc + j), a + i * lda, lda, 1, b, NR, kc, &late);
            }
        for (; i < n; i += MR)
            edge_tile(how, c + i * ldc + j, ldc, side_at(s, i * ldc + j), a + i * lda, lda, 1, b, NR, kc, alpha, n - i < MR ? n - i : MR, nr);
    }
}

static void block_put(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t depth, size_t n, size_t kc, size_t N, float alpha)
{
    block(PUT, c, ldc, no_side(c), a, lda, b, depth, n, kc, N, alpha);
}

static void block_add(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t depth, size_t n, size_t kc, size_t N, float alpha)
{
    block(ADD, c, ldc, no_side(c), a, lda, b, depth, n, kc, N, alpha);
}

static void block_gelu(bool add, float *c, size_t ldc, side s, const float *a, size_t lda, const float *b, size_t depth, size_t n, size_t kc,
                       size_t N, float alpha)
{
    if (add) block(GELU_ADD, c, ldc, s, a, lda, b, depth, n, kc, N, alpha);
    else block(GELU, c, ldc, s, a, lda, b, depth, n, kc, N, alpha);
}

static void block_mul(bool add, float *c, size_t ldc, side s, const float *a, size_t lda, const float *b, size_t depth, size_t n, size_t kc,
                      size_t N, float alpha)
{
    if (add) block(MUL_ADD, c, ldc, s, a, lda, b, depth, n, kc, N, alpha);
    else block(MUL, c, ldc, s, a, lda, b, depth, n, kc, N, alpha);
}

/* c (n, N) [+]= alpha * a (n, K) * packed panels of depth K. how: PUT, ADD, GELU or MUL. */
static void gemm(tail how, float *c, size_t ldc, side s, const float *a, size_t lda, const float *b, size_t n, size_t K, size_t N, float alpha)
{
    const size_t blocks = (K + KC - 1) / KC, step = (K + blocks - 1) / blocks;
    for (size_t k = 0; k < K; k += step) {
        const size_t kc = K - k < step ? K - k : step;
        const bool last = k + kc == K, add = k > 0 || how == ADD;
        const float *ak = a + k, *bk = b + k * NR;
        if (last && how == GELU) block_gelu(add, c, ldc, s, ak, lda, bk, K, n, kc, N, alpha);
        else if (last && how == MUL) block_mul(add, c, ldc, s, ak, lda, bk, K, n, kc, N, alpha);
        else if (add) block_add(c, ldc, ak, lda, bk, K, n, kc, N, alpha);
        else block_put(c, ldc, ak, lda, bk, K, n, kc, N, alpha);
    }
}

static const float *fwd_panels(const k_weight *w, size_t r) { return w->packed.p + r * w->packed.stride; }
static const float *bwd_panels(const k_weight *w, size_t r, const k_mm *s)
{
    return fwd_panels(w, r) + pack_fwd_len(s->out, s->in);
}

static status matmul_fwd(k_ctx *ctx, k_arr y, k_in x, k_weight w, const real *alpha, bool acc, const k_mm *s, err *e)
{
    if (!w.packed.p) return k_matmul_fwd_cpu(ctx, y, x, w, alpha, acc, s, e);
    for (size_t r = 0; r < s->R; r++)
        gemm(acc ? ADD : PUT, y.p + r * y.stride, s->ldy, no_side(y.p), x.p + r * x.stride, s->ldx, fwd_panels(&w, r), s->n, s->in, s->out,
             k_scalar(alpha, r));
    return ST_OK;
}

static status matmul_dgrad(k_ctx *ctx, k_arr dx, k_in dy, k_weight w, const real *alpha, bool acc, const k_mm *s, err *e)
{
    if (!w.packed.p) return k_matmul_dgrad_cpu(ctx, dx, dy, w, alpha, acc, s, e);
    for (size_t r = 0; r < s->R; r++)
        gemm(acc ? ADD : PUT, dx.p + r * dx.stride, s->ldx, no_side(dx.p), dy.p + r * dy.stride, s->ldy, bwd_panels(&w, r, s), s->n, s->out,
             s->in, k_scalar(alpha, r));
    return ST_OK;
}

static status matmul_gelu_fwd(k_ctx *ctx, k_arr y, k_arr coef, k_in x, k_weight w, const real *alpha, const k_mm *s, err *e)
{
    (void)ctx;
    if (!w.packed.p) return err_set(e, ST_DEVICE, "matmul_gelu_fwd: weights are not packed");
    for (size_t r = 0; r < s->R; r++)
        gemm(GELU, y.p + r * y.stride, s->ldy, (side){coef.p + r * coef.stride, coef.p}, x.p + r * x.stride, s->ldx, fwd_panels(&w, r), s->n,
             s->in, s->out, k_scalar(alpha, r));
    return ST_OK;
}

static status matmul_dgrad_mul(k_ctx *ctx, k_arr dx, k_in dy, k_weight w, k_in coef, const real *alpha, const k_mm *s, err *e)
{
    (void)ctx;
    if (!w.packed.p) return err_set(e, ST_DEVICE, "matmul_dgrad_mul: weights are not packed");
    for (size_t r = 0; r < s->R; r++)
        gemm(MUL, dx.p + r * dx.stride, s->ldx, (side){dx.p, coef.p + r * coef.stride}, dy.p + r * dy.stride, s->ldy, bwd_panels(&w, r, s),
             s->n, s->out, s->in, k_scalar(alpha, r));
    return ST_OK;
}

/* The weight gradient reads both sides down their columns. x is copied together in panels: rows that lie a power of two apart would
 * fight for the same lines of the L1. dy is read in place, MR floats of a row at a time; the model gives its rows a stride that is
 * no power of two (model_plan.c).
 * Whichever side is narrower stays near: with few outputs one panel of x meets all of dy; with many (the head) a strip of dy that
 * fits the L1 meets all panels, and the next strip is fetched meanwhile, because nothing in hardware follows KC_W streams. */
enum { JB = 512, STRIP = 4 * MR };

static void copy_panel(float *dst, const float *src, size_t ld_src, size_t kc, size_t n)
{
    if (n == NR) {
        for (size_t k = 0; k < kc; k++) memcpy(dst + k * NR, src + k * ld_src, NR * sizeof *dst);
    } else {
        for (size_t k = 0; k < kc; k++)
            for (size_t c = 0; c < NR; c++) dst[k * NR + c] = c < n ? src[k * ld_src + c] : 0;
    }
}

INLINE void wgrad_tiles(float *dw, size_t ldw, size_t out, size_t nr, const float *dy, size_t ldy, const float *panel, size_t kc, float alpha,
                        const float *next, size_t lines)
{
    const volatile float late = alpha;
    size_t o = 0;
    if (nr == NR)
        for (; o + MR <= out; o += MR) {
            for (size_t f = 0; f < lines; f++, next += ldy) __builtin_prefetch(next), __builtin_prefetch(next + STRIP - 1);
            full_tile(ADD, dw + o * ldw, ldw, no_side(dw), dy + o, 1, ldy, panel, NR, kc, &late);
        }
    for (; o < out; o += MR) edge_tile(ADD, dw + o * ldw, ldw, no_side(dw), dy + o, 1, ldy, panel, NR, kc, alpha, out - o < MR ? out - o : MR, nr);
}

/* Few outputs: panel by panel. */
static void wgrad_narrow(float *dw, const float *dy, const float *x, size_t kc, const k_mm *s, float alpha, float *panel)
{
    for (size_t j = 0; j < s->in; j += NR) {
        const size_t nr = s->in - j < NR ? s->in - j : NR;
        copy_panel(panel, x + j, s->ldx, kc, nr);
        wgrad_tiles(dw + j, s->in, s->out, nr, dy, s->ldy, panel, kc, alpha, dy, 0);
    }
}

/* Many outputs: strip by strip, over at most JB columns of x. */
static void wgrad_wide(float *dw, const float *dy, const float *x, size_t kc, const k_mm *s, float alpha, float *panel)
{
    for (size_t j0 = 0; j0 < s->in; j0 += JB) {
        const size_t in = s->in - j0 < JB ? s->in - j0 : JB, lines = kc * NR / in / 4;
        for (size_t j = 0; j < in; j += NR) copy_panel(panel + j * kc, x + j0 + j, s->ldx, kc, in - j < NR ? in - j : NR);
        for (size_t o = 0; o < s->out; o += STRIP) {
            const size_t rows = s->out - o < STRIP ? s->out - o : STRIP, more = o + 2 * STRIP <= s->out ? lines : 0;
            for (size_t j = 0; j < in; j += NR)
                wgrad_tiles(dw + o * s->in + j0 + j, s->in, rows, in - j < NR ? in - j : NR, dy + o, s->ldy, panel + j * kc, kc, alpha,
                            dy + o + STRIP + j / NR * 4 * more * s->ldy, more);
        }
    }
}

static status matmul_wgrad(k_ctx *ctx, k_arr dw, k_in dy, k_in x, const real *alpha, const k_mm *s, err *e)
{
    (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t k = 0; k < s->n; k += KC_W)
            (s->out > 2 * s->in ? wgrad_wide : wgrad_narrow)(dw.p + r * dw.stride, dy.p + r * dy.stride + k * s->ldy,
                                                             x.p + r * x.stride + k * s->ldx, s->n - k < KC_W ? s->n - k : KC_W, s,
                                                             k_scalar(alpha, r), (float *)ctx->scratch);
    return ST_OK;
}

static size_t mm_scratch(const k_mm *s)
{
    const size_t in = s->in < JB ? s->in : JB;
    return KC_W * (in + NR) * sizeof(float);
}
