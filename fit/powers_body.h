/* fit_powers_sum and the sums of variable projection on vectors; included once per level by fit/powers_v*.c.
 *
 * Rows go in blocks through three small loops: exp of every term, then what a row needs (log, residual, weights of
 * the terms), then the products. One loop for all would have too long a chain from exp to product to keep the units
 * busy. */
enum { BLOCK = 256, MAX_TERMS = FIT_POWERS_TERMS, COORDS = FIT_POWERS_COORDS, HESS = FIT_POWERS_HESS };
static const double EXP_LOW = -700, EXP_HIGH = 700, KEPT = 100; /* a term e^-100 of the largest is nothing */

/* A block: w[j] terms, later their shares of L^ (the floor's last); t and s as in fit/powers.c. */
typedef struct block {
    vec w[MAX_TERMS + 1][BLOCK / VL], t[BLOCK / VL], s[BLOCK / VL];
} block;

typedef struct totals { vec f, g[COORDS], h[HESS]; } totals;

/* exp(a - p z), through the clamp: below it only terms that vanish beside others. */
INLINE void exp_term(vec *out, double a, double p, const double *z, size_t nv)
{
    for (size_t v = 0; v < nv; v++) out[v] = vexp_normal(vmax(a - p * ld(z + v * VL), splat(EXP_LOW)));
}

/* nv whole vectors of rows. shift was taken off every exponent. */
INLINE vec look(block *b, const fit_powers *k, const int nt, const bool floor, const int order, double e_floor,
                double shift, size_t at, size_t nv)
{
    const bool natural = k->natural, gauss = k->gauss;
    vec total = {0};
    for (size_t v = 0; v < nv; v++) {
        const size_t i = at + v * VL;
        vec sum = floor ? splat(e_floor) : b->w[0][v];
#pragma GCC unroll 4
        for (int j = floor ? 0 : 1; j < nt; j++) sum += b->w[j][v];
        const vec inverse = 1.0 / sum, weight = k->weight ? ld(k->weight + i) : splat(1);
        const vec predicted = natural ? sum : (vec)(vlog_normal(sum) + shift);
        const vec r = ld(k->target + i) - predicted, size = vabs(r);
        const vec scale = weight * if_less(r, splat(0), splat(k->below), splat(k->scale));
        const vec inside = vmin(size, splat(k->delta));
        total += scale * inside * (size - 0.5 * inside);
        if (order < 1) continue;
        const vec psi = scale * vmax(-inside, vmin(r, inside));
        b->t[v] = natural ? (vec)(psi * sum) : psi;
        const vec beyond = gauss ? (vec)(scale * (k->delta / size)) : splat(0);
        const vec curv = if_less(splat(k->delta), size, beyond, scale);
        if (order > 1) b->s[v] = natural ? (vec)(curv * sum * sum) : gauss ? curv : (vec)(curv + psi);
#pragma GCC unroll 4
        for (int j = 0; j < nt; j++) b->w[j][v] *= inverse;
        if (floor) b->w[nt][v] = e_floor * inverse;
    }
    return total;
}

/* Place of (a, b), a <= b, in the upper triangle by rows of order n. */
INLINE int place(int a, int b, const int n) { return a * n - a * (a - 1) / 2 + b - a; }

/* Adds a block's products. With shares w, columns z and c = (1, -z) the slopes of a term: gradient -t w c; Hessian s
 * w_j w_l c_j c_l', and -t w_j c_j c_j' within a term. */
INLINE void add_products(totals *x, const block *b, const fit_powers *k, const int nt, const bool floor,
                         const int order, size_t at, size_t nv)
{
    const int nc = 2 * nt + floor;
    const double second = k->gauss ? 0 : 1;
    vec g[COORDS] = {{0}}, h[HESS] = {{0}};
    for (size_t v = 0; v < nv; v++) {
        const vec t = b->t[v], s = order > 1 ? b->s[v] : t;
        vec w[MAX_TERMS + 1], z[MAX_TERMS];
#pragma GCC unroll 8
        for (int j = 0; j < nt + floor; j++) w[j] = b->w[j][v];
#pragma GCC unroll 8
        for (int j = 0; j < nt; j++) z[j] = ld(k->z[j] + at + v * VL);
#pragma GCC unroll 8
        for (int j = 0; j < nt + floor; j++) {
            const vec tw = t * w[j];
            g[2 * j] -= tw;
            if (j < nt) g[2 * j + 1] += tw * z[j];
            if (order < 2) continue;
            const vec sw = s * w[j], own = sw * w[j] - second * tw;
            h[place(2 * j, 2 * j, nc)] += own;
            if (j < nt) {
                const vec oz = own * z[j];
                h[place(2 * j, 2 * j + 1, nc)] -= oz;
                h[place(2 * j + 1, 2 * j + 1, nc)] += oz * z[j];
            }
#pragma GCC unroll 8
            for (int l = j + 1; l < nt + floor; l++) {
                const vec both = sw * w[l], bz = both * z[j];
                h[place(2 * j, 2 * l, nc)] += both;
                h[place(2 * j + 1, 2 * l, nc)] -= bz;
                if (l < nt) {
                    h[place(2 * j, 2 * l + 1, nc)] -= both * z[l];
                    h[place(2 * j + 1, 2 * l + 1, nc)] += bz * z[l];
                }
            }
        }
    }
    const int nh = order > 1 ? nc * (nc + 1) / 2 : 0;
#pragma GCC unroll 64
    for (int a = 0; a < nc; a++) x->g[a] += g[a];
#pragma GCC unroll 64
    for (int a = 0; a < nh; a++) x->h[a] += h[a];
}

INLINE void add_block(totals *x, block *b, const fit_powers *k, const int nt, const bool floor, const int order,
                      double e_floor, double shift, size_t at, size_t nv)
{
#pragma GCC unroll 8
    for (int j = 0; j < nt; j++) exp_term(b->w[j], k->a[j] - shift, k->p[j], k->z[j] + at, nv);
    x->f += look(b, k, nt, floor, order, e_floor, shift, at, nv);
    if (order > 0) add_products(x, b, k, nt, floor, order, at, nv);
}

/* The rows beyond the last whole vector, as one vector whose other rows weigh nothing. */
typedef struct rest { fit_powers k; double z[MAX_TERMS][VL], target[VL], weight[VL]; } rest;

static void rest_make(rest *r, const fit_powers *k, size_t at)
{
    const size_t n = k->n - at;
    r->k = *k;
    for (size_t j = 0; j < k->n_terms; j++) {
        st(r->z[j], ld_part(k->z[j] + at, n, k->z_lo[j]));
        r->k.z[j] = r->z[j];
    }
    st(r->target, ld_part(k->target + at, n, 0));
    for (size_t i = 0; i < VL; i++) r->weight[i] = i >= n ? 0 : k->weight ? k->weight[at + i] : 1;
    r->k.target = r->target;
    r->k.weight = r->weight;
}

INLINE void add_all(totals *x, const fit_powers *k, const int nt, const bool floor, const int order, double shift)
{
    block b;
    rest r;
    const double e_floor = floor ? exp(fmax(k->floor - shift, EXP_LOW)) : 0;
    const size_t whole = k->n / VL;
    if (whole * VL < k->n) rest_make(&r, k, whole * VL);
    for (size_t v = 0, nv; v * VL < k->n; v += nv) {
        const bool last = v == whole;
        nv = last ? 1 : whole - v < BLOCK / VL ? whole - v : BLOCK / VL;
        add_block(x, &b, last ? &r.k : k, nt, floor, order, e_floor, shift, last ? 0 : v * VL, nv);
    }
}

/* One function per shape of law and number of derivatives, so that sums stay in registers. */
#define SHAPE(nt, floor)                                                                          \
    static void sum_##nt##_##floor(totals *x, const fit_powers *k, int order, double shift)       \
    {                                                                                             \
        if (order == 0) add_all(x, k, nt, floor, 0, shift);                                       \
        else if (order == 1) add_all(x, k, nt, floor, 1, shift);                                  \
        else add_all(x, k, nt, floor, 2, shift);                                                  \
    }
SHAPE(1, 0)
SHAPE(2, 0)
SHAPE(3, 0)
SHAPE(4, 0)
SHAPE(0, 1)
SHAPE(1, 1)
SHAPE(2, 1)
SHAPE(3, 1)
typedef void shape_fn(totals *x, const fit_powers *k, int order, double shift);

static shape_fn *shape_of(const fit_powers *k)
{
    static shape_fn *const shapes[2][MAX_TERMS + 1] = {{NULL, sum_1_0, sum_2_0, sum_3_0, sum_4_0},
                                                       {sum_0_1, sum_1_1, sum_2_1, sum_3_1, NULL}};
    return shapes[k->has_floor][k->n_terms];
}

/* Leaves out terms that are nothing on every row, notes the others' coordinates, and finds what to take off all
 * exponents to keep exp() in range. False: the exponents spread too far, or are not numbers. */
static bool in_range(fit_powers *live, int *coordinate, double *shift, const fit_powers *k)
{
    double lo[MAX_TERMS], hi[MAX_TERMS], sure = k->has_floor ? k->floor : -INFINITY, top = sure;
    int nc = 0;
    for (size_t j = 0; j < k->n_terms; j++) {
        const double x = k->a[j] - k->p[j] * k->z_lo[j], y = k->a[j] - k->p[j] * k->z_hi[j];
        lo[j] = x < y ? x : y;
        hi[j] = x < y ? y : x;
        if (!(hi[j] - lo[j] < INFINITY)) return false;
        if (lo[j] > sure) sure = lo[j];
        if (hi[j] > top) top = hi[j];
    }
    if (!(fabs(sure) < INFINITY)) return false;
    *live = *k;
    live->n_terms = 0;
    for (size_t j = 0; j < k->n_terms; j++) {
        if (hi[j] < sure - KEPT) continue;
        const size_t to = live->n_terms++;
        live->a[to] = k->a[j], live->p[to] = k->p[j], live->z[to] = k->z[j];
        live->z_lo[to] = k->z_lo[j], live->z_hi[to] = k->z_hi[j];
        coordinate[nc++] = (int)(2 * j);
        coordinate[nc++] = (int)(2 * j) + 1;
    }
    live->has_floor = k->has_floor && k->floor >= sure - KEPT;
    if (live->has_floor) coordinate[nc++] = (int)(2 * k->n_terms);
    *shift = top > EXP_HIGH ? top - EXP_HIGH : sure < EXP_LOW + KEPT ? sure - (EXP_LOW + KEPT) : 0;
    return sure - *shift >= EXP_LOW + KEPT && top - *shift <= EXP_HIGH && (*shift == 0 || !k->natural);
}

static double powers_sum(double *grad, double *hess, const fit_powers *k)
{
    fit_powers live;
    int coordinate[COORDS];
    double shift;
    totals x = {.f = {0}};
    shape_fn *shape;
    if (!in_range(&live, coordinate, &shift, k) || !(shape = shape_of(&live))) return fit_powers_sum(grad, hess, k);
    shape(&x, &live, hess ? 2 : grad ? 1 : 0, shift);
    const double f = sum_lanes(x.f);
    double bad = f - f; /* NaN when anything is not finite */
    const int nc = (int)(2 * live.n_terms) + live.has_floor, all = (int)(2 * k->n_terms) + k->has_floor;
    if (grad && nc < all) memset(grad, 0, (size_t)all * sizeof *grad);
    if (hess && nc < all) memset(hess, 0, (size_t)(all * (all + 1) / 2) * sizeof *hess);
    for (int a = 0, at = 0; a < nc && grad; a++) {
        grad[coordinate[a]] = sum_lanes(x.g[a]);
        bad += grad[coordinate[a]] - grad[coordinate[a]];
        for (int b = a; b < nc && hess; b++, at++) {
            double *to = &hess[place(coordinate[a], coordinate[b], all)];
            *to = sum_lanes(x.h[at]);
            bad += *to - *to;
        }
    }
    return bad == 0 ? f : fit_powers_sum(grad, hess, k);
}

/* --- variable projection ----------------------------------------------------------------------------------- */

enum { GRAM_BLOCK = 128, GRAM_ROWS = FIT_GRAM_MAX + 4 }; /* 20 exponents on a block are 20 KiB */
typedef struct gram_block { vec weight[GRAM_BLOCK / VL], u[GRAM_ROWS][GRAM_BLOCK / VL]; } gram_block;

/* Four vectors against four: sixteen sums in registers. */
INLINE void gram_tile(double *gram, size_t m, const gram_block *b, size_t row, size_t col, size_t nv)
{
    vec sum[4][4] = {{{0}}};
    for (size_t v = 0; v < nv; v++) {
        vec x[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) x[j] = b->u[col + (size_t)j][v];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const vec y = b->weight[v] * b->u[row + (size_t)i][v];
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) sum[i][j] += y * x[j];
        }
    }
    for (size_t i = 0; i < 4 && row + i < m; i++)
        for (size_t j = 0; j < 4 && col + j < m; j++) gram[(row + i) * m + col + j] += sum_lanes(sum[i][j]);
}

/* nv vectors of rows from `at` on, the last of them with `part` rows. */
INLINE void gram_fill(gram_block *b, const fit_gram *k, size_t at, size_t nv, size_t part)
{
    for (size_t v = 0; v < nv; v++) {
        const size_t i = at + v * VL, n = v + 1 < nv ? VL : part;
        const bool whole = n == VL;
        const vec one = splat(1), inverse = whole ? ld(k->inverse_y + i) : ld_part(k->inverse_y + i, n, 0);
        const double *w = k->weight ? k->weight + i : NULL;
        b->weight[v] = whole ? (w ? ld(w) : one) : ld_part(w ? w : (const double *)&one, n, 0);
        for (size_t j = 0; j < k->m; j++) {
            const vec z = !k->z[j] ? splat(0) : whole ? ld(k->z[j] + i) : ld_part(k->z[j] + i, n, 0);
            b->u[j][v] = k->z[j] ? (vec)(vexp_normal(vmax(-k->p[j] * z, splat(EXP_LOW))) * inverse) : inverse;
        }
        b->u[k->m][v] = one;
        for (size_t j = k->m + 1; j < (k->m + 4) / 4 * 4; j++) b->u[j][v] = splat(0);
    }
}

static void powers_gram(double *gram, const fit_gram *k)
{
    gram_block b;
    const size_t m = k->m + 1;
    for (size_t j = 0; j < k->m; j++)
        if (k->z[j] && !(fmax(-k->p[j] * k->z_lo[j], -k->p[j] * k->z_hi[j]) <= EXP_HIGH)) {
            fit_powers_gram(gram, k);
            return;
        }
    memset(gram, 0, m * m * sizeof *gram);
    for (size_t at = 0; at < k->n; at += GRAM_BLOCK) {
        const size_t n = k->n - at < GRAM_BLOCK ? k->n - at : GRAM_BLOCK, nv = (n + VL - 1) / VL;
        gram_fill(&b, k, at, nv, n - (nv - 1) * VL);
        for (size_t row = 0; row < m; row += 4)
            for (size_t col = 0; col <= row; col += 4) gram_tile(gram, m, &b, row, col, nv);
    }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < i; j++) gram[j * m + i] = gram[i * m + j];
}

/* --- functions of arrays ------------------------------------------------------------------------------------ */

INLINE vec exp_anywhere(vec x)
{
    const vec most = splat(709.782712893384); /* the last x with a finite exp */
    const vec inside = vmin(vmax(x, splat(-708)), most);
    const vec half = vexp_normal(0.5 * inside), big = half * half; /* above 709 2^n alone would overflow */
    vec y = if_less(splat(709), inside, big, vexp_normal(vmin(inside, splat(709))));
    y = if_less(x, splat(-708), splat(0), y);
    y = if_less(most, x, splat(INFINITY), y);
    return (vec)(((veci)y & (x == x)) | ((veci)x & (x != x)));
}

static void powers_exp(double *y, const double *x, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL) st(y + i, exp_anywhere(ld(x + i)));
    if (i < n) st_part(y + i, exp_anywhere(ld_part(x + i, n - i, 0)), n - i);
}

static void powers_log(double *y, const double *x, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL) st(y + i, vlog_normal(ld(x + i)));
    if (i < n) st_part(y + i, vlog_normal(ld_part(x + i, n - i, 1)), n - i);
}

const fit_powers_ops POWERS_OPS = {POWERS_LEVEL, powers_sum, powers_gram, powers_exp, powers_log};
