#include "plots/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "plots/colour.h"

#ifndef PLOTS_GNUPLOT
#define PLOTS_GNUPLOT "gnuplot"
#endif

extern char **environ;

/* tail: how a whole file of this format ends. A full disk does not make gnuplot fail, it makes a short file. */
static const struct { const char *name, *tail; } formats[PLOT_N_FORMATS] = {
    [PLOT_SVG] = {"svg", "</svg>"}, [PLOT_PDF] = {"pdf", "%%EOF"}, [PLOT_PNG] = {"png", "IEND"}, [PLOT_TXT] = {"txt", "\n"},
};

const char *plot_format_name(plot_format f) { return formats[f].name; }

status plot_path_split(char dir[IO_PATH_MAX], char name[IO_PATH_MAX], plot_format *f, const char *path, err *e)
{
    static const char *const words[] = {"svg", "pdf", "png", "txt"};
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    if (strlen(path) >= IO_PATH_MAX) return err_set(e, ST_USAGE, "-o: path is longer than %d bytes", IO_PATH_MAX - 1);
    if (!dot || dot == base)
        return err_set(e, ST_USAGE, "-o %s: the file name must end in .svg, .pdf, .png or .txt", path);
    int i = 0;
    while (i < PLOT_N_FORMATS && strcmp(dot + 1, formats[i].name)) i++;
    if (i == PLOT_N_FORMATS) {
        const char *near = num_nearest_word(dot + 1, words, 4);
        return err_set(e, ST_USAGE, "-o %s: cannot draw '%s'%s%s%s; the file name must end in .svg, .pdf, .png or .txt", path, dot,
                       near ? " (did you mean '." : "", near ? near : "", near ? "'?)" : "");
    }
    *f = (plot_format)i;
    snprintf(name, IO_PATH_MAX, "%.*s", (int)(dot - base), base);
    if (!slash) snprintf(dir, IO_PATH_MAX, ".");
    else if (slash == path) snprintf(dir, IO_PATH_MAX, "/");
    else snprintf(dir, IO_PATH_MAX, "%.*s", (int)(slash - path), path);
    return ST_OK;
}

void plot_quote(text *out, const char *s)
{
    text_put(out, "'");
    for (; *s; s++) {
        if (*s == '\'') text_put(out, "''");
        else if ((unsigned char)*s < 32 || *s == '`') text_put(out, " ");
        else text_putn(out, s, 1);
    }
    text_put(out, "'");
}

void plot_gnuplot_head(text *t, const char *name, double w, double h)
{
    static const unsigned inks[] = {INK_BLUE, INK_RED, INK_GREEN, INK_PURPLE, INK_ORANGE, 0x56B4E9, 0xF0E442, INK_BLACK};
    static const int marks[] = {7, 5, 9, 11, 13, 6, 4, 8};
    text_add(t, "# Draws this figure again: gnuplot -e \"format='pdf'\" FILE.gp    (svg, pdf, png or txt)\n"
                "if (!exists('format')) format = 'svg'\nif (!exists('out')) out = ");
    plot_quote(t, name);
    text_put(t, ".'.'.format\ndata = ");
    plot_quote(t, name);
    text_add(t, ".'.tsv'\nset encoding utf8\n"
                "if (format eq 'svg') set term svg size %.0f,%.0f font 'DejaVu Sans,12' background 'white' noenhanced\n"
                "if (format eq 'png') set term pngcairo size %.0f,%.0f font 'DejaVu Sans,12' fontscale 2.25 linewidth 3 "
                "pointscale 3 background 'white' noenhanced\n"
                "if (format eq 'pdf') set term pdfcairo size %.3fin,%.3fin font 'DejaVu Sans,12' fontscale 0.5625 linewidth 1.6 "
                "pointscale 0.9 background 'white' noenhanced\n"
                "if (format eq 'txt') set term dumb size %.0f,%.0f mono noenhanced\n",
             w, h, 3 * w, 3 * h, w / 96, h / 96, w / 4.4, h / 10.5);
    text_put(t, "set output out\nset datafile separator tab\nset datafile missing 'NaN'\n"
                "shade(x) = format eq 'txt' ? NaN : x  # character terminals cannot shade\n");
    for (int i = 0; i < 8; i++) text_add(t, "set linetype %d lc rgb '#%06X' lw 2 pt %d ps 0.6\n", i + 1, inks[i], marks[i]);
    text_add(t, "set palette %s\nset border 3 lc rgb '#333333' lw 0.8\nset tics nomirror out scale 0.5,0.3 textcolor rgb '#222222'\n"
                "set grid back lt 1 lc rgb '#e8e8e8' lw 0.6\nif (format eq 'txt') unset grid\nset errorbars small\n"
                "set key font ',10.5' samplen 1.8 spacing (format eq 'svg' ? 0.95 : 1.1)  # svg has taller lines\n",
             colour_palette());
}

/* --- running it ------------------------------------------------------------------------------------ */

static status spawn_in(pid_t *pid, const char *dir, const char *program, char *const argv[], int err_fd, int close_fd)
{
    posix_spawn_file_actions_t act;
    posix_spawnattr_t attr;
    sigset_t none;
    if (posix_spawn_file_actions_init(&act)) return ST_NOMEM;
    if (posix_spawnattr_init(&attr)) {
        posix_spawn_file_actions_destroy(&act);
        return ST_NOMEM;
    }
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_addopen(&act, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&act, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&act, err_fd, 2);
    posix_spawn_file_actions_addclose(&act, close_fd);
    posix_spawn_file_actions_addchdir_np(&act, dir);
    int rc = posix_spawnp(pid, program, &act, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&act);
    posix_spawnattr_destroy(&attr);
    errno = rc;
    return rc ? ST_SYSTEM : ST_OK;
}

static void listen_to(text *said, int fd)
{
    char buf[4096];
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        if (said->n < 1 << 20) text_putn(said, buf, (size_t)n);
    }
}

/* The words of a failed gnuplot, on one line: it repeats the command, then points, then says what is wrong. */
static void one_line(char *out, size_t size, const char *said)
{
    size_t n = 0, skip = strlen(said) > 600 ? strlen(said) - 600 : 0;
    bool blank = true;
    for (const char *p = said + skip; *p && n + 1 < size; p++) {
        bool space = *p == '\n' || *p == ' ' || *p == '\t' || *p == '\r';
        if (space && blank) continue;
        out[n++] = space ? ' ' : *p;
        blank = space;
    }
    while (n && out[n - 1] == ' ') n--;
    out[n] = 0;
}

static status check_whole(const char *temp, const char *path, plot_format f, err *e)
{
    char tail[65] = {0};
    int fd = open(temp, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ST_IO, "%s: gnuplot wrote no figure: %s", path, strerror(errno));
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > 64 ? size - 64 : 0;
    ssize_t n = pread(fd, tail, 64, from);
    close(fd);
    size_t len = strlen(formats[f].tail);
    for (ssize_t i = 0; n > 0 && i + (ssize_t)len <= n; i++)
        if (!memcmp(tail + i, formats[f].tail, len)) return ST_OK;
    return err_set(e, ST_IO, "%s: the figure is cut short (%lld bytes); is the disk full?", path, (long long)size);
}

static status run(const char *dir, const char *name, const char *temp_base, plot_format f, text *said, err *e)
{
    const char *wanted = getenv("GNUPLOT");
    bool own = wanted && *wanted;
    text set = {0}, file = {0};
    text_add(&set, "format='%s'; out=", formats[f].name);
    plot_quote(&set, temp_base);
    text_add(&file, "./%s.gp", name);
    int fd[2];
    status s = ST_OK;
    if (set.failed || file.failed) s = err_set(e, ST_NOMEM, "no memory to start gnuplot");
    else if (pipe2(fd, O_CLOEXEC)) s = err_set(e, ST_SYSTEM, "cannot make a pipe for gnuplot: %s", strerror(errno));
    if (s) goto done;

    const char *programs[] = {own ? wanted : "gnuplot", own ? wanted : PLOTS_GNUPLOT};
    pid_t pid = 0;
    for (int i = 0; i < 2; i++) {
        char word[] = "gnuplot", d[] = "-d", option[] = "-e"; /* -d: not the user's ~/.gnuplot */
        char *argv[] = {word, d, option, set.s, file.s, NULL};
        s = spawn_in(&pid, dir, programs[i], argv, fd[1], fd[0]);
        if (!s || errno != ENOENT) break;
    }
    if (s) {
        int why = errno;
        s = err_set(e, ST_SYSTEM, "cannot start %s: %s; figures need gnuplot: install the package gnuplot-nox, or set GNUPLOT=/path/to/gnuplot",
                    programs[0], strerror(why));
    }
    close(fd[1]);
    if (!s) {
        int how = 0;
        char words[700];
        listen_to(said, fd[0]);
        while (waitpid(pid, &how, 0) < 0 && errno == EINTR) {}
        one_line(words, sizeof words, text_str(said));
        if (WIFEXITED(how) && WEXITSTATUS(how) == 127 && !*words)
            s = err_set(e, ST_SYSTEM, "cannot run %s in %s; figures need gnuplot: install the package gnuplot-nox", programs[0], dir);
        else if (!WIFEXITED(how) || WEXITSTATUS(how))
            s = err_set(e, ST_SYSTEM, "%s/%s.gp: gnuplot failed: %s", dir, name, *words ? words : "it said nothing");
    }
    close(fd[0]);
done:
    text_free(&set);
    text_free(&file);
    return s;
}

status plot_gnuplot(const char *dir, const char *name, plot_format f, text *said, err *e)
{
    char path[IO_PATH_MAX], temp[IO_PATH_MAX], file[IO_PATH_MAX];
    text own = {0};
    if (snprintf(file, sizeof file, "%s.%s", name, formats[f].name) >= (int)sizeof file)
        return err_set(e, ST_INPUT, "%s: name too long", name);
    status s = io_join(path, dir, file, e);
    if (!s) s = io_temp_name(temp, path, e);
    if (s) return s;
    s = run(dir, name, strrchr(temp, '/') + 1, f, said ? said : &own, e);
    if (!s) s = check_whole(temp, path, f, e);
    if (!s) s = io_publish_temp(temp, path, e);
    else unlink(temp);
    text_free(&own);
    return s;
}
