/* The main() of every Criterion test program.
 * Why our own: Criterion exits 0 when every test was skipped; automake's word for that is 77. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

static int all_skipped;

ReportHook(POST_ALL)(struct criterion_global_stats *s)
{
    all_skipped = s->nb_tests > 0 && s->tests_skipped == s->nb_tests;
}

int main(int argc, char **argv)
{
    struct criterion_test_set *set = criterion_initialize();
    int ok = 1;
    if (criterion_handle_args(argc, argv, true)) ok = criterion_run_all_tests(set);
    criterion_finalize(set);
    if (!ok) return 1;
    return all_skipped ? 77 : 0;
}
