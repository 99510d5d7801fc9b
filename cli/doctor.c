#include "cli/doctor.h"

#include <cblas.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "config.h"

extern char **environ;

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
void openblas_set_num_threads(int); /* declared by OpenBLAS's cblas.h only */
#endif

static float *filled(size_t n, float x)
{
    float *p = malloc(n * sizeof *p);
    for (size_t i = 0; p && i < n; i++) p[i] = x; /* touched, so that pages are there before the clock starts */
    return p;
}

status doctor_sgemm(double *gflops, double seconds, err *e)
{
    enum { N = 768 };
    float *a = filled((size_t)N * N, 0.5f), *b = filled((size_t)N * N, 0.25f), *c = filled((size_t)N * N, 0);
    status s = a && b && c ? ST_OK : err_set(e, ST_NOMEM, "no memory for the matmul measurement");
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
    openblas_set_num_threads(1);
#endif
    *gflops = 0;
    for (double start = io_now(), t = start; !s && t - start < seconds;) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, N, N, N, 1, a, N, b, N, 0, c, N);
        double now = io_now(), rate = 2.0 * N * N * N / (now - t) * 1e-9;
        if (rate > *gflops) *gflops = rate; /* the best: others may use the machine */
        t = now;
    }
    free(a);
    free(b);
    free(c);
    return s;
}

status doctor_copy(double *gb_per_s, double seconds, err *e)
{
    const size_t n = (size_t)32 << 20; /* 128 MiB each way: beyond any cache */
    float *from = filled(n, 1), *to = filled(n, 0);
    status s = from && to ? ST_OK : err_set(e, ST_NOMEM, "no memory for the bandwidth measurement");
    *gb_per_s = 0;
    for (double start = io_now(), t = start; !s && t - start < seconds;) {
        memcpy(to, from, n * sizeof *to);
        __asm__ volatile("" ::"r"(to) : "memory"); /* the copy is wanted */
        double now = io_now(), rate = 2.0 * (double)(n * sizeof *to) / (now - t) * 1e-9;
        if (rate > *gb_per_s) *gb_per_s = rate;
        t = now;
    }
    free(from);
    free(to);
    return s;
}

static bool start(pid_t *pid, const char *program, int out)
{
    posix_spawn_file_actions_t f;
    char name[IO_PATH_MAX], word[] = "--version";
    snprintf(name, sizeof name, "%s", program);
    char *argv[] = {name, word, NULL};
    if (posix_spawn_file_actions_init(&f)) return false;
    posix_spawn_file_actions_addopen(&f, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&f, out, 1);
    posix_spawn_file_actions_addopen(&f, 2, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(pid, name, &f, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&f);
    return rc == 0;
}

void doctor_version_of(char *out, size_t size, const char *program)
{
    int ends[2];
    pid_t pid;
    size_t n = 0;
    *out = 0;
    if (pipe2(ends, O_CLOEXEC)) return;
    bool started = start(&pid, program, ends[1]);
    close(ends[1]);
    for (ssize_t got; started && n + 1 < size;) {
        got = read(ends[0], out + n, size - 1 - n);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        n += (size_t)got;
    }
    close(ends[0]);
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
    int rc = -1;
    while (started && waitpid(pid, &rc, 0) < 0 && errno == EINTR) {}
    /* A program that cannot say its version is not the program we need. A closed pipe may end it by SIGPIPE: that is
     * fine. */
    if (!started || (WIFEXITED(rc) && WEXITSTATUS(rc))) *out = 0;
}

void doctor_cpu_model(char *out, size_t size)
{
    char *text = NULL;
    size_t n;
    snprintf(out, size, "unknown");
    if (io_read_file(&text, &n, "/proc/cpuinfo", (size_t)8 << 20, NULL)) return;
    const char *line = strstr(text, "model name"), *value = line ? strchr(line, ':') : NULL;
    if (value) snprintf(out, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
    free(text);
}
