/* Text into tables: processor nanoseconds a row for each reader at 100,000 and 1,000,000 rows (linear: the two agree),
 * and the most memory the process has held. `bench/readers DIR` writes the files there and leaves them; without,
 * nothing stays. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/table.h"

enum { REPEATS = 3 };

typedef enum form { CSV, JSON, JSONL, CHART, LOG, N_FORMS } form;
static const char *const names[N_FORMS] = {"CSV", "JSON", "JSONL", "W&B chart", "llm.c log"};

typedef struct buffer { char *s; size_t n, cap; } buffer;

static void put(buffer *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(buffer *b, const char *fmt, ...)
{
    if (b->cap - b->n < 512) {
        b->cap = b->cap ? 2 * b->cap : 1 << 20;
        b->s = realloc(b->s, b->cap);
        if (!b->s) exit(1);
    }
    va_list ap;
    va_start(ap, fmt);
    b->n += (size_t)vsnprintf(b->s + b->n, b->cap - b->n, fmt, ap);
    va_end(ap);
}

/* Rows such as a history has: a run, a step, four numbers of full length. */
static void row(buffer *b, form f, size_t i, bool last)
{
    double loss = 1.8 + 9 / (1 + (double)i * 1.37e-3), lr = 3e-4 / (1 + (double)i * 1e-5),
           tokens = 524288.0 * (double)i, g = 0.1 + loss / 7;
    switch (f) {
    case CSV: put(b, "run-%zu,%zu,%.0f,%.17g,%.17g,%.17g\n", i % 50, i, tokens, loss, lr, g); break;
    case JSON:
    case JSONL:
        put(b,
            "{\"run\":\"run-%zu\",\"_step\":%zu,\"tokens\":%.0f,"
            "\"train/loss\":%.17g,\"lr\":%.17g,\"grad_norm\":%.17g}%s\n",
            i % 50, i, tokens, loss, lr, g, f == JSONL || last ? "" : ",");
        break;
    case CHART: put(b, "%zu,%.17g,%.17g,%.17g,%.17g,%.17g,%.17g\n", i, loss, loss, loss, lr, lr, lr); break;
    case LOG: put(b, "s:%zu trl:%.4f lr:%.6f norm:%.2f\n", i, loss, lr, g); break;
    case N_FORMS: break;
    }
}

static void write_form(buffer *b, form f, size_t n)
{
    b->n = 0;
    if (f == CSV) put(b, "run,_step,tokens,train/loss,lr,grad_norm\n");
    if (f == CHART) put(b, "Step,r - loss,r - loss__MIN,r - loss__MAX,r - lr,r - lr__MIN,r - lr__MAX\n");
    if (f == JSON) put(b, "[\n");
    for (size_t i = 0; i < n; i++) row(b, f, i, i + 1 == n);
    if (f == JSON) put(b, "]\n");
}

static double peak_mib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}

/* Of the processor, not of the wall: the machine may be shared. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double read_once(const char *path, size_t n)
{
    table t = {0};
    err e = {0};
    double start = cpu_seconds();
    if (table_read(&t, path, &e) || t.n_rows != n) {
        fprintf(stderr, "bench/readers: %s\n", e.code ? e.msg : "rows are missing");
        exit(1);
    }
    double took = cpu_seconds() - start;
    table_free(&t);
    return took;
}

static double measure(const char *dir, form f, size_t n, bool keep, double *mib)
{
    static const char *const ext[N_FORMS] = {"csv", "json", "jsonl", "chart.csv", "log"};
    char path[IO_PATH_MAX];
    buffer b = {0};
    err e = {0};
    snprintf(path, sizeof path, "%.900s/%zu.%s", dir, n, ext[f]);
    write_form(&b, f, n);
    if (io_publish(path, b.s, b.n, &e)) {
        fprintf(stderr, "bench/readers: %s\n", e.msg);
        exit(1);
    }
    *mib = (double)b.n / (1 << 20);
    free(b.s);
    double best = read_once(path, n);
    for (int i = 1; i < REPEATS; i++) {
        double again = read_once(path, n);
        if (again < best) best = again;
    }
    if (!keep) unlink(path);
    return 1e9 * best / (double)n;
}

int main(int argc, char **argv)
{
    char made[] = "/tmp/muscale-readers-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(made);
    if (!dir) return 1;
    printf("%-10s %14s %14s %8s %12s\n", "reader", "ns/row at 1e5", "ns/row at 1e6", "ratio", "MiB at 1e6");
    for (form f = 0; f < N_FORMS; f++) {
        double small, mib, low = measure(dir, f, 100000, argc > 1, &small),
                           high = measure(dir, f, 1000000, argc > 1, &mib);
        printf("%-10s %14.0f %14.0f %8.2f %12.0f\n", names[f], low, high, high / low, mib);
    }
    printf("most memory held: %.0f MiB (the text that was written included)\n", peak_mib());
    if (argc < 2) rmdir(dir);
    return 0;
}
