/* How much of a device a bank fills: between 0 and 1, more with more replicas, less on a larger device; and what the
 * count of one shape is by hand. */
#include <criterion/criterion.h>

#include "sweeps/fill.h"

static bank_opts bank_of(int64_t d, int64_t layers, int64_t vocab, int64_t T, size_t batch)
{
    const shape s = {.vocab = vocab, .d_model = d, .n_layer = layers, .n_head = d / 64, .n_kv_head = d / 64,
                     .head_dim = 64, .d_ff = 4 * d, .seq_len = T};
    return (bank_opts){.shape = s, .batch = batch, .shards = 1, .threads = 1, .backend = "cuda"};
}

Test(fill, grows_with_the_bank_and_falls_with_the_device)
{
    bank_opts o = bank_of(128, 4, 256, 128, 16);
    double last = 0;
    for (size_t R = 1; R <= 1024; R *= 2) {
        o.n_replicas = R;
        const double small = fill_of(&o, 60), large = fill_of(&o, 132);
        cr_expect(large > last && large < 1, "R = %zu: %g after %g", R, large, last);
        cr_expect(small > large, "R = %zu: %g on 60 multiprocessors, %g on 132", R, small, large);
        last = large;
    }
}

Test(fill, enough_is_where_it_says)
{
    const bank_opts shapes[] = {bank_of(64, 2, 256, 128, 16), bank_of(256, 4, 4096, 256, 8),
                                bank_of(768, 12, 50304, 1024, 32)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        bank_opts o = shapes[i];
        const size_t n = fill_replicas(&o, 132, 4096);
        o.n_replicas = n;
        cr_expect(fill_of(&o, 132) >= FILL_ENOUGH, "%zu", n);
        o.n_replicas = n - 1;
        cr_expect(n == 1 || fill_of(&o, 132) < FILL_ENOUGH, "%zu", n);
        cr_expect_eq(fill_replicas(&o, 132, 1), 1);
    }
}

/* doc/performance.md's table: a change of what the model calls, or of the count, is a change of that table. */
Test(fill, the_documented_banks)
{
    static const struct { int64_t d, head, layers, vocab, T; size_t batch, enough; } rows[] = {
        {64, 32, 2, 256, 128, 16, 69},  {128, 32, 4, 256, 128, 16, 33},     {256, 64, 4, 4096, 256, 8, 13},
        {512, 64, 8, 4096, 512, 16, 6}, {768, 64, 12, 50304, 1024, 32, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bank_opts o = bank_of(rows[i].d, rows[i].layers, rows[i].vocab, rows[i].T, rows[i].batch);
        o.shape.head_dim = rows[i].head;
        o.shape.n_head = o.shape.n_kv_head = rows[i].d / rows[i].head;
        cr_expect_eq(fill_replicas(&o, 132, 4096), rows[i].enough, "d %d", (int)rows[i].d);
    }
}

/* A slice more is as much more of everything but AdamW; twice the layers of a deep model twice the time: the same. */
Test(fill, is_the_shape_of_the_work_not_its_amount)
{
    bank_opts o = bank_of(128, 64, 256, 128, 16), twice = bank_of(128, 128, 256, 128, 16);
    o.n_replicas = twice.n_replicas = 8;
    cr_expect_float_eq(fill_of(&o, 132), fill_of(&twice, 132), 1e-3);
    bank_opts slices = o;
    slices.batch = 32;
    slices.grad_accum = 2;
    cr_expect_float_eq(fill_of(&o, 132), fill_of(&slices, 132), 0.02);
    slices.grad_accum = 1; /* one slice of twice the rows fills more */
    cr_expect(fill_of(&slices, 132) > fill_of(&o, 132) + 0.02);
}
