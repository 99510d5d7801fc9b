#include <criterion/criterion.h>
#include <string.h>

#include "trainer/shape.h"

static shape base(void)
{
    return (shape){.vocab = 256, .d_model = 64, .n_layer = 2, .n_head = 2, .n_kv_head = 2, .head_dim = 32, .d_ff = 256,
                   .seq_len = 128, .act = ACT_GELU, .tied_head = true, .rope_theta = 10000};
}

/* Counted by hand on paper: 2 layers of 4*64*64 + 2*64*256 = 49152, table 256*64 = 16384. */
Test(shape, hand_counts_gelu)
{
    shape s = base();
    shape_counts c = shape_count(&s);
    cr_expect_eq(c.n_params_non_embed, 98304);
    cr_expect_eq(c.n_params_embed, 16384);
    cr_expect_eq(c.n_params_total, 114688);
    cr_expect_eq(shape_flops_per_token(&s, FLOPS_6N), 6 * 114688.0);
    /* 6*(12*L*d^2 + V*d) + 6*L*T*d = 6*(98304 + 16384) + 98304 */
    cr_expect_eq(shape_flops_per_token(&s, FLOPS_EXACT), 786432.0);
    s.tied_head = false;
    c = shape_count(&s);
    cr_expect_eq(c.n_params_embed, 32768);
    cr_expect_eq(c.n_params_total, 131072);
    cr_expect_eq(shape_flops_per_token(&s, FLOPS_EXACT), 786432.0, "the input table is a lookup, not a matmul");
}

/* GQA: q, out 96*96, k, v 32*96; SwiGLU 3*96*256; gains 2 per layer and one final; untied V 1000. */
Test(shape, hand_counts_swiglu_gqa_gain)
{
    shape s = {.vocab = 1000, .d_model = 96, .n_layer = 3, .n_head = 6, .n_kv_head = 2, .head_dim = 16, .d_ff = 256,
               .seq_len = 50, .act = ACT_SWIGLU, .tied_head = false, .norm_gain = true, .rope_theta = 10000};
    shape_counts c = shape_count(&s);
    cr_expect_eq(c.n_params_non_embed, 3 * (2 * 9216 + 2 * 3072 + 3 * 24576) + 7 * 96);
    cr_expect_eq(c.n_params_embed, 192000);
    cr_expect_eq(shape_flops_per_token(&s, FLOPS_EXACT), 6.0 * (3 * 98304 + 96000) + 6.0 * 3 * 50 * 96);
}

Test(shape, tensors_cover_the_count_and_are_aligned)
{
    shape s = base();
    for (int k = 0; k < 16; k++) {
        s.act = k & 1 ? ACT_SWIGLU : ACT_GELU;
        s.tied_head = (k & 2) != 0;
        s.norm_gain = (k & 4) != 0;
        s.d_model = k & 8 ? 6 : 64; /* 36 floats per matrix: not a multiple of 16 */
        s.head_dim = k & 8 ? 2 : 32;
        s.n_head = s.d_model / s.head_dim;
        s.n_kv_head = 1;
        s.vocab = 257;
        shape_tensor t[64];
        size_t n = shape_tensors(&s, t, 64), sum = 0, end = 0;
        cr_assert_leq(n, 64);
        for (size_t i = 0; i < n; i++) {
            cr_expect_neq(t[i].role, MUP_UNTAGGED);
            cr_expect_eq(t[i].offset % 16, 0);
            cr_expect_geq(t[i].offset, end, "%s overlaps", t[i].name);
            cr_expect_eq((int64_t)t[i].n, t[i].rows * t[i].cols);
            for (size_t j = 0; j < i; j++) cr_expect_str_neq(t[i].name, t[j].name);
            end = t[i].offset + t[i].n;
            sum += t[i].n;
        }
        cr_expect_eq((int64_t)sum, shape_count(&s).n_params_total);
        cr_expect_geq(shape_param_stride(&s), end);
        cr_expect_eq(shape_param_stride(&s) % 16, 0);
        cr_expect_eq(shape_tensors(&s, t, 1), n, "a short array is not overrun, the count stays");
    }
}

Test(shape, bad_shapes_name_the_key)
{
    err e = {0};
    shape s = base();
    cr_expect_eq(shape_check(&s, &e), ST_OK);
#define BAD(change, word)                                                     \
    do {                                                                      \
        shape b = base();                                                     \
        change;                                                               \
        cr_expect_eq(shape_check(&b, &e), ST_INPUT, #change);                 \
        cr_expect(strstr(e.msg, word) == e.msg, "'%s' for %s", e.msg, #change); \
    } while (0)
    BAD(b.d_model = 65, "d_model");
    BAD(b.n_kv_head = 3, "n_kv_head");
    BAD((b.head_dim = 1, b.n_head = 64, b.n_kv_head = 64), "head_dim");
    BAD(b.vocab = 1, "vocab");
    BAD(b.vocab = INT64_MAX, "vocab");
    BAD(b.n_layer = 0, "n_layer");
    BAD(b.seq_len = -1, "seq_len");
    BAD(b.d_ff = 0, "d_ff");
    BAD(b.rope_theta = 0.0 / 1.0, "rope_theta");
    BAD(b.act = (shape_act)7, "activation");
}

Test(shape, rules_by_name)
{
    flops_rule r = FLOPS_6N;
    err e = {0};
    cr_expect_eq(flops_rule_find(&r, "exact", &e), ST_OK);
    cr_expect_eq(r, FLOPS_EXACT);
    cr_expect_eq(flops_rule_find(&r, "6n", &e), ST_INPUT);
}
