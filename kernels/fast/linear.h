/* The products of a linear layer by gemm.h. Forward wants W transposed: `pack` does that once per step, as panels of
 * NR outputs [in][NR], zeros beyond the last. The data gradient reads W as it lies; its panels are copied on the way.
 */

enum { KC_W = 128 }; /* rows summed at once into a weight gradient: its panel and a strip of dy share the L1 */

static size_t panels(size_t n) { return (n + NR - 1) / NR; }
static size_t pack_len(size_t out, size_t in) { return panels(out) * NR * in; }

static status pack(k_ctx *ctx, k_arr packed, k_in w, size_t R, size_t out, size_t in, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++) {
        const float *src = w.p + r * w.stride;
        float *dst = packed.p + r * packed.stride;
        for (size_t j = 0; j < out; j += NR, dst += NR * in) {
            size_t k = 0;
            if (j + NR <= out)
                for (; k + VL <= in; k += VL)
                    for (int v = 0; v < NV; v++)
                        transpose(dst + k * NR + v * VL, NR, src + (j + (size_t)v * VL) * in + k, in);
            for (; k < in; k++)
                for (size_t c = 0; c < NR; c++) dst[k * NR + c] = j + c < out ? src[(j + c) * in + k] : 0;
        }
    }
    return ST_OK;
}

/* y = alpha * x W^T of replica r. */
static gemm_in fwd_of(float *y, k_cact x, const k_weight *w, k_mult alpha, const k_mm *s, size_t r)
{
    return (gemm_in){.c = y,
                     .ldc = s->ldy,
                     .s = no_side(y),
                     .a = x.p + r * x.stride,
                     .lda = s->ldx,
                     .b = w->packed.p + r * w->packed.stride,
                     .n = s->n,
                     .K = s->in,
                     .N = s->out,
                     .alpha = k_scalar(alpha, r)};
}

/* dx = alpha * dy W of replica r. */
static gemm_in dgrad_of(const k_ctx *ctx, float *dx, k_cact dy, const k_weight *w, k_mult alpha, const k_mm *s,
                        size_t r)
{
    return (gemm_in){.c = dx,
                     .ldc = s->ldx,
                     .s = no_side(dx),
                     .a = dy.p + r * dy.stride,
                     .lda = s->ldy,
                     .b = w->w.p + r * w->w.stride,
                     .ldb = s->in,
                     .panel = (float *)ctx->scratch,
                     .n = s->n,
                     .K = s->out,
                     .N = s->in,
                     .alpha = k_scalar(alpha, r)};
}

static status matmul_fwd(k_ctx *ctx, k_act y, k_cact x, k_weight w, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    if (!w.packed.p) return k_matmul_fwd_cpu(ctx, y, x, w, alpha, acc, s, e);
    for (size_t r = 0; r < s->R; r++) {
        const gemm_in g = fwd_of(y.p + r * y.stride, x, &w, alpha, s, r);
        gemm(acc ? ADD : PUT, &g);
    }
    return ST_OK;
}

static status matmul_dgrad(k_ctx *ctx, k_act dx, k_cact dy, k_weight w, k_mult alpha, bool acc, const k_mm *s,
                           err *e)
{
    (void)e;
    for (size_t r = 0; r < s->R; r++) {
        const gemm_in g = dgrad_of(ctx, dx.p + r * dx.stride, dy, &w, alpha, s, r);
        gemm(acc ? ADD : PUT, &g);
    }
    return ST_OK;
}

static status matmul_gelu_fwd(k_ctx *ctx, k_act y, k_act coef, k_cact x, k_weight w, k_mult alpha, const k_mm *s,
                              err *e)
{
    (void)ctx;
    if (!w.packed.p) return err_set(e, ST_DOMAIN, "matmul_gelu_fwd: weights are not packed");
    for (size_t r = 0; r < s->R; r++) {
        gemm_in g = fwd_of(y.p + r * y.stride, x, &w, alpha, s, r);
        g.s.out2 = coef.p + r * coef.stride;
        gemm(GELU, &g);
    }
    return ST_OK;
}

static status matmul_dgrad_mul(k_ctx *ctx, k_act dx, k_cact dy, k_weight w, k_cact coef, k_mult alpha, const k_mm *s,
                               err *e)
{
    (void)e;
    for (size_t r = 0; r < s->R; r++) {
        gemm_in g = dgrad_of(ctx, dx.p + r * dx.stride, dy, &w, alpha, s, r);
        g.s.coef = coef.p + r * coef.stride;
        gemm(MUL, &g);
    }
    return ST_OK;
}

/* The weight gradient reads both sides down their columns. x is copied together in panels. dy is read in place, MR
 * floats of a row at a time; the model gives its rows a stride that is no power of two (model_plan.c). Whichever side
 * is narrower stays near: with few outputs one panel of x meets all of dy; with many (the head) a strip of dy that
 * fits the L1 meets all panels, and the next strip is fetched meanwhile, because nothing in hardware follows KC_W
 * streams. */
enum { JB = 512, STRIP = 4 * MR };

INLINE void wgrad_tiles(float *dw, size_t ldw, size_t out, size_t nr, const float *dy, size_t ldy, const float *panel,
                        size_t kc, float alpha, const float *next, size_t lines)
{
    const volatile float late = alpha;
    size_t o = 0;
    if (nr == NR)
        for (; o + MR <= out; o += MR) {
            for (size_t f = 0; f < lines; f++, next += ldy)
                __builtin_prefetch(next), __builtin_prefetch(next + STRIP - 1);
            full_tile(ADD, dw + o * ldw, ldw, no_side(dw), dy + o, 1, ldy, panel, NR, kc, &late);
        }
    for (; o < out; o += MR)
        edge_tile(ADD, dw + o * ldw, ldw, no_side(dw), dy + o, 1, ldy, panel, NR, kc, alpha,
                  out - o < MR ? out - o : MR, nr);
}

/* Few outputs: panel by panel. */
static void wgrad_narrow(float *dw, const float *dy, const float *x, size_t kc, const k_mm *s, float alpha,
                         float *panel)
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
        for (size_t j = 0; j < in; j += NR)
            copy_panel(panel + j * kc, x + j0 + j, s->ldx, kc, in - j < NR ? in - j : NR);
        for (size_t o = 0; o < s->out; o += STRIP) {
            const size_t rows = s->out - o < STRIP ? s->out - o : STRIP, more = o + 2 * STRIP <= s->out ? lines : 0;
            for (size_t j = 0; j < in; j += NR)
                wgrad_tiles(dw + o * s->in + j0 + j, s->in, rows, in - j < NR ? in - j : NR, dy + o, s->ldy,
                            panel + j * kc, kc, alpha, dy + o + STRIP + j / NR * 4 * more * s->ldy, more);
        }
    }
}

static status matmul_wgrad(k_ctx *ctx, k_arr dw, k_cact dy, k_cact x, k_mult alpha, bool acc, const k_mm *s, err *e)
{
    (void)e;
    for (size_t r = 0; r < s->R && !acc; r++) memset(dw.p + r * dw.stride, 0, s->out * s->in * sizeof(float));
    for (size_t r = 0; r < s->R; r++)
        for (size_t k = 0; k < s->n; k += KC_W)
            (s->out > 2 * s->in ? wgrad_wide : wgrad_narrow)(
                dw.p + r * dw.stride, dy.p + r * dy.stride + k * s->ldy, x.p + r * x.stride + k * s->ldx,
                s->n - k < KC_W ? s->n - k : KC_W, s, k_scalar(alpha, r), (float *)ctx->scratch);
    return ST_OK;
}

static size_t mm_scratch(const k_mm *s)
{
    const size_t in = s->in < JB ? s->in : JB;
    const size_t n = KC_W * (in + NR), m = KC * NR; /* wgrad, dgrad */
    return (n > m ? n : m) * sizeof(float);
}
