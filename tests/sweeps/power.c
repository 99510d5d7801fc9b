#include "tests/sweeps/power.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "tests/sweeps/crash.h"
#include "tests/sweeps/store_fixture.h"

/* --- the file system as the process sees it ---- */

typedef struct change { size_t at; const char *data; size_t n; bool cut, synced; } change; /* of data; cut: at is the new size */
typedef struct node {
    bool is_dir;
    int64_t ino;
    char *first;        /* content at the start */
    size_t n_first;
    change *changes;
    size_t n_changes;
} node;

typedef struct name { size_t dir, node; char text[256]; } name; /* node NONE: taken away */
static const size_t NONE = (size_t)-1;

typedef struct step { /* one change of names: all of it or nothing */
    name part[2];
    size_t n;
    bool synced;
} step;

typedef struct power {
    char root[IO_PATH_MAX];
    node *nodes;
    size_t n_nodes;
    name *names; /* as they are now */
    size_t n_names;
    step *steps;
    size_t n_steps;
} disk;

static void *more(void *array, size_t n, size_t size) /* room for one more of n */
{
    if (n & (n - 1)) return array;
    void *p = realloc(array, (n ? 2 * n : 1) * size);
    cr_assert(p);
    return p;
}

static size_t add_node(disk *d, bool is_dir, int64_t ino)
{
    d->nodes = more(d->nodes, d->n_nodes, sizeof *d->nodes);
    d->nodes[d->n_nodes] = (node){.is_dir = is_dir, .ino = ino};
    return d->n_nodes++;
}

static name *find(const disk *d, size_t dir, const char *text)
{
    for (size_t i = 0; i < d->n_names; i++)
        if (d->names[i].dir == dir && !strcmp(d->names[i].text, text)) return &d->names[i];
    return NULL;
}

static void set_name(disk *d, const name *x)
{
    name *old = find(d, x->dir, x->text);
    if (old && x->node != NONE) *old = *x;
    else if (old) *old = d->names[--d->n_names];
    else if (x->node != NONE) {
        d->names = more(d->names, d->n_names, sizeof *d->names);
        d->names[d->n_names++] = *x;
    }
}

/* The directory of a path below root, and the last name in it. Node 0 is root. false: elsewhere. */
static bool resolve(const disk *d, name *out, const char *path)
{
    size_t n = strlen(d->root);
    if (strncmp(path, d->root, n) || path[n] != '/') return false;
    memset(out, 0, sizeof *out);
    for (const char *p = path + n + 1;;) {
        size_t len = strcspn(p, "/");
        snprintf(out->text, sizeof out->text, "%.*s", (int)len, p);
        if (!p[len]) break;
        const name *x = find(d, out->dir, out->text);
        cr_assert(x, "%s: the tape knows no such directory", path);
        out->dir = x->node;
        p += len + 1;
    }
    const name *x = find(d, out->dir, out->text);
    out->node = x ? x->node : NONE;
    return true;
}

static void scan(disk *d, size_t dir, const char *path)
{
    char child[IO_PATH_MAX];
    struct stat st;
    DIR *o = opendir(path);
    cr_assert(o);
    for (const struct dirent *f; (f = readdir(o));) {
        if (!strcmp(f->d_name, ".") || !strcmp(f->d_name, "..")) continue;
        cr_assert(!io_join(child, path, f->d_name, NULL) && !stat(child, &st));
        name x = {.dir = dir, .node = add_node(d, S_ISDIR(st.st_mode), (int64_t)st.st_ino)};
        snprintf(x.text, sizeof x.text, "%.255s", f->d_name);
        set_name(d, &x);
        if (S_ISDIR(st.st_mode)) scan(d, x.node, child);
        else d->nodes[x.node].first = fx_read(child, &d->nodes[x.node].n_first);
    }
    closedir(o);
}

power *power_new(const char *root)
{
    disk *d = calloc(1, sizeof *d);
    struct stat st;
    cr_assert(d && !stat(root, &st));
    snprintf(d->root, sizeof d->root, "%s", root);
    add_node(d, true, (int64_t)st.st_ino);
    scan(d, 0, root);
    return d;
}

void power_free(power *d)
{
    for (size_t i = 0; i < d->n_nodes; i++) free(d->nodes[i].first);
    free(d->nodes);
    free(d->names);
    free(d->steps);
    free(d);
}

/* --- playing the tape ---- */

/* The newest of that number: numbers of files that are gone are used again. NONE: not of ours. */
static size_t by_inode(const disk *d, int64_t ino)
{
    for (size_t i = d->n_nodes; i-- > 0;)
        if (d->nodes[i].ino == ino) return i;
    return NONE;
}

static void add_step(disk *d, const name *a, const name *b)
{
    step s = {.part = {*a}, .n = 1};
    if (b) s.part[s.n++] = *b;
    for (size_t i = 0; i < s.n; i++) set_name(d, &s.part[i]);
    d->steps = more(d->steps, d->n_steps, sizeof *d->steps);
    d->steps[d->n_steps++] = s;
}

static void add_change(disk *d, size_t node_, change c)
{
    if (node_ == NONE) return;
    node *x = &d->nodes[node_];
    x->changes = more(x->changes, x->n_changes, sizeof *x->changes);
    x->changes[x->n_changes++] = c;
}

/* The directory's names are safe; on an ordered file system all names so far. */
static void sync_node(disk *d, size_t node_, power_model model)
{
    if (node_ == NONE) return;
    for (size_t i = 0; i < d->nodes[node_].n_changes; i++) d->nodes[node_].changes[i].synced = true;
    for (size_t i = 0; i < d->n_steps; i++)
        for (size_t k = 0; k < d->steps[i].n; k++)
            if (model == POWER_ORDERED || d->steps[i].part[k].dir == node_) d->steps[i].synced = true;
}

static void play_names(disk *d, const tape_entry *t, const char *path)
{
    name a, b;
    const char *to = t->n_path ? path + strlen(path) + 1 : "";
    if (!resolve(d, &a, path)) return;
    const size_t was = a.node;
    switch ((tape_op)t->op) {
    case TAPE_OPEN:
        if (was != NONE && t->at & O_TRUNC) add_change(d, was, (change){.cut = true});
        if (was != NONE) return;
        a.node = add_node(d, false, t->ino);
        add_step(d, &a, NULL);
        return;
    case TAPE_MKDIR:
        a.node = add_node(d, true, t->ino);
        add_step(d, &a, NULL);
        return;
    case TAPE_UNLINK:
        a.node = NONE;
        add_step(d, &a, NULL);
        return;
    default:
        cr_assert(resolve(d, &b, to), "%s: out of the directory", to);
        a.node = t->op == TAPE_LINK ? was : t->op == TAPE_EXCHANGE ? b.node : NONE;
        b.node = was;
        if (t->op == TAPE_LINK) add_step(d, &b, NULL);
        else add_step(d, &a, &b);
    }
}

static const tape_entry *entry(const tape *t, size_t at) { return (const tape_entry *)(const void *)(t->bytes + at); }

size_t power_steps(const tape *t)
{
    size_t n = 0;
    for (size_t at = 0; at < t->used; at += tape_stride(entry(t, at))) n += entry(t, at)->op != TAPE_NOTE;
    return n;
}

static void play(disk *d, const tape *t, size_t steps, power_model model, int64_t *noted)
{
    cr_assert_leq(t->used, t->size, "the tape is too short");
    for (size_t at = 0; at < t->used; at += tape_stride(entry(t, at))) {
        const tape_entry *x = entry(t, at);
        const char *path = (const char *)(x + 1), *data = path + x->n_path;
        if (x->op == TAPE_NOTE) {
            noted[x->at] = x->ino;
            continue;
        }
        if (!steps--) return;
        if (x->op == TAPE_WRITE) add_change(d, by_inode(d, x->ino), (change){.at = (size_t)x->at, .data = data, .n = x->n_data});
        else if (x->op == TAPE_TRUNCATE) add_change(d, by_inode(d, x->ino), (change){.at = (size_t)x->at, .cut = true});
        else if (x->op == TAPE_SYNC) sync_node(d, by_inode(d, x->ino), model);
        else play_names(d, x, path);
    }
}

/* --- what is left ---- */

typedef struct chance { uint64_t draw, n; } chance;
static uint64_t below(chance *c, uint64_t n) { return rng_below(n, c->draw, RNG_TEST, 77, c->n++); }
static bool coin(chance *c) { return below(c, 2) == 0; }

typedef struct content { char *bytes; size_t n, room; } content;

static void grow(content *x, size_t n)
{
    if (n > x->room) {
        char *p = realloc(x->bytes, n);
        cr_assert(p);
        memset(p + x->room, 0, n - x->room);
        x->bytes = p;
        x->room = n;
    }
    if (n > x->n) x->n = n;
}

static void cut_at(content *x, size_t n)
{
    if (n < x->n) memset(x->bytes + n, 0, x->n - n);
    grow(x, n);
    x->n = n;
}

/* The size comes with the names, the data does not: sector by sector. */
static void scattered(content *x, const change *c, chance *luck)
{
    enum { SECTOR = 512 };
    const bool torn = coin(luck), whole = coin(luck);
    if (torn || whole || coin(luck)) grow(x, c->at + c->n);
    for (size_t at = c->at, end = c->at + c->n; at < end;) {
        size_t next = (at / SECTOR + 1) * SECTOR < end ? (at / SECTOR + 1) * SECTOR : end;
        if (torn ? coin(luck) : whole) memcpy(x->bytes + at, c->data + (at - c->at), next - at);
        at = next;
    }
}

static content content_of(const node *f, power_model model, chance *luck)
{
    content x = {0};
    size_t unsynced = 0;
    grow(&x, f->n_first);
    if (f->n_first) memcpy(x.bytes, f->first, f->n_first);
    for (size_t i = 0; i < f->n_changes; i++) unsynced += !f->changes[i].synced;
    size_t kept = below(luck, unsynced + 1);
    for (size_t i = 0; i < f->n_changes; i++) {
        const change *c = &f->changes[i];
        bool whole = c->synced;
        if (!whole && model == POWER_ORDERED) {
            if (!kept) { /* the last one that came, up to some byte */
                if (c->cut || !c->n) break;
                size_t n = below(luck, c->n);
                if (!n) break;
                grow(&x, c->at + n);
                memcpy(x.bytes + c->at, c->data, n);
                break;
            }
            whole = kept-- > 0;
        }
        if (whole && c->cut) cut_at(&x, c->at);
        else if (whole) {
            grow(&x, c->at + c->n);
            memcpy(x.bytes + c->at, c->data, c->n);
        } else if (c->cut) {
            if (coin(luck)) cut_at(&x, c->at);
        } else scattered(&x, c, luck);
    }
    return x;
}

static void write_out(const disk *d, size_t dir, const char *path, power_model model, chance *luck)
{
    static const struct timespec long_ago[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}}; /* a machine takes its time to come back */
    for (size_t i = 0; i < d->n_names; i++) {
        char child[IO_PATH_MAX];
        if (d->names[i].dir != dir) continue;
        const node *f = &d->nodes[d->names[i].node];
        cr_assert_eq(io_join(child, path, d->names[i].text, NULL), ST_OK);
        if (f->is_dir) {
            cr_assert_eq(mkdir(child, 0777), 0);
            write_out(d, d->names[i].node, child, model, luck);
            continue;
        }
        content x = content_of(f, model, luck);
        fx_write(child, x.bytes, x.n);
        utimensat(AT_FDCWD, child, long_ago, 0);
        free(x.bytes);
    }
}

static disk *copy_of(const disk *d)
{
    disk *c = calloc(1, sizeof *c);
    cr_assert(c);
    memcpy(c->root, d->root, sizeof c->root);
    for (size_t i = 0; i < d->n_nodes; i++) {
        size_t k = add_node(c, d->nodes[i].is_dir, d->nodes[i].ino);
        c->nodes[k].first = d->nodes[i].first; /* borrowed */
        c->nodes[k].n_first = d->nodes[i].n_first;
    }
    for (size_t i = 0; i < d->n_names; i++) set_name(c, &d->names[i]);
    return c;
}

void power_cut(const power *p, const tape *t, size_t steps, power_model model, uint64_t draw, int64_t *noted)
{
    chance luck = {draw, 0};
    disk *seen = copy_of(p), *left = copy_of(p);
    size_t unsynced = 0;
    play(seen, t, steps, model, noted);
    for (size_t i = 0; i < seen->n_steps; i++) unsynced += !seen->steps[i].synced;
    size_t kept = below(&luck, unsynced + 1);
    for (size_t i = 0; i < seen->n_steps; i++) {
        const step *s = &seen->steps[i];
        if (!s->synced && (model == POWER_ORDERED ? !kept : coin(&luck))) continue;
        if (!s->synced && kept) kept--;
        for (size_t k = 0; k < s->n; k++) set_name(left, &s->part[k]);
    }
    free(left->nodes);
    left->nodes = seen->nodes; /* with their data */
    left->n_nodes = seen->n_nodes;
    crash_remove(p->root);
    cr_assert_eq(io_mkdirs(p->root, NULL), ST_OK);
    write_out(left, 0, p->root, model, &luck);
    for (size_t i = 0; i < seen->n_nodes; i++) free(seen->nodes[i].changes);
    free(seen->nodes);
    free(seen->names);
    free(seen->steps);
    free(seen);
    free(left->names);
    free(left->steps);
    free(left);
}
