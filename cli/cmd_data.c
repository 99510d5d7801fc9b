/* muscale data pack | info | gen */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "cli/cli.h"
#include "trainer/data.h"

static int show(const cli *c, const char *path, const data_info *i)
{
    if (c->json) {
        json_t *j = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:o,s:o,s:o,s:s}", "schema", "muscale.data/1", "path", path,
                              "format", i->format, "tokenizer", i->tokenizer, "vocab", (json_int_t)i->vocab,
                              "train_tokens", (json_int_t)i->train_tokens, "val_tokens", (json_int_t)i->val_tokens,
                              "max_id", i->max_id >= 0 ? json_integer(i->max_id) : json_null(), "bytes_per_token",
                              i->bytes_per_token > 0 ? json_real(i->bytes_per_token) : json_null(), "entropy_rate",
                              i->entropy_rate > 0 ? json_real(i->entropy_rate) : json_null(), "sha256", i->sha256);
        return cli_json_out(j);
    }
    printf("%s: %s", path, i->format);
    if (*i->tokenizer) printf(", tokenizer %s", i->tokenizer);
    printf("\n  training tokens    %lld\n  validation tokens  %lld\n", (long long)i->train_tokens,
           (long long)i->val_tokens);
    if (i->vocab) printf("  vocabulary         %lld\n", (long long)i->vocab);
    else printf("  vocabulary         not recorded; largest id %d, so at least %d\n", i->max_id, i->max_id + 1);
    if (i->vocab && i->max_id >= 0) printf("  largest id         %d\n", i->max_id);
    if (i->bytes_per_token > 0) printf("  bytes per token    %g\n", i->bytes_per_token);
    if (i->entropy_rate > 0) printf("  entropy rate       %.10f nats/token\n", i->entropy_rate);
    printf("  sha256             %s\n", i->sha256);
    return 0;
}

static int fail(const cli *c, const err *e) { return cli_usage(c, "data", e); }

static int pack(cli *c, int argc, char **argv)
{
    data_pack_opts o = {.tokenizer = "byte", .val_fraction = 0.05};
    cli_list files = {0};
    data_info info;
    err e = {0};
    const cli_opt opts[] = {
        {NULL, 'o', OPT_TEXT, &o.out_dir, "DIR", "where the data set goes; an older data set there is replaced"},
        {"tokenizer", 0, OPT_TEXT, &o.tokenizer, "byte|ids",
         "bytes as they are, or token ids as numbers (default byte)"},
        {"val-fraction", 0, OPT_F64, &o.val_fraction, "F",
         "share of the tokens, from the end, kept for validation (default 0.05)"},
        {"vocab", 0, OPT_I64, &o.vocab, "V", "with ids: their number (default: largest id + 1)"},
        {"bytes-per-token", 0, OPT_F64, &o.bytes_per_token, "X",
         "with ids: mean bytes of text per token, for bits per byte"},
    };
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &files, &e);
    if (!s && c->show_help) return 0;
    if (!s && !o.out_dir) s = err_set(&e, ST_USAGE, "data pack: -o DIR is missing");
    o.files = files.items;
    o.n_files = files.n;
    o.stop = cli_catch_signals();
    if (!s) s = data_pack(&o, &info, &e);
    free(files.items);
    if (s) return fail(c, &e);
    return c->verbosity < 0 && !c->json ? 0 : show(c, o.out_dir, &info);
}

static int info(cli *c, int argc, char **argv)
{
    const char *dtype = "";
    cli_list rest = {0};
    err e = {0};
    data_set *d = NULL;
    const cli_opt opts[] = {
        {"dtype", 0, OPT_TEXT, &dtype, "u8|u16|u32", "of a headerless file; without it the header decides"}};
    status s = cli_parse(c, opts, 1, argc, argv, &rest, &e);
    if (!s && c->show_help) return 0;
    if (!s && rest.n != 1) s = err_set(&e, ST_USAGE, "data info: one path is needed, %zu were given", rest.n);
    if (!s) s = data_open(&d, rest.items[0], dtype, &e);
    if (!s) s = data_scan(d, data_about(d)->vocab, &e);
    int rc = s ? fail(c, &e) : show(c, rest.items[0], data_about(d));
    data_close(d);
    free(rest.items);
    return rc;
}

static int gen(cli *c, int argc, char **argv)
{
    data_gen_opts o = {.order = 1, .val_fraction = 0.05};
    const char *source = NULL;
    int64_t seed = 0;
    cli_list rest = {0};
    data_info made;
    err e = {0};
    const cli_opt opts[] = {
        {NULL, 'o', OPT_TEXT, &o.out_dir, "DIR", "where the data set goes; an older data set there is replaced"},
        {"source", 0, OPT_TEXT, &source, "markov", "the kind of source"},
        {"vocab", 0, OPT_I64, &o.vocab, "V", "number of symbols"},
        {"order", 0, OPT_I64, &o.order, "K", "how many symbols the next one depends on (default 1)"},
        {"tokens", 0, OPT_I64, &o.tokens, "T", "length of the walk"},
        {"seed", 0, OPT_I64, &seed, "S", "of the table and the walk (default 0)"},
        {"val-fraction", 0, OPT_F64, &o.val_fraction, "F", "share kept for validation (default 0.05)"},
    };
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &rest, &e);
    if (!s && c->show_help) return 0;
    if (!s && rest.n) s = err_set(&e, ST_USAGE, "data gen: unexpected '%s'", rest.items[0]);
    if (!s && !o.out_dir) s = err_set(&e, ST_USAGE, "data gen: -o DIR is missing");
    if (!s && (!source || strcmp(source, "markov")))
        s = err_set(&e, ST_USAGE, "data gen: --source markov is the source there is");
    if (!s && !o.vocab) s = err_set(&e, ST_USAGE, "data gen: --vocab V is missing");
    if (!s && !o.tokens) s = err_set(&e, ST_USAGE, "data gen: --tokens T is missing");
    if (!s && seed < 0) s = err_set(&e, ST_USAGE, "--seed: %lld is negative", (long long)seed);
    o.seed = (uint64_t)seed;
    o.stop = cli_catch_signals();
    if (!s) s = data_gen(&o, &made, &e);
    free(rest.items);
    if (s) return fail(c, &e);
    return c->verbosity < 0 && !c->json ? 0 : show(c, o.out_dir, &made);
}

int cmd_data(cli *c, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(cli *, int, char **);
    } verbs[] = {{"pack", pack}, {"info", info}, {"gen", gen}};
    static const char *const names[] = {"pack", "info", "gen"};
    err e = {0};
    for (size_t i = 0; i < 3 && argc > 1; i++)
        if (!strcmp(argv[1], verbs[i].name)) return verbs[i].run(c, argc - 1, argv + 1);
    if (c->show_help || (argc > 1 && !strcmp(argv[1], "--help"))) return 0;
    const char *near = argc > 1 ? num_nearest_word(argv[1], names, 3) : NULL;
    if (near) err_set(&e, ST_USAGE, "data: unknown action '%s'; did you mean '%s'?", argv[1], near);
    else if (argc > 1) err_set(&e, ST_USAGE, "data: unknown action '%s'; use pack, info or gen", argv[1]);
    else err_set(&e, ST_USAGE, "data: an action is missing: pack, info or gen");
    return fail(c, &e);
}
