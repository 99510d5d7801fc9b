/* Attention of the device backends against the CPU's definition, forward and backward.
 *
 * What rounding allows. In bf16 the kernels round each weight p (and each ds) to 8 bits before it multiplies, and the
 * result once: an output is a sum of terms, and differs by at most 2^-8 of the terms' absolute sum plus 2^-8 of itself
 * (half a unit in the last of 8 bits). Everything else is fp32. So the test sums the absolute terms too (`bound`) and
 * wants |got - want| <= 2^-8 (|want| + bound); for cuda-fp32 1e-5 stands for 2^-8. dp - delta cancels: the terms of ds
 * count with 1/16 of what cancelled. Inputs of a comparison are the same bits on both sides. */
#include "kernels/rope.h"
#include "tests/kernels/gpu.h"

typedef struct attn_case { size_t D, T, H, G, R, B, pad; } attn_case;
typedef struct problem { /* on the host */
    attn_case c;
    k_attn s;
    size_t N, K, V; /* rows, first columns of keys and values */
    buf qkv, o, lse, dout, dqkv;
    real scale[3];
    bool no_scale;
    k_in table; /* the device's, of rotary positions: NULL: heads as they are */
} problem;
typedef struct device { gbuf qkv, o, lse, dout, dqkv; k_mult scale; } device;

static problem problem_new(const attn_case *c)
{
    problem p = {.c = *c, .N = c->B * c->T, .K = c->H * c->D, .V = (c->H + c->G) * c->D};
    const size_t ld = (c->H + 2 * c->G) * c->D + c->pad, ldo = c->H * c->D + c->pad;
    p.s = (k_attn){K_ATTN_CAUSAL, c->R, c->B, c->T, c->H, c->G, c->D, ld, ldo};
    p.qkv = buf_new(c->R, p.N * ld, 1, c->D + 1000 * c->T);
    p.o = buf_new(c->R, p.N * ldo, 1, 2);
    p.lse = buf_new(c->R, p.N * c->H, 1, 3);
    p.dout = buf_new(c->R, p.N * ldo, 1, 4);
    p.dqkv = buf_new(c->R, p.N * ld, 1, 5);
    const double unit = 1 / sqrt((double)c->D);
    p.scale[0] = (real)(2 * unit), p.scale[1] = (real)-unit, p.scale[2] = 0;
    return p;
}

static void problem_free(problem *p)
{
    buf_free(&p->qkv), buf_free(&p->o), buf_free(&p->lse), buf_free(&p->dout), buf_free(&p->dqkv);
}

static k_mult host_scale(const problem *p) { return p->no_scale ? (k_mult){NULL, NULL} : both(p->scale); }

static k_ctx *cpu_context(const problem *p)
{
    k_ctx *c = NULL;
    cr_assert_eq(cpu()->ctx_new(&c, cpu()->attn_scratch(&p->s), NULL), ST_OK);
    return c;
}

static void cpu_run(problem *p, bool backward)
{
    k_ctx *c = cpu_context(p);
    const k_cact q = cact(&p->qkv), k = cat(q, p->K), v = cat(q, p->V);
    const k_act dq = act(&p->dqkv);
    if (backward)
        cr_assert_eq(cpu()->attn_bwd(c, dq, at(dq, p->K), at(dq, p->V), cact(&p->dout), q, k, v, cact(&p->o),
                                     in(&p->lse), host_scale(p), &p->s, NULL), ST_OK);
    else
        cr_assert_eq(cpu()->attn_fwd(c, act(&p->o), arr(&p->lse), q, k, v, host_scale(p), &p->s, NULL), ST_OK);
    cpu()->ctx_free(c);
}

static void turn_with(gpu *g, problem *p)
{
    buf x = buf_new(1, p->c.T * p->c.D, 0, 0);
    k_rope_table(x.p, p->c.T, p->c.D, 100);
    const gbuf d = gpu_real(g, &x);
    p->table = (k_in){(const real *)(const void *)d.p, 0};
    buf_free(&x);
}

static device device_new(gpu *g, problem *p)
{
    device d = {.qkv = gpu_act(g, &p->qkv), .o = gpu_act(g, &p->o), .lse = gpu_real(g, &p->lse),
                .dout = gpu_act(g, &p->dout), .dqkv = gpu_act(g, &p->dqkv)};
    if (!p->no_scale) d.scale = gpu_mult(g, p->scale, p->c.R);
    return d;
}

static void device_run(gpu *g, const problem *p, const device *d, bool backward)
{
    const k_cact q = gcact(&d->qkv), k = gcat(g, q, p->K), v = gcat(g, q, p->V);
    const k_act dq = gact(&d->dqkv);
    if (p->table.p && backward)
        GPU_OK(g, g->ops->attn_rope_bwd(g->ctx, dq, gat(g, dq, p->K), gat(g, dq, p->V), gcact(&d->dout), q, k, v,
                                        gcact(&d->o), gin(&d->lse), p->table, d->scale, &p->s, &g->e));
    else if (p->table.p)
        GPU_OK(g, g->ops->attn_rope_fwd(g->ctx, gact(&d->o), garr(&d->lse), q, k, v, p->table, d->scale, &p->s, &g->e));
    else if (backward)
        GPU_OK(g, g->ops->attn_bwd(g->ctx, dq, gat(g, dq, p->K), gat(g, dq, p->V), gcact(&d->dout), q, k, v,
                                   gcact(&d->o), gin(&d->lse), d->scale, &p->s, &g->e));
    else
        GPU_OK(g, g->ops->attn_fwd(g->ctx, gact(&d->o), garr(&d->lse), q, k, v, d->scale, &p->s, &g->e));
}

/* The absolute sums, in the places of what they bound. Zeros where nothing is written: there nothing may differ. */
typedef struct bounds { buf o, dqkv; } bounds;

static double dot(const real *a, const real *b, size_t n, bool absolute)
{
    double x = 0;
    for (size_t i = 0; i < n; i++) x += absolute ? fabs((double)a[i] * (double)b[i]) : (double)a[i] * (double)b[i];
    return x;
}

static void bound_row(const problem *p, const bounds *x, size_t r, size_t b, size_t h, size_t t)
{
    const size_t D = p->c.D, kv = h / (p->c.H / p->c.G) * D, ld = p->s.ld, ldo = p->s.ldo, row = b * p->c.T + t;
    const real *qkv = p->qkv.p + r * p->qkv.stride, *q = qkv + row * ld + h * D;
    const real *dout = p->dout.p + r * p->dout.stride + row * ldo + h * D;
    const real *o = p->o.p + r * p->o.stride + row * ldo + h * D;
    real *bd = x->dqkv.p + r * x->dqkv.stride, *bo = x->o.p + r * x->o.stride + row * ldo + h * D;
    const double scale = p->no_scale ? 1 : (double)p->scale[r];
    const double lse = (double)p->lse.p[r * p->lse.stride + (b * p->c.H + h) * p->c.T + t];
    const double delta = dot(dout, o, D, false);
    for (size_t j = 0; j <= t; j++) {
        const size_t at = (b * p->c.T + j) * ld;
        const real *k = qkv + at + p->K + kv, *v = qkv + at + p->V + kv;
        const double w = exp(scale * dot(q, k, D, false) - lse);
        const double ds = fabs(scale) * w * (fabs(dot(dout, v, D, false) - delta) +
                                             (dot(dout, v, D, true) + dot(dout, o, D, true)) / 16);
        for (size_t c = 0; c < D; c++) {
            bo[c] += (real)(w * fabs((double)v[c]));
            bd[row * ld + h * D + c] += (real)(ds * fabs((double)k[c]));
            bd[at + p->K + kv + c] += (real)(ds * fabs((double)q[c]));
            bd[at + p->V + kv + c] += (real)(w * fabs((double)dout[c]));
        }
    }
}

static bounds bounds_new(const problem *p) /* after the CPU's forward pass */
{
    bounds x = {buf_new(p->c.R, p->o.len, 0, 0), buf_new(p->c.R, p->dqkv.len, 0, 0)};
    for (size_t r = 0; r < p->c.R; r++)
        for (size_t b = 0; b < p->c.B; b++)
            for (size_t h = 0; h < p->c.H; h++)
                for (size_t t = 0; t < p->c.T; t++) bound_row(p, &x, r, b, h, t);
    return x;
}

static void close_to(gpu *g, const gbuf *d, const buf *want, const buf *bound, const attn_case *c, const char *what)
{
    const double unit = g->half ? 1.0 / 256 : 1e-5;
    buf got = gpu_get(g, d);
    double worst_off = 0;
    size_t where = 0;
    for (size_t r = 0; r < want->R; r++)
        for (size_t i = 0; i < want->len; i++) {
            const double x = (double)got.p[r * got.stride + i], y = (double)want->p[r * want->stride + i];
            if (x == y) continue;
            const double off = fabs(x - y) / (unit * (fabs(y) + (double)bound->p[r * bound->stride + i]) + 1e-30);
            if (!(off <= worst_off)) worst_off = isnan(off) ? INFINITY : off, where = r * want->len + i;
        }
    cr_expect_leq(worst_off, 1, "%s, D %zu T %zu heads %zu on %zu R %zu B %zu pad %zu: %s[%zu] is off by %g times what "
                  "rounding allows", g->ops->name, c->D, c->T, c->H, c->G, c->R, c->B, c->pad, what, where, worst_off);
    buf_free(&got);
}

static void against_cpu(gpu *g, const attn_case *c, bool no_scale)
{
    problem p = problem_new(c);
    p.no_scale = no_scale;
    const device d = device_new(g, &p);
    device_run(g, &p, &d, false);
    cpu_run(&p, false);
    const bounds x = bounds_new(&p);
    close_to(g, &d.o, &p.o, &x.o, c, "o");
    buf got = gpu_get(g, &d.lse);
    for (size_t r = 0; r < c->R; r++)
        for (size_t i = 0; i < p.lse.len; i++) {
            const double y = (double)p.lse.p[r * p.lse.stride + i];
            cr_assert_float_eq((double)got.p[r * got.stride + i], y, 2e-5 * (1 + fabs(y)), "%s: lse[%zu], D %zu T %zu",
                               g->ops->name, i, c->D, c->T);
        }
    buf_free(&got);
    /* backward from the same o and lse on both sides */
    const device e = device_new(g, &p);
    device_run(g, &p, &e, true);
    cpu_run(&p, true);
    close_to(g, &e.dqkv, &p.dqkv, &x.dqkv, c, "dq, dk, dv");
    gpu_release(g);
    problem_free(&p);
    buf xo = x.o, xd = x.dqkv;
    buf_free(&xo), buf_free(&xd);
}

enum { SCRATCH = 1 << 20 };

/*                            D   T  H  G  R  B pad: 8 divides D and pad: 16 bytes at a time */
static const attn_case short_cases[] = {{2, 1, 1, 1, 1, 1, 0},   {2, 17, 3, 1, 2, 2, 1},   {16, 5, 4, 4, 3, 1, 0},
                                        {16, 65, 4, 1, 1, 1, 3}, {24, 17, 3, 1, 2, 2, 8},  {24, 64, 1, 1, 1, 1, 7},
                                        {32, 65, 2, 2, 1, 2, 8}, {64, 64, 4, 1, 2, 1, 0},  {64, 130, 1, 1, 1, 1, 1},
                                        {70, 5, 6, 2, 1, 3, 0},  {96, 65, 1, 1, 2, 1, 0},  {96, 17, 2, 1, 1, 1, 1},
                                        {128, 1, 2, 2, 3, 1, 0}, {128, 130, 1, 1, 1, 1, 0}, {128, 17, 3, 1, 2, 1, 5}};
static void each_short(gpu *g)
{
    for (size_t i = 0; i < sizeof short_cases / sizeof *short_cases; i++) against_cpu(g, &short_cases[i], i == 5);
}
Test(cuda_attention, against_the_definition) { gpu_each(each_short, SCRATCH); }

static bool same(gpu *g, const gbuf *a, const gbuf *b)
{
    for (size_t r = 0; r < a->R; r++)
        if (!gpu_same(g, a, r, b, r)) return false;
    return true;
}

/* Turned in attention's loads and stores: the bits of RoPE as an op of its own, before it and after. */
static void turned(gpu *g, const attn_case *c)
{
    problem p = problem_new(c), apart = p;
    const device d = device_new(g, &p), x = device_new(g, &p), plain = device_new(g, &p);
    const k_heads h = {c->R, c->B, c->T, c->H + c->G, c->D, p.s.ld};
    turn_with(g, &p);
    device_run(g, &p, &d, false);
    device_run(g, &p, &d, true);
    GPU_OK(g, g->ops->rope_fwd(g->ctx, gact(&x.qkv), p.table, &h, &g->e));
    device_run(g, &apart, &x, false);
    device_run(g, &apart, &x, true);
    GPU_OK(g, g->ops->rope_bwd(g->ctx, gact(&x.dqkv), p.table, &h, &g->e));
    cr_expect(same(g, &d.o, &x.o) && same(g, &d.lse, &x.lse), "%s, D %zu T %zu heads %zu on %zu pad %zu: forward",
              g->ops->name, c->D, c->T, c->H, c->G, c->pad);
    cr_expect(same(g, &d.dqkv, &x.dqkv), "%s, D %zu T %zu heads %zu on %zu pad %zu: backward", g->ops->name, c->D, c->T,
              c->H, c->G, c->pad);
    cr_expect(same(g, &d.qkv, &plain.qkv), "%s, D %zu: q and k are changed", g->ops->name, c->D);
    cr_expect_not(same(g, &d.qkv, &x.qkv), "negative twin");
    gpu_release(g);
    problem_free(&p);
}

/* 16 divides D: pairs of eight; else, or where rows are not aligned, one by one. */
static const attn_case turned_cases[] = {{6, 17, 3, 1, 2, 2, 1},   {7, 5, 2, 1, 1, 1, 0},    {16, 66, 2, 1, 2, 1, 8},
                                         {24, 33, 2, 1, 1, 2, 8},  {48, 66, 2, 1, 1, 1, 0},  {64, 66, 2, 1, 1, 1, 0},
                                         {96, 33, 1, 1, 2, 1, 0},  {128, 66, 1, 1, 1, 1, 1}, {80, 34, 1, 1, 1, 1, 8},
                                         {64, 258, 1, 1, 1, 1, 0}};
static void each_turned(gpu *g)
{
    const size_t n = sizeof turned_cases / sizeof *turned_cases;
    for (size_t i = 0; i + (g->half ? 0 : 1) < n; i++) turned(g, &turned_cases[i]); /* the last: warps of 32 queries */
}
Test(cuda_attention, turned_as_it_loads) { gpu_each(each_turned, SCRATCH); }

/* More heads than a section of the grid has (64). */
static void many_heads(gpu *g)
{
    static const attn_case c = {4, 3, 6, 3, 2, 12, 0};
    against_cpu(g, &c, false);
}
Test(cuda_attention, more_heads_than_a_section) { gpu_each(many_heads, SCRATCH); }

/* From T = 257 on, warps of 32 queries. */
static const attn_case long_cases[] = {{16, 257, 2, 1, 1, 1, 0}, {32, 290, 1, 1, 1, 1, 1}, {64, 320, 1, 1, 1, 1, 0},
                                       {96, 257, 1, 1, 1, 1, 0}, {128, 257, 1, 1, 1, 1, 8}};
static void each_long(gpu *g)
{
    const size_t n = g->half ? sizeof long_cases / sizeof *long_cases : 1; /* fp32 has one way for all lengths */
    for (size_t i = 0; i < n; i++) against_cpu(g, &long_cases[i], false);
}
Test(cuda_attention, long_sequences) { gpu_each(each_long, SCRATCH); }

/* A replica's bits in a bank of three, and alone. */
static void alone(gpu *g)
{
    static const attn_case cases[] = {{24, 66, 2, 1, 3, 2, 8}, {64, 33, 2, 1, 3, 1, 1}};
    for (size_t i = 0; i < 2; i++) {
        problem p = problem_new(&cases[i]);
        const device d = device_new(g, &p);
        if (i) turn_with(g, &p);
        device a[3]; /* taken before anything is written */
        for (size_t r = 0; r < 3; r++)
            a[r] = (device){gpu_alone(g, &d.qkv, r), gpu_alone(g, &d.o, r), gpu_alone(g, &d.lse, r),
                            gpu_alone(g, &d.dout, r), gpu_alone(g, &d.dqkv, r), gpu_mult(g, p.scale + r, 1)};
        device_run(g, &p, &d, false);
        device_run(g, &p, &d, true);
        for (size_t r = 0; r < 3; r++) {
            problem one = p;
            one.c.R = one.s.R = 1;
            device_run(g, &one, &a[r], false);
            device_run(g, &one, &a[r], true);
            cr_expect(gpu_same(g, &d.o, r, &a[r].o, 0) && gpu_same(g, &d.lse, r, &a[r].lse, 0) &&
                          gpu_same(g, &d.dqkv, r, &a[r].dqkv, 0),
                      "%s: replica %zu alone has other bits", g->ops->name, r);
            cr_expect_not(gpu_same(g, &d.o, (r + 1) % 3, &a[r].o, 0), "negative twin");
        }
        gpu_release(g);
        problem_free(&p);
    }
}
Test(cuda_attention, a_replica_never_depends_on_its_bank) { gpu_each(alone, SCRATCH); }

static bool finite_rows(const buf *x, size_t r, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (!isfinite(x->p[r * x->stride + i])) return false;
    return true;
}

/* What is not finite on the CPU is not finite here; other sequences and replicas stay finite. */
static void not_finite(gpu *g)
{
    static const attn_case c = {16, 40, 2, 1, 2, 2, 0};
    static const size_t column[] = {0, 3, 2 * 16 + 1, 3 * 16 + 2};
    for (size_t i = 0; i < 8; i++) {
        problem p = problem_new(&c);
        const size_t seq = c.T * p.s.ld, t = 7 + 3 * i;
        p.qkv.p[seq + t * p.s.ld + column[i % 4]] = (real)(i < 4 ? NAN : INFINITY); /* second sequence of replica 0 */
        const device d = device_new(g, &p);
        device_run(g, &p, &d, false);
        device_run(g, &p, &d, true);
        cpu_run(&p, false);
        cpu_run(&p, true);
        const gbuf *got[] = {&d.o, &d.lse, &d.dqkv};
        const buf *want[] = {&p.o, &p.lse, &p.dqkv};
        for (size_t k = 0; k < 3; k++) {
            buf x = gpu_get(g, got[k]);
            cr_expect_not(finite_rows(want[k], 0, x.len / 2, x.len) && k != 1);
            for (size_t j = x.len / 2; j < x.len; j++)
                if (!isfinite(want[k]->p[j]))
                    cr_assert_not(isfinite(x.p[j]), "%s: case %zu, output %zu, element %zu", g->ops->name, i, k, j);
            cr_expect(finite_rows(&x, 0, 0, x.len / 2), "%s: case %zu reaches another sequence", g->ops->name, i);
            cr_expect(finite_rows(&x, 1, 0, x.len), "%s: case %zu reaches another replica", g->ops->name, i);
            buf_free(&x);
        }
        gpu_release(g);
        problem_free(&p);
    }
}
Test(cuda_attention, what_is_not_finite_stays_visible) { gpu_each(not_finite, SCRATCH); }

/* A score of -inf has no weight, also when all scores of the first block of keys are -inf. */
static void minus_infinity(gpu *g)
{
    static const attn_case c = {16, 67, 1, 1, 1, 1, 0};
    problem p = problem_new(&c);
    for (size_t t = 0; t < c.T; t++) {
        p.qkv.p[t * p.s.ld] = 1;
        p.qkv.p[t * p.s.ld + p.K] = t < 64 ? (real)-INFINITY : (real)0.5;
    }
    const device d = device_new(g, &p);
    device_run(g, &p, &d, false);
    cpu_run(&p, false);
    buf o = gpu_get(g, &d.o);
    for (size_t t = 0; t < c.T; t++)
        for (size_t i = 0; i < c.D; i++) {
            const double x = (double)o.p[t * p.s.ldo + i], y = (double)p.o.p[t * p.s.ldo + i];
            cr_assert_eq(isfinite(y), t >= 64);
            cr_assert(t >= 64 ? fabs(x - y) < 0.02 : !isfinite(x), "%s: o[%zu][%zu] = %g, not %g", g->ops->name,
                      t, i, x, y);
        }
    gpu_release(g);
    problem_free(&p);
}
Test(cuda_attention, minus_infinity_has_no_weight) { gpu_each(minus_infinity, SCRATCH); }

static void refused(gpu *g)
{
    attn_case c = {16, 9, 2, 1, 1, 1, 0};
    problem p = problem_new(&c);
    const device d = device_new(g, &p);
    const k_cact q = gcact(&d.qkv);
    k_attn s = p.s;
    s.head_dim = 130;
    cr_expect_eq(g->ops->attn_fwd(g->ctx, gact(&d.o), garr(&d.lse), q, q, q, d.scale, &s, &g->e), ST_DOMAIN);
    cr_expect(strstr(g->e.msg, "130") != NULL, "%s", g->e.msg);
    s = p.s;
    s.n_kv_head = 3;
    cr_expect_eq(g->ops->attn_fwd(g->ctx, gact(&d.o), garr(&d.lse), q, q, q, d.scale, &s, &g->e), ST_DOMAIN);
    s = p.s;
    s.R = 1 << 14;
    cr_expect_gt(g->ops->attn_scratch(&s), (size_t)SCRATCH);
    cr_expect_eq(g->ops->attn_bwd(g->ctx, gact(&d.dqkv), gact(&d.dqkv), gact(&d.dqkv), gcact(&d.dout), q, q,
                                  q, gcact(&d.o), gin(&d.lse), d.scale, &s, &g->e), ST_DOMAIN);
    cr_expect(strstr(g->e.msg, "scratch") != NULL, "%s", g->e.msg);
    problem_free(&p);
}
Test(cuda_attention, refuses_what_it_cannot_do) { gpu_each(refused, SCRATCH); }
