/* muscale sweep watch: sweep status, over and over. Reads what status reads, and of that only what has changed. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/sweep_parts.h"

/* A look may take a twentieth of one processor; where it takes long (a network file system), pauses are longer. */
enum { LOOK_SHARE = 20, SAMPLES = 32, FAILURES_SHOWN = 5, BAR = 40 };
static const double TERMINAL_S = 2, LINES_S = 60, LEAST_S = 0.05, MOST_S = 86400, SLICE_S = 0.2;

typedef struct watch {
    const char *campaign;
    sweep_status s;
    struct timespec plan_time;
    off_t plan_size;
    double at[SAMPLES], flops[SAMPLES]; /* the newest ones, in a ring */
    size_t n;
    bool terminal;
    int drawn; /* lines on the terminal that are ours */
} watch;

/* ---- looking -------------------------------------------------------------------------------------------------- */

/* An amended campaign has another plan. */
static status look(watch *w, err *e)
{
    char path[IO_PATH_MAX];
    struct stat st;
    status s = io_join(path, w->campaign, "plan.json", e);
    if (s) return s;
    const bool there = !stat(path, &st);
    if (w->s.rows && there && st.st_size == w->plan_size && st.st_mtim.tv_sec == w->plan_time.tv_sec &&
        st.st_mtim.tv_nsec == w->plan_time.tv_nsec) {
        sweep_status_again(&w->s, w->campaign);
        return ST_OK;
    }
    sweep_status_free(&w->s);
    s = sweep_status_read(&w->s, w->campaign, e);
    if (!s && there) w->plan_size = st.st_size, w->plan_time = st.st_mtim;
    w->n = 0;
    return s;
}

/* FLOP/s over the newest looks; 0 when nothing is known yet. A run that was put aside takes its FLOPs with it. */
static double rate(watch *w)
{
    const double now = io_now(), done = w->s.flops_done;
    if (w->n && done < w->flops[(w->n - 1) % SAMPLES]) w->n = 0;
    w->at[w->n % SAMPLES] = now;
    w->flops[w->n % SAMPLES] = done;
    w->n++;
    const size_t oldest = w->n > SAMPLES ? w->n % SAMPLES : 0;
    const double s = now - w->at[oldest];
    return s > 0 ? (done - w->flops[oldest]) / s : 0;
}

/* ---- telling -------------------------------------------------------------------------------------------------- */

static void progress_text(char *out, size_t size, watch *w)
{
    char left[32];
    const double per_s = rate(w);
    int n = snprintf(out, size, "%.0f %% of %.3g FLOPs", floor(100 * w->s.progress), w->s.flops_total);
    if (n < 0 || (size_t)n >= size || w->s.flops_left <= 0) return;
    if (per_s > 0)
        snprintf(out + n, size - (size_t)n, ", %.3g FLOP/s, %s left", per_s,
                 sweep_duration(w->s.flops_left / per_s, left));
    else if (!w->s.counts[SWEEP_RUNNING]) snprintf(out + n, size - (size_t)n, ", nobody is at work");
}

static void print_line(watch *w)
{
    char counts[320], progress[160], when[32] = "";
    const time_t now = time(NULL);
    struct tm local;
    if (localtime_r(&now, &local)) strftime(when, sizeof when, "%H:%M:%S ", &local);
    sweep_counts_text(counts, sizeof counts, &w->s);
    progress_text(progress, sizeof progress, w);
    printf("%s%s: %zu runs: %s; %s\n", when, w->campaign, w->s.plan.n_runs, counts, progress);
}

typedef struct screen {
    FILE *to;
    int columns, rows, used;
} screen;

/* One line, no wider than the terminal; nothing in it may steer the terminal. */
__attribute__((format(printf, 2, 3)))
static void put(screen *x, const char *fmt, ...)
{
    char line[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    int width = 0;
    for (const char *p = line; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        width += (c & 0xc0) != 0x80; /* bytes that go on a UTF-8 character take no room */
        if (width >= x->columns) break;
        fputc(c < 0x20 || c == 0x7f ? '?' : c, x->to);
    }
    fputc('\n', x->to);
    x->used++;
}

static void draw_running(screen *x, const sweep_status *s, int room)
{
    size_t left = s->counts[SWEEP_RUNNING];
    for (size_t i = 0; i < s->plan.n_runs && left && room > 1; i++) {
        const sweep_row *r = &s->rows[i];
        char loss[32] = "-";
        if (r->state != SWEEP_RUNNING) continue;
        if (isfinite(r->loss)) snprintf(loss, sizeof loss, "%.4f", r->loss);
        put(x, "  %s %9lld/%-9lld %9s  %s  [%s]", s->plan.runs[i].id, (long long)r->step,
            (long long)s->plan.runs[i].steps, loss, s->plan.runs[i].name, r->owner);
        left--, room--;
    }
    if (left) put(x, "  ... %zu more at work", left);
}

/* By the time of the last record; an order even where that is the same. */
static bool older(const sweep_row *a, const sweep_row *b)
{
    if (a->stamp.mtime_s != b->stamp.mtime_s) return a->stamp.mtime_s < b->stamp.mtime_s;
    if (a->stamp.mtime_ns != b->stamp.mtime_ns) return a->stamp.mtime_ns < b->stamp.mtime_ns;
    return a > b;
}

/* The newest ones first. */
static void draw_failures(screen *x, const sweep_status *s, int room)
{
    const sweep_row *before = NULL;
    for (int k = 0; k < FAILURES_SHOWN && k < room; k++) {
        const sweep_row *newest = NULL;
        for (size_t i = 0; i < s->plan.n_runs; i++) {
            const sweep_row *r = &s->rows[i];
            if (sweep_states[r->state].end != SWEEP_SETTLED || (before && !older(r, before))) continue;
            if (!newest || older(newest, r)) newest = r;
        }
        if (!newest) return;
        put(x, "  %s %s: %s", s->plan.runs[newest - s->rows].id, sweep_state_name(newest->state), newest->message);
        before = newest;
    }
}

static status draw(watch *w, err *e)
{
    char counts[320], progress[160], bar[BAR + 1], *text = NULL;
    size_t n = 0;
    struct winsize size = {0};
    const sweep_status *s = &w->s;
    screen x = {.to = open_memstream(&text, &n), .columns = 80, .rows = 24};
    if (!x.to) return err_set(e, ST_NOMEM, "%s: no memory", w->campaign);
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size)) size = (struct winsize){0};
    if (size.ws_col) x.columns = size.ws_col;
    if (size.ws_row) x.rows = size.ws_row;
    if (w->drawn) fprintf(x.to, "\r\033[%dA\033[J", w->drawn);
    sweep_counts_text(counts, sizeof counts, s);
    progress_text(progress, sizeof progress, w);
    for (int i = 0; i < BAR; i++) bar[i] = i < (int)(s->progress * BAR) ? '#' : '.';
    bar[BAR] = 0;
    put(&x, "%s: %zu runs: %s", w->campaign, s->plan.n_runs, counts);
    put(&x, "[%s] %s", bar, progress);
    size_t failed = 0;
    for (int k = 0; k < SWEEP_N_STATES; k++) failed += sweep_states[k].end == SWEEP_SETTLED ? s->counts[k] : 0;
    const int kept = (int)(failed < FAILURES_SHOWN ? failed : FAILURES_SHOWN);
    draw_running(&x, s, x.rows - x.used - kept - 1);
    draw_failures(&x, s, x.rows - x.used - 1);
    fclose(x.to);
    w->drawn = x.used;
    if (text) fwrite(text, 1, n, stdout);
    free(text);
    return ST_OK;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static void pause_for(double s, const volatile sig_atomic_t *stop)
{
    for (const double end = io_now() + s; !*stop && io_now() < end;) {
        const double left = end - io_now(), now = left < SLICE_S ? left : SLICE_S;
        const struct timespec t = {.tv_nsec = (long)(1e9 * (now > 0 ? now : 0))};
        nanosleep(&t, NULL);
    }
}

static status tell(const cli *c, watch *w, err *e)
{
    if (c->json) return ST_OK; /* one object, at the end */
    if (w->terminal) {
        status st = draw(w, e);
        if (st) return st;
    } else print_line(w);
    if (fflush(stdout) || ferror(stdout)) return err_set(e, ST_IO, "cannot write to stdout");
    return ST_OK;
}

static status watch_until_settled(const cli *c, watch *w, double every, err *e)
{
    const volatile sig_atomic_t *stop = cli_catch_signals();
    for (;;) {
        const double t = io_now();
        status st = look(w, e);
        const double took = io_now() - t, least = LOOK_SHARE * took;
        if (!st) st = tell(c, w, e);
        if (st || sweep_status_settled(&w->s)) return st;
        pause_for(every > least ? every : least, stop);
        if (*stop)
            return err_set(e, cli_caught_signal() == SIGINT ? ST_INTERRUPTED : ST_TERMINATED,
                           "%s: no longer watched; whoever is at work there goes on", w->campaign);
    }
}

status sweep_watch_cmd(cli *c, const sweep_settings *x, err *e)
{
    const char *term = getenv("TERM");
    watch w = {.terminal = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb")};
    double every = x->every_s;
    status st = sweep_one_argument(x, "CAMPAIGN", &w.campaign, e);
    if (isnan(every)) every = w.terminal ? TERMINAL_S : LINES_S;
    else if (!st && !(every >= LEAST_S && every <= MOST_S))
        st = err_set(e, ST_USAGE, "--every: %g: seconds between two looks, %g to %g", every, LEAST_S, MOST_S);
    if (!st) st = watch_until_settled(c, &w, every, e);
    if (!st && c->json) cli_json_out(sweep_status_json(&w.s, w.campaign));
    sweep_status_free(&w.s);
    return st;
}
