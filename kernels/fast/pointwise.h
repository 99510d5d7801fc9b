/* Row-wise and elementwise ops. */

INLINE float row_dot(const float *a, const float *b, size_t n)
{
    vec s0 = {0}, s1 = {0};
    size_t c = 0;
    for (; c + 2 * VL <= n; c += 2 * VL) {
        s0 += ld(a + c) * ld(b + c);
        s1 += ld(a + c + VL) * ld(b + c + VL);
    }
    for (; c + VL <= n; c += VL) s0 += ld(a + c) * ld(b + c);
    if (c < n) s1 += ld_part(a + c, n - c, 0) * ld_part(b + c, n - c, 0);
    return sum_lanes(s0 + s1);
}

/* Runs `body` with i, and `part` = number of floats, over n floats: whole vectors, then the rest. */
#define EACH(n, whole, rest)                          \
    do {                                              \
        size_t i = 0;                                 \
        for (; i + VL <= (n); i += VL) { whole; }     \
        if (i < (n)) {                                \
            const size_t part = (n) - i;              \
            rest;                                     \
        }                                             \
    } while (0)

static status embed_fwd(k_ctx *ctx, k_act y, k_in table, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++) {
        const float a = k_scalar(alpha, r);
        for (size_t t = 0; t < s->n; t++) {
            const float *row = table.p + r * table.stride + (size_t)k_id(&ids, r, t) * s->c;
            float *out = y.p + r * y.stride + t * s->ld;
            EACH(s->c, st(out + i, a * ld(row + i)), st_part(out + i, a * ld_part(row + i, part, 0), part));
        }
    }
    return ST_OK;
}

static status embed_bwd(k_ctx *ctx, k_arr dtable, k_cact dy, k_ids ids, k_mult alpha, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++) {
        const float a = k_scalar(alpha, r);
        for (size_t t = 0; t < s->n; t++) {
            float *row = dtable.p + r * dtable.stride + (size_t)k_id(&ids, r, t) * s->c;
            const float *in = dy.p + r * dy.stride + t * s->ld;
            EACH(s->c, st(row + i, ld(row + i) + a * ld(in + i)),
                 st_part(row + i, ld_part(row + i, part, 0) + a * ld_part(in + i, part, 0), part));
        }
    }
    return ST_OK;
}

static status rmsnorm_fwd(k_ctx *ctx, k_act y, k_arr rstd, k_cact x, const k_norm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t t = 0; t < s->n; t++) {
            const float *in = x.p + r * x.stride + t * s->c;
            float *out = y.p + r * y.stride + t * s->c;
            const float k = (float)(1 / sqrt((double)row_dot(in, in, s->c) / (double)s->c + s->eps));
            EACH(s->c, st(out + i, k * ld(in + i)), st_part(out + i, k * ld_part(in + i, part, 0), part));
            rstd.p[r * rstd.stride + t] = k;
        }
    return ST_OK;
}

INLINE void norm_bwd_row(const bool acc, float *out, const float *g, const float *y, float k, size_t n)
{
    const float mean = row_dot(g, y, n) / (float)n;
    EACH(n, st(out + i, (acc ? ld(out + i) : (vec){0}) + k * (ld(g + i) - mean * ld(y + i))),
         st_part(out + i,
                 (acc ? ld_part(out + i, part, 0) : (vec){0}) +
                     k * (ld_part(g + i, part, 0) - mean * ld_part(y + i, part, 0)),
                 part));
}

static status rmsnorm_bwd(k_ctx *ctx, k_act dx, k_cact dy, k_cact y, k_in rstd, bool acc, const k_norm *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t t = 0; t < s->n; t++) {
            float *out = dx.p + r * dx.stride + t * s->c;
            const float *g = dy.p + r * dy.stride + t * s->c, *v = y.p + r * y.stride + t * s->c,
                        k = rstd.p[r * rstd.stride + t];
            if (acc) norm_bwd_row(true, out, g, v, k, s->c);
            else norm_bwd_row(false, out, g, v, k, s->c);
        }
    return ST_OK;
}

INLINE void rotate_heads(k_act x, k_in table, float sign, const k_heads *s)
{
    const size_t half = s->head_dim / 2;
    for (size_t r = 0; r < s->R; r++)
        for (size_t t = 0; t < s->B * s->T; t++) {
            const float *cs = table.p + r * table.stride + t % s->T * s->head_dim, *sn = cs + half;
            for (size_t h = 0; h < s->heads; h++) {
                float *a = x.p + r * x.stride + t * s->ld + h * s->head_dim, *b = a + half;
                size_t c = 0;
                for (; c + VL <= half; c += VL) {
                    const vec va = ld(a + c), vb = ld(b + c), co = ld(cs + c), si = sign * ld(sn + c);
                    st(a + c, va * co - vb * si);
                    st(b + c, va * si + vb * co);
                }
                for (; c < half; c++) {
                    const float va = a[c], vb = b[c], si = sign * sn[c];
                    a[c] = va * cs[c] - vb * si;
                    b[c] = va * si + vb * cs[c];
                }
            }
        }
}

static status rope_fwd(k_ctx *ctx, k_act x, k_in table, const k_heads *s, err *e)
{
    (void)ctx, (void)e;
    rotate_heads(x, table, 1, s);
    return ST_OK;
}

static status rope_bwd(k_ctx *ctx, k_act dx, k_in table, const k_heads *s, err *e)
{
    (void)ctx, (void)e;
    rotate_heads(dx, table, -1, s);
    return ST_OK;
}

static status gelu_fwd(k_ctx *ctx, k_act y, k_act u, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t t = 0; t < s->n; t++) {
            float *at = u.p + r * u.stride + t * s->ld, *out = y.p + r * y.stride + t * s->ld;
            vec slope;
            EACH(s->c, st(out + i, vgelu(ld(at + i), &slope)); st(at + i, slope),
                 st_part(out + i, vgelu(ld_part(at + i, part, 0), &slope), part); st_part(at + i, slope, part));
        }
    return ST_OK;
}

static status gelu_bwd(k_ctx *ctx, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t t = 0; t < s->n; t++) {
            float *out = du.p + r * du.stride + t * s->ld;
            const float *g = dy.p + r * dy.stride + t * s->ld, *k = coef.p + r * coef.stride + t * s->ld;
            EACH(s->c, st(out + i, ld(g + i) * ld(k + i)),
                 st_part(out + i, ld_part(g + i, part, 0) * ld_part(k + i, part, 0), part));
        }
    return ST_OK;
}

INLINE vec vswiglu(vec up, vec gate, vec *dup, vec *dgate)
{
    const vec one = splat(1.0f), sig = one / (one + vexp(-gate)), silu = gate * sig;
    *dup = silu;
    *dgate = up * sig * (one + gate * (one - sig));
    return silu * up;
}

static status swiglu_fwd(k_ctx *ctx, k_act y, k_act u, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t t = 0; t < s->n; t++) {
            float *up = u.p + r * u.stride + t * 2 * s->ld, *gate = up + s->c, *out = y.p + r * y.stride + t * s->ld;
            vec a, b;
            EACH(s->c, st(out + i, vswiglu(ld(up + i), ld(gate + i), &a, &b)); st(up + i, a);
                 st(gate + i, b),
                 st_part(out + i, vswiglu(ld_part(up + i, part, 0), ld_part(gate + i, part, 0), &a, &b), part);
                 st_part(up + i, a, part); st_part(gate + i, b, part));
        }
    return ST_OK;
}

static status swiglu_bwd(k_ctx *ctx, k_act du, k_cact dy, k_cact coef, const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t t = 0; t < s->n; t++) {
            float *out = du.p + r * du.stride + t * 2 * s->ld;
            const float *g = dy.p + r * dy.stride + t * s->ld, *k = coef.p + r * coef.stride + t * 2 * s->ld;
            for (size_t half = 0; half < 2; half++, out += s->c, k += s->c)
                EACH(s->c, st(out + i, ld(g + i) * ld(k + i)),
                     st_part(out + i, ld_part(g + i, part, 0) * ld_part(k + i, part, 0), part));
        }
    return ST_OK;
}

/* One row of softmax cross-entropy; two passes over a row that fits the L1 or L2. */
static double xent_row(float *l, size_t V, size_t target, double dscale)
{
    const float low = -INFINITY, at = l[target];
    vec m = splat(low), s = {0};
    EACH(V, m = vmax(ld(l + i), m), m = vmax(ld_part(l + i, part, low), m));
    const float max = max_lanes(m);
    /* exp(-inf) of a filler would be clamped to 1e-38, not 0: harmless in the sum, and fillers are not stored */
    if (dscale == 0) {
        EACH(V, s += vexp(ld(l + i) - max), s += vexp(ld_part(l + i, part, low) - max));
    } else {
        EACH(V, const vec p = vexp(ld(l + i) - max); st(l + i, p); s += p,
             const vec p = vexp(ld_part(l + i, part, low) - max); st_part(l + i, p, part); s += p);
    }
    const double sum = (double)sum_lanes(s), loss = log(sum) + (double)max - (double)at;
    if (dscale != 0) {
        const float k = (float)(dscale / sum);
        EACH(V, st(l + i, k * ld(l + i)), st_part(l + i, k * ld_part(l + i, part, 0), part));
        l[target] -= (float)dscale;
    }
    return loss;
}

static status xent(k_ctx *ctx, double *row_loss, size_t loss_stride, k_act logits, k_ids targets, double dscale,
                   const k_rows *s, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < s->R; r++)
        for (size_t t = 0; t < s->n; t++)
            row_loss[r * loss_stride + t] =
                xent_row(logits.p + r * logits.stride + t * s->ld, s->c, (size_t)k_id(&targets, r, t), dscale);
    return ST_OK;
}

INLINE vec vsqrt(vec x)
{
    vec y;
    for (int i = 0; i < VL; i++) y[i] = __builtin_sqrtf(x[i]);
    return y;
}

static status adamw(k_ctx *ctx, k_arr p, k_arr m, k_arr v, k_in g, const k_adam *h, size_t R, size_t n, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++) {
        float *pr = p.p + r * p.stride, *mr = m.p + r * m.stride, *vr = v.p + r * v.stride;
        const float *gr = g.p + r * g.stride;
        const float b1 = (float)h[r].beta1, b2 = (float)h[r].beta2, c1 = (float)(1 - h[r].beta1),
                    c2 = (float)(1 - h[r].beta2);
        const float lr = (float)(h[r].lr / h[r].correct1), k2 = (float)(1 / sqrt(h[r].correct2)), eps = (float)h[r].eps;
        const float keep = (float)(1 - h[r].decay), scale = (float)h[r].grad_scale;
        for (size_t i = 0; i < n; i++) { /* the compiler makes vectors of this one */
            const float d = scale * gr[i];
            mr[i] = b1 * mr[i] + c1 * d;
            vr[i] = b2 * vr[i] + c2 * d * d;
            pr[i] = keep * pr[i] - lr * mr[i] / (__builtin_sqrtf(vr[i]) * k2 + eps);
        }
    }
    return ST_OK;
}

static status add(k_ctx *ctx, k_arr y, k_in x, size_t R, size_t n, err *e)
{
    (void)ctx, (void)e;
    for (size_t r = 0; r < R; r++) {
        float *out = y.p + r * y.stride;
        const float *a = x.p + r * x.stride;
        EACH(n, st(out + i, ld(out + i) + ld(a + i)),
             st_part(out + i, ld_part(out + i, part, 0) + ld_part(a + i, part, 0), part));
    }
    return ST_OK;
}
