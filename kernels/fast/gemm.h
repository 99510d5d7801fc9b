/* Matrix products in register tiles, after Goto & van de Geijn 2008 (ACM TOMS 34(3)): a tile of K_MR rows by K_NV
 * vectors, and panels of the weight, NR columns wide and at most KC deep, that stay in the L1 while all rows pass.
 * The rows are read where they lie. */

enum { KC = 256 }; /* KC * NR floats are 32 KB (v4) of a 48 KB L1 */

/* acc (mr, nv vectors) = sum over k of a(i, k) * b(k, .); a(i, k) = a[i * row + k * step]. All loops but k unroll. */
INLINE void micro(const int mr, const int nv, vec acc[MR][NV], const float *a, size_t row, size_t step,
                  const float *b, size_t ldb, size_t K)
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
typedef struct side {
    float *out2;
    const float *coef;
} side; /* GELU: slope; MUL: factor; laid out like c; c itself where unused */
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

/* alpha is read when the tile is done: kept in a register through the loop it would push an operand onto the stack
 * (v3 has 16 registers and needs them all). Hence volatile. */
INLINE void full_tile(const tail how, float *c, size_t ldc, side s, const float *a, size_t row, size_t step,
                      const float *b, size_t ldb, size_t K, const volatile float *alpha)
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

INLINE void rows_to(float *tmp, const int mr, const float *a, size_t row, size_t step, const float *b, size_t ldb,
                    size_t K, float alpha)
{
    vec acc[MR][NV];
    micro(mr, NV, acc, a, row, step, b, ldb, K);
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) st(tmp + (size_t)i * NR + (size_t)v * VL, acc[i][v] * alpha);
}

/* Any tile of up to MR rows into tmp (MR, NR). */
static void some_rows(float *tmp, size_t mr, const float *a, size_t row, size_t step, const float *b, size_t ldb,
                      size_t K, float alpha)
{
    switch (mr) {
#define ROWS(n) case n: if (n <= MR) rows_to(tmp, n <= MR ? n : 1, a, row, step, b, ldb, K, alpha); break;
    ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8)
#undef ROWS
    default: break;
    }
}

static void edge_tile(tail how, float *c, size_t ldc, side s, const float *a, size_t row, size_t step, const float *b,
                      size_t ldb, size_t K, float alpha, size_t mr, size_t nr)
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

/* Columns of a row-major matrix copied together as one panel [kc][NR], zeros beyond n. Rows that lie a power of two
 * apart would fight for the same lines of the L1. */
static void copy_panel(float *dst, const float *src, size_t ld_src, size_t kc, size_t n)
{
    if (n == NR) {
        for (size_t k = 0; k < kc; k++) memcpy(dst + k * NR, src + k * ld_src, NR * sizeof *dst);
    } else {
        for (size_t k = 0; k < kc; k++)
            for (size_t c = 0; c < NR; c++) dst[k * NR + c] = c < n ? src[k * ld_src + c] : 0;
    }
}

typedef struct gemm_in { /* c (n, N) [+]= alpha * a (n, K) * b (K, N) */
    float *c;
    size_t ldc;
    side s;
    const float *a;
    size_t lda;
    const float *b; /* ldb 0: packed panels [K][NR] one after the other; else row-major, copied to `panel` on the way */
    size_t ldb;
    float *panel;   /* KC * NR floats, only for ldb > 0 */
    size_t n, K, N;
    float alpha;
} gemm_in;

/* The part of panel j that is fetched into the L2 beside tile i of the panel before: nothing in hardware foresees the
 * jump. */
INLINE void fetch_panel(const gemm_in *g, size_t j, size_t k, size_t kc, size_t i)
{
    const size_t tiles = (g->n + MR - 1) / MR, t = i / MR, from = kc * t / tiles, to = kc * (t + 1) / tiles;
    const float *p = g->ldb ? g->b + k * g->ldb + j : g->b + j * g->K + k * NR;
    const size_t row = g->ldb ? g->ldb : NR;
    for (size_t x = from; x < to; x++)
        for (size_t f = 0; f < NR; f += 16) __builtin_prefetch(p + x * row + f, 0, 2);
}

INLINE void fetch_rows(const gemm_in *g, size_t i, size_t k, size_t kc)
{
    for (size_t x = 0; x < MR; x++)
        for (size_t f = 0; f < kc; f += 16) __builtin_prefetch(g->a + (i + x) * g->lda + k + f);
}

/* Depths k .. k + kc - 1. */
INLINE void block(const tail how, const gemm_in *g, size_t k, size_t kc)
{
    const volatile float late = g->alpha;
    const float *a = g->a + k;
    for (size_t j = 0; j < g->N; j += NR) {
        const size_t nr = g->N - j < NR ? g->N - j : NR;
        const float *b = g->b + j * g->K + k * NR;
        size_t i = 0;
        if (g->ldb) {
            copy_panel(g->panel, g->b + k * g->ldb + j, g->ldb, kc, nr);
            b = g->panel;
        }
        if (nr == NR)
            for (; i + MR <= g->n; i += MR) {
                if (j + 2 * NR <= g->N) fetch_panel(g, j + NR, k, kc, i);
                if (j == 0 && i + 2 * MR <= g->n)
                    fetch_rows(g, i + MR, k, kc); /* later panels find the rows in the L2 */
                full_tile(how, g->c + i * g->ldc + j, g->ldc, side_at(g->s, i * g->ldc + j), a + i * g->lda, g->lda,
                          1, b, NR, kc, &late);
            }
        for (; i < g->n; i += MR)
            edge_tile(how, g->c + i * g->ldc + j, g->ldc, side_at(g->s, i * g->ldc + j), a + i * g->lda, g->lda, 1, b,
                      NR, kc, g->alpha, g->n - i < MR ? g->n - i : MR, nr);
    }
}

/* Each form of the tail is its own code: the tests on `how` vanish. */
static void block_put(const gemm_in *g, size_t k, size_t kc) { block(PUT, g, k, kc); }
static void block_add(const gemm_in *g, size_t k, size_t kc) { block(ADD, g, k, kc); }
static void block_gelu(const gemm_in *g, size_t k, size_t kc) { block(GELU, g, k, kc); }
static void block_gelu_add(const gemm_in *g, size_t k, size_t kc) { block(GELU_ADD, g, k, kc); }
static void block_mul(const gemm_in *g, size_t k, size_t kc) { block(MUL, g, k, kc); }
static void block_mul_add(const gemm_in *g, size_t k, size_t kc) { block(MUL_ADD, g, k, kc); }

/* how: PUT, ADD, GELU or MUL. GELU and MUL act when the last depth has been added. */
static void gemm(tail how, const gemm_in *g)
{
    const size_t blocks = (g->K + KC - 1) / KC, step = (g->K + blocks - 1) / blocks;
    for (size_t k = 0; k < g->K; k += step) {
        const size_t kc = g->K - k < step ? g->K - k : step;
        const bool last = k + kc == g->K, add = k > 0 || how == ADD;
        if (last && how == GELU) (add ? block_gelu_add : block_gelu)(g, k, kc);
        else if (last && how == MUL) (add ? block_mul_add : block_mul)(g, k, kc);
        else (add ? block_add : block_put)(g, k, kc);
    }
}
