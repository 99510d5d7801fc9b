#include "cli/relaunch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is open stays open across exec unless it is told not to: a driver's files would keep the old device alive. */
static void close_on_exec(void)
{
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *x; d && (x = readdir(d));) {
        const int fd = atoi(x->d_name);
        if (fd > STDERR_FILENO) fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    if (d) closedir(d);
}

status cli_relaunch(const cli *c, const char *name, const char *value, err *e)
{
    sigset_t held, before;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGUSR1);
    sigprocmask(SIG_BLOCK, &held, &before);
    status st = cli_caught_signal() ? err_set(e, ST_INTERRUPTED, "interrupted") : ST_OK;
    if (!st && !setenv(name, value, 1)) {
        fflush(NULL);
        close_on_exec();
        execv("/proc/self/exe", c->argv0); /* this very program, whatever has become of its file */
    }
    if (!st) st = err_set(e, ST_SYSTEM, "cannot start this program anew: %s", strerror(errno));
    sigprocmask(SIG_SETMASK, &before, NULL);
    return st;
}
