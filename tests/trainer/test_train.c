#include <math.h>

#include "tests/trainer/remember.h"

Test(train, order_of_events_and_the_final_record)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t, "val_every", "8", "ckpt_every", "8", "log_every", "5"); /* 20 steps */
    memory m;
    train_job j = job(&t, &c, "run", &m);
    run_jobs(&j, 1, (train_opts){0});
    char order[128] = "";
    for (size_t i = 0; i < m.n; i++) order[i] = m.events[i].kind;
    /* steps:                  1 5 8    10 15 16    20 */
    cr_expect_str_eq(order, "sttvyc" "tt" "vyc" "tvyce", "%s", order);
    cr_expect_eq(m.end.status, RUN_DONE);
    cr_expect_eq(j.result.status, RUN_DONE);
    cr_expect_eq(m.end.step, 20);
    cr_expect_eq(m.end.tokens, 1280);
    cr_expect_eq(m.end.diverged_at, -1);
    cr_expect_gt(m.end.final_val_loss_se, 0);
    cr_expect_leq(m.end.best_val_loss, m.end.final_val_loss);
    cr_expect_float_eq(m.end.flops, shape_flops_per_token(&c.shape, FLOPS_EXACT) * 1280, 1);
    cr_expect_float_eq(m.events[1].b, 0.01 * 0.25, 1e-15, "lr of step 1: a quarter of the warm-up");
    cr_expect_float_eq(m.events[1].a, log(8) + 0.5, 0.5, "untrained: logits of variance 1, near ln V + 1/2");
    free(m.events);
    tiny_remove(&t);
}

Test(train, validation_comes_with_the_standard_error_of_its_mean)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t);
    memory m;
    train_job j = job(&t, &c, "run", &m);
    run_jobs(&j, 1, (train_opts){0});
    cr_expect_eq(m.events[m.n - 4].kind, 'v');
    cr_expect_eq(m.events[m.n - 4].c, 16, "val_tokens / seq_len sequences");
    /* se^2 * n = variance of a sequence's mean loss: of the order of the per-token variance / seq_len. */
    double per_token = m.end.final_val_loss_se * sqrt(16.0 * 16.0);
    cr_expect(per_token > 0.1 && per_token < 3, "%g", per_token);
    free(m.events);
    tiny_remove(&t);
}

Test(train, stopped_and_resumed_is_as_never_stopped)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t, "val_every", "6");
    memory whole, first, rest;
    volatile sig_atomic_t stop = 0;
    train_job a = job(&t, &c, "whole", &whole);
    run_jobs(&a, 1, (train_opts){0});
    for (int64_t at = 1; at <= 19; at += 6) {
        char name[32];
        snprintf(name, sizeof name, "at%d", (int)at);
        train_job b = job(&t, &c, name, &first);
        stop = 0;
        first.stop = &stop;
        first.stop_at = at;
        run_jobs(&b, 1, (train_opts){.stop = &stop});
        cr_expect_eq(b.result.status, RUN_STOPPED);
        cr_expect_eq(b.result.step, at);
        cr_expect(isnan(b.result.final_val_loss));
        train_job d = job(&t, &c, name, &rest);
        run_jobs(&d, 1, (train_opts){.resume = true});
        cr_expect_eq(rest.from_step, at);
        cr_expect_str_eq(d.note, "");
        expect_continues(&whole, &rest, at, name);
        expect_same_final(&t, "whole", name, 20);
        free(first.events);
        free(rest.events);
    }
    free(whole.events);
    tiny_remove(&t);
}

Test(train, the_loss_average_and_the_best_validation_are_part_of_the_state)
{
    /* The twin of the test above: with another history before the checkpoint, the end record must differ. */
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t), d = TINY(&t, "seed", "5");
    memory m, n;
    train_job a = job(&t, &c, "a", &m), b = job(&t, &d, "b", &n);
    run_jobs(&a, 1, (train_opts){0});
    run_jobs(&b, 1, (train_opts){0});
    cr_expect_not(same_bits(m.end.final_train_loss_ema, n.end.final_train_loss_ema));
    char x[IO_PATH_MAX], y[IO_PATH_MAX];
    cr_expect_not(tiny_same_file(tiny_path(x, a.ckpt_dir, "ckpt.20"), tiny_path(y, b.ckpt_dir, "ckpt.20")));
    free(m.events);
    free(n.events);
    tiny_remove(&t);
}

Test(train, company_changes_nothing_and_may_change_at_a_resume)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c[3] = {TINY(&t, "val_every", "6"), TINY(&t, "lr", "0.03", "data_seed", "9"),
                           TINY(&t, "seed", "3", "tokens", "640", "unique_tokens", "800")}; /* half the steps, epochs */
    const char *alone_names[3] = {"alone0", "alone1", "alone2"}, *bank_names[3] = {"bank0", "bank1", "bank2"};
    memory alone[3], m[3], rest;
    for (int i = 0; i < 3; i++) {
        train_job j = job(&t, &c[i], alone_names[i], &alone[i]);
        run_jobs(&j, 1, (train_opts){0});
    }
    train_job jobs[3];
    for (int i = 0; i < 3; i++) jobs[i] = job(&t, &c[i], bank_names[i], &m[i]);
    run_jobs(jobs, 3, (train_opts){.threads = 2});
    for (int i = 0; i < 3; i++) {
        expect_continues(&alone[i], &m[i], 0, bank_names[i]);
        expect_same_final(&t, alone_names[i], bank_names[i], config_steps(&c[i]));
        free(m[i].events);
    }
    /* Stopped in a bank of three at step 7; then one alone, the two others together with a fresh run. */
    volatile sig_atomic_t stop = 0;
    const char *names[4] = {"re0", "re1", "re2", "re3"};
    for (int i = 0; i < 3; i++) jobs[i] = job(&t, &c[i], names[i], &m[i]);
    m[1].stop = &stop;
    m[1].stop_at = 7;
    run_jobs(jobs, 3, (train_opts){.stop = &stop, .threads = 2});
    for (int i = 0; i < 3; i++) free(m[i].events);
    train_job j = job(&t, &c[1], "re1", &rest);
    run_jobs(&j, 1, (train_opts){.resume = true});
    expect_continues(&alone[1], &rest, 7, "resumed alone");
    expect_same_final(&t, "alone1", "re1", 20);
    free(rest.events);
    jobs[0] = job(&t, &c[2], "re2", &m[0]);
    jobs[1] = job(&t, &c[0], "re3", &m[1]); /* from step 0, beside a twin at step 7: same data, other windows */
    jobs[2] = job(&t, &c[0], "re0", &m[2]);
    run_jobs(jobs, 3, (train_opts){.resume = true});
    cr_expect_eq(m[0].from_step, 7);
    cr_expect_eq(m[1].from_step, 0);
    expect_same_final(&t, "alone2", "re2", 10);
    expect_same_final(&t, "alone0", "re3", 20);
    expect_same_final(&t, "alone0", "re0", 20);
    for (int i = 0; i < 3; i++) free(m[i].events), free(alone[i].events);
    tiny_remove(&t);
}

Test(train, a_damaged_newest_checkpoint_costs_time_only)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t, "ckpt_every", "5");
    memory whole, first, rest;
    volatile sig_atomic_t stop = 0;
    char path[IO_PATH_MAX];
    train_job a = job(&t, &c, "whole", &whole), b = job(&t, &c, "cut", &first);
    run_jobs(&a, 1, (train_opts){0});
    first.stop = &stop;
    first.stop_at = 12;
    run_jobs(&b, 1, (train_opts){.stop = &stop});
    tiny_put(tiny_path(path, b.ckpt_dir, ".ckpt.13.99.tmp"), "torn", 4);
    tiny_put(tiny_path(path, b.ckpt_dir, "ckpt.12"), "damaged", 7);
    train_job d = job(&t, &c, "cut", &rest);
    run_jobs(&d, 1, (train_opts){.resume = true});
    cr_expect_eq(rest.from_step, 10);
    cr_expect(strstr(d.note, "ckpt.12") && strstr(d.note, "ckpt.10"), "%s", d.note);
    expect_continues(&whole, &rest, 10, "after damage");
    expect_same_final(&t, "whole", "cut", 20);
    cr_expect_not(io_exists(tiny_path(path, b.ckpt_dir, ".ckpt.13.99.tmp")));
    cr_expect_not(io_exists(path));
    free(whole.events);
    free(first.events);
    free(rest.events);
    tiny_remove(&t);
}

Test(train, killed_between_the_last_checkpoint_and_the_end_record)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t);
    memory m, again;
    train_job a = job(&t, &c, "run", &m), b;
    run_jobs(&a, 1, (train_opts){0});
    b = job(&t, &c, "run", &again);
    run_jobs(&b, 1, (train_opts){.resume = true});
    cr_expect_eq(again.from_step, 20);
    cr_expect_eq(again.n, 3, "start, final validation, end: no step is made twice");
    cr_expect_eq(b.result.status, RUN_DONE);
    cr_expect(same_bits(m.end.final_val_loss, again.end.final_val_loss));
    cr_expect(same_bits(m.end.best_val_loss, again.end.best_val_loss));
    cr_expect(same_bits(m.end.final_train_loss_ema, again.end.final_train_loss_ema));
    cr_expect_eq(m.end.flops, again.end.flops);
    free(m.events);
    free(again.events);
    tiny_remove(&t);
}

Test(train, a_diverged_replica_is_a_result_and_leaves_the_others_alone)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config good = TINY(&t), bad = TINY(&t, "lr", "1e30", "clip_norm", "0", "weight_decay", "0"),
                   high = TINY(&t, "lr", "3", "blowup_nats", "0.5", "clip_norm", "0");
    memory alone, m[3];
    train_job a = job(&t, &good, "alone", &alone);
    run_jobs(&a, 1, (train_opts){0});
    train_job jobs[3] = {job(&t, &bad, "bad", &m[0]), job(&t, &good, "good", &m[1]), job(&t, &high, "high", &m[2])};
    run_jobs(jobs, 3, (train_opts){.threads = 2});
    cr_expect_eq(jobs[0].result.status, RUN_DIVERGED);
    cr_expect_eq(jobs[2].result.status, RUN_DIVERGED, "blown up: %s", run_status_name(jobs[2].result.status));
    for (int i = 0; i < 3; i += 2) {
        int64_t at = jobs[i].result.diverged_at;
        cr_expect(at >= 1 && at <= 20 && jobs[i].result.step == at, "at %d", (int)at);
        cr_expect(isnan(jobs[i].result.final_val_loss));
        cr_expect_eq(m[i].events[m[i].n - 1].kind, 'e');
        cr_expect_eq(m[i].events[m[i].n - 2].kind, 't', "the diverging step has its row");
        cr_expect_eq(m[i].events[m[i].n - 2].step, at);
    }
    cr_expect_eq(jobs[1].result.status, RUN_DONE);
    expect_continues(&alone, &m[1], 0, "beside diverged ones");
    expect_same_final(&t, "alone", "good", 20);
    free(alone.events);
    for (int i = 0; i < 3; i++) free(m[i].events);
    tiny_remove(&t);
}

/* A rule that ends its run at a step; it looks whether all of the bank have given what they have of it. */
typedef struct judging {
    memory m;
    const struct judging *others;
    size_t n_others, asked;
    int64_t end_at, last;
    bool after_val; /* end it when the validation is there */
} judging;

static bool has(const memory *m, char kind, int64_t step)
{
    for (size_t i = m->n; i-- > 0 && m->events[i].step >= step;)
        if (m->events[i].kind == kind && m->events[i].step == step) return true;
    return false;
}

static status on_judge(void *self, int64_t step, train_verdict *v, err *e)
{
    judging *j = self;
    (void)e;
    cr_expect(!v->stop);
    j->asked++;
    j->last = step;
    for (size_t i = 0; i < j->n_others; i++)
        cr_expect(has(&j->others[i].m, 't', step) || has(&j->others[i].m, 'e', 7) || has(&j->others[i].m, 'e', 10),
                  "asked at step %d before row %zu", (int)step, i);
    if (step == j->end_at && (!j->after_val || has(&j->m, 'v', step)))
        *v = (train_verdict){.stop = true, .rule = "test", .metric = "loss", .at = step, .value = 3, .threshold = 2, .n = 4};
    return ST_OK;
}

Test(train, a_rule_ends_a_run_when_all_have_given_their_rows)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t, "val_every", "5"), other = TINY(&t, "lr", "0.003", "val_every", "5");
    memory alone;
    judging w[3];
    train_job a = job(&t, &c, "alone", &alone), jobs[3];
    static const char *const names[] = {"first", "middle", "last"};
    run_jobs(&a, 1, (train_opts){0});
    for (int i = 0; i < 3; i++) {
        w[i] = (judging){.others = w, .n_others = 3, .end_at = i == 0 ? 7 : i == 2 ? 10 : 0, .after_val = i == 2};
        jobs[i] = job(&t, i == 1 ? &c : &other, names[i], &w[i].m);
        jobs[i].observer.judge = on_judge;
    }
    run_jobs(jobs, 3, (train_opts){.threads = 2});
    cr_expect_eq(jobs[0].result.status, RUN_EARLY_STOPPED, "%s", run_status_name(jobs[0].result.status));
    cr_expect_eq(jobs[0].result.step, 7);
    cr_expect(isnan(jobs[0].result.stop_val_loss), "the last validation was two steps before");
    cr_expect_eq(jobs[2].result.status, RUN_EARLY_STOPPED);
    cr_expect_eq(jobs[2].result.step, 10);
    cr_expect_eq(jobs[2].result.stop_val_loss, w[2].m.events[w[2].m.n - 2].a, "that of its last step");
    cr_expect(isnan(jobs[2].result.final_val_loss));
    cr_expect_eq(jobs[2].result.verdict.threshold, 2);
    cr_expect_eq(jobs[1].result.status, RUN_DONE);
    cr_expect_eq(w[1].last, 19, "not at its last step");
    cr_expect_eq(w[1].asked, 19 + 3, "after each row, and after the validations of 5, 10 and 15");
    expect_continues(&alone, &w[1].m, 0, "beside runs that a rule ended");
    expect_same_final(&t, "alone", "middle", 20);
    free(alone.events);
    for (int i = 0; i < 3; i++) free(w[i].m.events);
    tiny_remove(&t);
}

Test(train, a_dead_model_has_diverged_although_its_loss_is_finite)
{
    tiny t = tiny_make(8, 1, 8000);
    /* without the rule of blow-ups, which would catch it on the way */
    trainer_config c = TINY(&t, "lr", "1e30", "warmup_tokens", "0", "blowup_nats", "0");
    memory m;
    train_job j = job(&t, &c, "run", &m);
    run_jobs(&j, 1, (train_opts){0});
    cr_expect_eq(j.result.status, RUN_DIVERGED);
    const event *last = &m.events[m.n - 2];
    cr_expect_float_eq(last->a, log(8), 1e-6, "the loss of knowing nothing, not %g", last->a);
    free(m.events);
    tiny_remove(&t);
}

Test(train, micro_batches_are_slices_of_the_same_sum)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config a = TINY(&t, "grad_accum", "2", "shards", "2"), b = TINY(&t, "grad_accum", "1", "shards", "4");
    memory m, n;
    train_job x = job(&t, &a, "a", &m), y = job(&t, &b, "b", &n);
    run_jobs(&x, 1, (train_opts){0});
    run_jobs(&y, 1, (train_opts){.threads = 2});
    expect_continues(&m, &n, 0, "2 x 2 slices and 4");
    free(m.events);
    free(n.events);
    tiny_remove(&t);
}

Test(train, what_cannot_start_says_why)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t), wider = TINY(&t, "d_model", "32");
    memory m, n;
    train_opts o = {.threads = 1};
    err e = {0};
    train_job a = job(&t, &c, "a", &m);
    run_jobs(&a, 1, o);
    cr_expect_eq(train_bank(&a, 1, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "--resume"), "%s", e.msg);
    cr_expect_eq(a.result.status, RUN_FAILED);
    /* Changed config. */
    o.resume = true;
    a.config = TINY(&t, "lr", "0.02");
    cr_expect_eq(train_bank(&a, 1, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "lr: 0.01 -> 0.02"), "%s", e.msg);
    /* Two shapes. */
    free(m.events);
    train_job two[2] = {job(&t, &c, "x", &m), job(&t, &wider, "y", &n)};
    cr_expect_eq(train_bank(two, 2, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "not one bank"), "%s", e.msg);
    cr_expect_not(train_same_bank(&c, &wider));
    /* Data replaced behind the config's back. */
    free(m.events);
    train_job d = job(&t, &c, "z", &m);
    memset(d.config.data_sha256, 'f', 64);
    cr_expect_eq(train_bank(&d, 1, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "changed"), "%s", e.msg);
    /* The observer's disk is full. */
    train_job f = job(&t, &c, "w", &m);
    m.fail_at = 3;
    cr_expect_eq(train_bank(&f, 1, &o, &e), ST_IO);
    cr_expect_eq(f.result.status, RUN_FAILED);
    free(m.events);
    tiny_remove(&t);
}

static void count_progress(void *self, double done, double total)
{
    double *last = self;
    cr_expect(done >= *last && done <= total, "%g of %g after %g", done, total, *last);
    *last = done;
}

Test(train, progress_ends_at_its_total)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t);
    memory m;
    double last = 0;
    train_job j = job(&t, &c, "run", &m);
    run_jobs(&j, 1, (train_opts){.progress = count_progress, .progress_self = &last});
    cr_expect_float_eq(last, m.end.flops, 1);
    free(m.events);
    tiny_remove(&t);
}
