/* Causal attention in register tiles, after Dao et al. 2022 (arXiv:2205.14135): a block of query rows at a time,
 * scores never leave the caches. Per head, rows are first copied together and padded (q, k, v, dout to whole vectors;
 * k and v also transposed into panels of NR keys), so that every product below is `micro` of gemm.h. Key panels
 * wholly above the diagonal are skipped; the panel on it is halved where half suffices. */

enum { QB = 64 / MR * MR }; /* query rows of a backward block: P and dS of the block are QB * T floats each */

typedef struct dims { size_t T, Tp, Tk, D, Dp; } dims; /* Tp: rows padded to MR; Tk: to NR; Dp: head_dim padded to VL */

static size_t round_up(size_t n, size_t k) { return (n + k - 1) / k * k; }

static dims dims_of(const k_attn *s)
{
    const size_t Tp = round_up(s->T, MR);
    return (dims){s->T, Tp, round_up(Tp, NR), s->head_dim, round_up(s->head_dim, VL)};
}

/* Room for the backward pass; the forward pass needs less. */
static size_t attn_scratch(const k_attn *s)
{
    const dims d = dims_of(s);
    return sizeof(float) * (2 * d.Tk * d.Dp + 5 * d.Tp * d.Dp + 2 * QB * d.Tk + 2 * round_up(d.Tp, VL)) + 16 * K_ALIGN;
}

static float *carve(float **at, size_t n)
{
    float *p = *at;
    *at += round_up(n, K_ALIGN / sizeof(float));
    return p;
}

/* dst (Tp, Dp) = src (T, D) row stride ld; zeros around it. */
static void gather(float *dst, const float *src, size_t ld_src, const dims *d)
{
    for (size_t t = 0; t < d->T; t++, dst += d->Dp, src += ld_src)
        for (size_t c = 0; c < d->Dp; c += VL)
            st(dst + c, c + VL <= d->D ? ld(src + c) : ld_part(src + c, d->D - c, 0));
    memset(dst, 0, (d->Tp - d->T) * d->Dp * sizeof *dst);
}

/* Panels (Tk/NR)[Dp][NR] of the rows (Tp, Dp) that gather made; keys from Tp on are zero. */
static void to_panels(float *dst, const float *rows, const dims *d)
{
    for (size_t j = 0; j < d->Tk; j += VL) {
        float *at = dst + j / NR * NR * d->Dp + j % NR;
        float pad[VL * VL];
        for (size_t c = 0; c < d->Dp; c += VL) {
            if (j + VL <= d->Tp) {
                transpose(at + c * NR, NR, rows + j * d->Dp + c, d->Dp);
            } else {
                for (size_t i = 0; i < VL; i++)
                    st(pad + i * VL, j + i < d->Tp ? ld(rows + (j + i) * d->Dp + c) : (vec){0});
                transpose(at + c * NR, NR, pad, VL);
            }
        }
    }
}

/* out (MR, NR or its half) = scale * rows of a (row stride lda) times one panel. */
INLINE void score_tile(const int nv, float *out, size_t ldo, const float *a, size_t lda, const float *panel, size_t K,
                       const volatile float *scale)
{
    vec acc[MR][NV];
    micro(MR, nv, acc, a, lda, 1, panel, NR, K);
    const float k = *scale; /* late: see full_tile */
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) st(out + (size_t)i * ldo + v * VL, acc[i][v] * k);
}

/* Scores of MR query rows against keys 0 .. n-1. */
static void scores(float *s, const float *q, const float *kt, size_t n, float scale, const dims *d)
{
    const volatile float late = scale;
    size_t j = 0;
    for (; j + VL < n; j += NR) score_tile(NV, s + j, d->Tk, q, d->Dp, kt + j * d->Dp, d->Dp, &late);
    if (j < n) score_tile(1, s + j, d->Tk, q, d->Dp, kt + j * d->Dp, d->Dp, &late);
}

/* Row t: scores of keys 0..t become exp(s - max), keys t+1 .. n-1 become 0. Returns 1/sum. */
INLINE float softmax_row(float *s, size_t t, size_t n, float *lse)
{
    const size_t whole = (t + 1) / VL * VL, rest = t + 1 - whole;
    const veci in_row = lanes() < (veci){0} + (int32_t)rest;
    vec m = splat(-INFINITY), sum = {0};
    for (size_t j = 0; j < whole; j += VL) m = vmax(ld(s + j), m);
    if (rest) m = vmax(pick(in_row, ld(s + whole), m), m);
    const float max = max_lanes(m);
    for (size_t j = 0; j < whole; j += VL) {
        const vec p = vexp(ld(s + j) - max);
        st(s + j, p);
        sum += p;
    }
    size_t j = whole;
    if (rest) {
        const vec p = pick(in_row, vexp(ld(s + j) - max), (vec){0});
        st(s + j, p);
        sum += p;
        j += VL;
    }
    for (; j < n; j += VL) st(s + j, (vec){0});
    const float z = sum_lanes(sum);
    *lse = max + (float)log((double)z);
    return 1 / z;
}

/* out (rows of D, row stride ldo, `rows` of them) = factor[i] * (a . b); a (MR rows, row stride lda), b (K, Dp). */
INLINE void product_tile(const int nv, float *out, size_t ldo, size_t rows, size_t width, const float *a, size_t lda,
                         const float *b, size_t ldb, size_t K, const float *factor)
{
    vec acc[MR][NV];
    micro(MR, nv, acc, a, lda, 1, b, ldb, K);
    if (rows == MR && width == (size_t)nv * VL) {
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) st(out + (size_t)i * ldo + v * VL, acc[i][v] * factor[i]);
    } else {
        float tmp[MR * NR];
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) st(tmp + i * NR + v * VL, acc[i][v] * factor[i]);
        for (size_t i = 0; i < rows; i++) memcpy(out + i * ldo, tmp + i * NR, width * sizeof *out);
    }
}

static void product(float *out, size_t ldo, size_t rows, const float *a, size_t lda, const float *b, size_t K,
                    const float *factor, const dims *d)
{
    for (size_t c = 0; c < d->D; c += NR) {
        const size_t width = d->D - c < NR ? d->D - c : NR;
        if (width > VL) product_tile(NV, out + c, ldo, rows, width, a, lda, b + c, d->Dp, K, factor);
        else product_tile(1, out + c, ldo, rows, width, a, lda, b + c, d->Dp, K, factor);
    }
}

static void head_fwd(float *o, size_t ldo, float *lse, const float *q, const float *kt, const float *v, float *s,
                     float scale, const dims *d)
{
    for (size_t t = 0; t < d->T; t += MR) {
        const size_t rows = d->T - t < MR ? d->T - t : MR, n = t + MR;
        float inv[MR] = {0};
        scores(s, q + t * d->Dp, kt, n, scale, d);
        for (size_t i = 0; i < rows; i++) inv[i] = softmax_row(s + i * d->Tk, t + i, n, lse + t + i);
        product(o + t * ldo, ldo, rows, s, d->Tk, v, t + rows, inv, d);
    }
}

static status attn_fwd(k_ctx *ctx, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale, const k_attn *s,
                       err *e)
{
    (void)e;
    const dims d = dims_of(s);
    const size_t D = s->head_dim, group = s->n_head / s->n_kv_head;
    float *at = (float *)ctx->scratch;
    float *kt = carve(&at, d.Tk * d.Dp), *qp = carve(&at, d.Tp * d.Dp), *vp = carve(&at, d.Tp * d.Dp),
          *sp = carve(&at, QB * d.Tk);
    for (size_t r = 0; r < s->R; r++)
        for (size_t b = 0; b < s->B; b++)
            for (size_t h = 0; h < s->n_head; h++) {
                const size_t row = b * s->T * s->ld;
                if (h % group == 0) {
                    gather(qp, k.p + r * k.stride + row + h / group * D, s->ld, &d);
                    to_panels(kt, qp, &d);
                    gather(vp, v.p + r * v.stride + row + h / group * D, s->ld, &d);
                }
                gather(qp, q.p + r * q.stride + row + h * D, s->ld, &d);
                head_fwd(o.p + r * o.stride + b * s->T * s->ldo + h * D, s->ldo,
                         lse.p + r * lse.stride + (b * s->n_head + h) * s->T, qp, kt, vp, sp, k_scalar(scale, r), &d);
            }
    return ST_OK;
}

/* What a head's backward pass works with; see attn_bwd for the shapes. */
typedef struct head {
    const float *kt, *vt, *k, *q, *dout, *lse, *delta;
    float *p, *ds, *dk, *dv;
    float scale;
} head;

/* p holds scores of one tile of MR rows from row t, keys from j: make P and dS of it. */
INLINE void ds_tile(const int nv, const head *w, float *p, float *ds, size_t t, size_t j, const dims *d)
{
    vec acc[MR][NV];
    micro(MR, nv, acc, w->dout + t * d->Dp, d->Dp, 1, w->vt + j * d->Dp, NR, d->Dp);
    const bool diagonal = j + (size_t)nv * VL > t;
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            const size_t at = (size_t)i * d->Tk + j + (size_t)v * VL;
            vec x = vexp(ld(p + at) - w->lse[t + (size_t)i]);
            if (diagonal) {
                const int32_t last = (int32_t)(t + (size_t)i) - (int32_t)(j + (size_t)v * VL);
                x = pick(lanes() <= (veci){0} + last, x, (vec){0});
            }
            st(p + at, x);
            st(ds + at, x * (acc[i][v] - w->delta[t + (size_t)i]) * w->scale);
        }
}

/* P and dS of MR rows from t (their place in the block: `row`), and their dq. */
static void rows_bwd(const head *w, float *dq, size_t ld_dq, size_t t, size_t row, const dims *d)
{
    static const float one[MR] = {1, 1, 1, 1,
#if K_MR > 4
                                  1, 1,
#endif
#if K_MR > 6
                                  1, 1,
#endif
    };
    float *p = w->p + row * d->Tk, *ds = w->ds + row * d->Tk;
    const size_t n = t + MR, rows = d->T - t < MR ? d->T - t : MR;
    scores(p, w->q + t * d->Dp, w->kt, n, w->scale, d);
    size_t j = 0;
    for (; j + VL < n; j += NR) ds_tile(NV, w, p, ds, t, j, d);
    if (j < n) ds_tile(1, w, p, ds, t, j, d);
    product(dq, ld_dq, rows, ds, d->Tk, w->k, n < d->Tp ? n : d->Tp, one, d);
}

/* c (MR, Dp) += a^T b over K rows; a's columns from `a`, row stride Tk. */
INLINE void outer_tile(const int nv, float *c, const float *a, const float *b, size_t K, const dims *d)
{
    vec acc[MR][NV];
    micro(MR, nv, acc, a, 1, d->Tk, b, d->Dp, K);
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            float *at = c + (size_t)i * d->Dp + v * VL;
            st(at, ld(at) + acc[i][v]);
        }
}

static void outer(float *c, const float *a, const float *b, size_t K, const dims *d)
{
    size_t x = 0;
    for (; x + VL < d->Dp; x += NR) outer_tile(NV, c + x, a, b + x, K, d);
    if (x < d->Dp) outer_tile(1, c + x, a, b + x, K, d);
}

static void head_bwd(const head *w, float *dq, size_t ld_dq, const dims *d)
{
    for (size_t t0 = 0; t0 < d->Tp; t0 += QB) {
        const size_t end = t0 + QB < d->Tp ? t0 + QB : d->Tp;
        for (size_t t = t0; t < end; t += MR) rows_bwd(w, dq + t * ld_dq, ld_dq, t, t - t0, d);
        for (size_t j = 0; j < end; j += MR) { /* keys; rows before the key see it not */
            const size_t first = j > t0 ? j : t0, at = (first - t0) * d->Tk + j;
            outer(w->dv + j * d->Dp, w->p + at, w->dout + first * d->Dp, end - first, d);
            outer(w->dk + j * d->Dp, w->ds + at, w->q + first * d->Dp, end - first, d);
        }
    }
}

static void scatter(float *dst, size_t ld_dst, const float *rows, const dims *d)
{
    for (size_t t = 0; t < d->T; t++) memcpy(dst + t * ld_dst, rows + t * d->Dp, d->D * sizeof *dst);
}

static status attn_bwd(k_ctx *ctx, k_act dq, k_act dk, k_act dv, k_cact dout, k_cact q, k_cact k, k_cact v, k_cact o, k_in lse,
                       k_mult scale, const k_attn *s, err *e)
{
    (void)e;
    const dims d = dims_of(s);
    const size_t D = s->head_dim, group = s->n_head / s->n_kv_head;
    float *at = (float *)ctx->scratch;
    float *kt = carve(&at, d.Tk * d.Dp), *vt = carve(&at, d.Tk * d.Dp), *kp = carve(&at, d.Tp * d.Dp),
          *qp = carve(&at, d.Tp * d.Dp);
    float *gp = carve(&at, d.Tp * d.Dp), *dkp = carve(&at, d.Tp * d.Dp), *dvp = carve(&at, d.Tp * d.Dp),
          *p = carve(&at, QB * d.Tk);
    float *ds = carve(&at, QB * d.Tk), *ls = carve(&at, d.Tp), *delta = carve(&at, d.Tp);
    for (size_t r = 0; r < s->R; r++)
        for (size_t b = 0; b < s->B; b++)
            for (size_t h = 0; h < s->n_head; h++) {
                const size_t row = b * s->T * s->ld, kv = row + h / group * D, out = b * s->T * s->ldo + h * D;
                const float *g = dout.p + r * dout.stride + out, *oh = o.p + r * o.stride + out;
                if (h % group == 0) {
                    gather(qp, v.p + r * v.stride + kv, s->ld, &d);
                    to_panels(vt, qp, &d);
                    gather(kp, k.p + r * k.stride + kv, s->ld, &d);
                    to_panels(kt, kp, &d);
                    memset(dkp, 0, d.Tp * d.Dp * sizeof *dkp);
                    memset(dvp, 0, d.Tp * d.Dp * sizeof *dvp);
                }
                gather(qp, q.p + r * q.stride + row + h * D, s->ld, &d);
                gather(gp, g, s->ldo, &d);
                memset(ls, 0, d.Tp * sizeof *ls);
                memset(delta, 0, d.Tp * sizeof *delta);
                memcpy(ls, lse.p + r * lse.stride + (b * s->n_head + h) * s->T, s->T * sizeof *ls);
                for (size_t t = 0; t < s->T; t++) delta[t] = row_dot(g + t * s->ldo, oh + t * s->ldo, D);
                const head w = {kt, vt, kp, qp, gp, ls, delta, p, ds, dkp, dvp, k_scalar(scale, r)};
                head_bwd(&w, dq.p + r * dq.stride + row + h * D, s->ld, &d);
                if (h % group == group - 1) {
                    scatter(dk.p + r * dk.stride + kv, s->ld, dkp, &d);
                    scatter(dv.p + r * dv.stride + kv, s->ld, dvp, &d);
                }
            }
    return ST_OK;
}
