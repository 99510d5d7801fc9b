#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MOST_BYTES = 1 << 20 };

static int start(pid_t *pid, const char *const *argv, int out_fd, int err_fd)
{
    posix_spawn_file_actions_t act;
    posix_spawnattr_t attr;
    sigset_t none;
    if (posix_spawn_file_actions_init(&act)) return ENOMEM;
    if (posix_spawnattr_init(&attr)) {
        posix_spawn_file_actions_destroy(&act);
        return ENOMEM;
    }
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_addopen(&act, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&act, out_fd, 1);
    posix_spawn_file_actions_adddup2(&act, err_fd, 2);
    int rc = posix_spawnp(pid, argv[0], &act, &attr, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&act);
    posix_spawnattr_destroy(&attr);
    return rc;
}

/* All that comes from fd, zero-terminated; NULL: no memory, or too much. */
static char *hear(int fd)
{
    size_t n = 0, room = 4096;
    char *text = malloc(room);
    while (text) {
        ssize_t got = read(fd, text + n, room - n - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        n += (size_t)got;
        if (n + 1 < room) continue;
        char *more = room < MOST_BYTES ? realloc(text, room *= 2) : NULL;
        if (!more) free(text);
        text = more;
    }
    if (text) text[n] = 0;
    return text;
}

static void one_line(char *out, size_t size, int fd)
{
    char text[2048];
    off_t end = lseek(fd, 0, SEEK_END), from = end > (off_t)size ? end - (off_t)size : 0;
    ssize_t got = pread(fd, text, sizeof text - 1, from);
    size_t n = 0;
    for (ssize_t i = 0; i < got && n + 1 < size; i++) {
        bool space = text[i] == '\n' || text[i] == '\r' || text[i] == '\t' || text[i] == ' ';
        if (!space) out[n++] = text[i];
        else if (n && out[n - 1] != ' ') out[n++] = ' ';
    }
    while (n && out[n - 1] == ' ') n--;
    out[n] = 0;
}

status program_run(program_result *r, const char *const *argv, err *e)
{
    int fd[2], how = 0;
    pid_t pid = 0;
    memset(r, 0, sizeof *r);
    int words = memfd_create("stderr", MFD_CLOEXEC); /* a second pipe could fill while the first is read */
    if (words < 0 || pipe2(fd, O_CLOEXEC)) {
        int why = errno;
        if (words >= 0) close(words);
        return err_set(e, ST_SYSTEM, "%s: cannot be started: %s", argv[0], strerror(why));
    }
    int rc = start(&pid, argv, fd[1], words);
    close(fd[1]);
    if (!rc) {
        r->out = hear(fd[0]);
        close(fd[0]); /* who still talks is ended by it */
        while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {}
        one_line(r->said, sizeof r->said, words);
    } else close(fd[0]);
    close(words);
    if (rc) return err_set(e, ST_SYSTEM, "%s: cannot be started: %s", argv[0], strerror(rc));
    if (!r->out) return err_set(e, ST_NOMEM, "%s: no memory for what it says", argv[0]);
    r->exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    return ST_OK;
}

void program_free(program_result *r)
{
    free(r->out);
    memset(r, 0, sizeof *r);
}
