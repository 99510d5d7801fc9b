/* A block of threads as fibres. Each runs until it must wait; when the last one arrives, those who wait go on. When
 * nobody can go on, the block is wrong: the report says who waits where. */
#include <sanitizer/asan_interface.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <map>
#include <vector>

#include "tests/emu/device.h"
#include "tests/emu/fibre.h"
#include "tests/emu/internal.h"

__thread uint3 emu_thread_idx, emu_block_idx, emu_block_dim, emu_grid_dim;

namespace emu {
namespace {
enum { STACK = 256 << 10 }; /* ASan's frames are large; pages that nobody touches cost nothing */

enum wait_kind { RUNNING, BARRIER, BARRIER_AND, BARRIER_OR, BARRIER_COUNT, SYNCWARP, ALL, ANY, BALLOT,
                 SHUFFLE, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR, GATHER, EXITED };
const char *const wait_name[] = {"running", "__syncthreads", "__syncthreads_and", "__syncthreads_or",
    "__syncthreads_count", "__syncwarp", "__all_sync", "__any_sync", "__ballot_sync", "__shfl_sync", "__shfl_up_sync",
    "__shfl_down_sync", "__shfl_xor_sync", "warp_gather", "exited"};

struct fibre_thread {
    fibre f;
    uint3 idx;
    wait_kind waits;
    const char *file;
    int line;
    unsigned mask;
    int predicate, by, width;
    size_t bytes;
    unsigned char value[8];
    void *to;         /* gather */
    const void *from;
    unsigned result;
    unsigned warp_syncs; /* __syncwarps that ordered this lane's memory with others' */
};

/* The threads of this OS thread's kernels; stacks are made once and used again. */
struct scheduler {
    fibre home;
    std::vector<fibre_thread> threads;
    char *stacks = nullptr;
    size_t page = 0;

    const geometry *grid = nullptr; /* of the running kernel */
    unsigned n = 0, current = 0, at_barrier = 0, alive = 0;
    bool inside = false;            /* a fibre runs */
    bool moved = false;             /* somebody became ready or ended since the last look */
    uint64_t turn = 0;
    bool reorder = false;
    void *shared = nullptr;
    uint64_t phase_of_block = 0, phase_of_launch = 0;

    scheduler() { memset(&home, 0, sizeof home); }
    ~scheduler()
    {
        if (!stacks) return;
        size_t all = (size_t)MAX_THREADS * (STACK + page);
        __asan_unpoison_memory_region(stacks, all); /* fibre_main's frames stand there still */
        munmap(stacks, all);
    }
    void make_stacks();
    void block(order_rule rule);
    void wait();
    [[noreturn]] void stuck(const char *why);
    void finish_barrier();
    void finish_warp(unsigned warp, unsigned mask, wait_kind kind);
    void warp_arrive(wait_kind kind, unsigned mask, const char *file, int line);
};
thread_local scheduler sched;
uint64_t phase; /* counts spans between barriers over all blocks; the device's lock is held where it changes */

[[noreturn]] void fibre_main()
{
    scheduler &s = sched;
    fibre_started(&s.home);
    for (;;) {
        s.grid->thread(s.grid->data.get());
        fibre_thread &t = s.threads[s.current];
        t.waits = EXITED;
        s.alive--;
        s.moved = true;
        fibre_switch(&t.f, &s.home);
    }
}

void scheduler::make_stacks()
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    size_t step = STACK + page;
    void *p = mmap(nullptr, MAX_THREADS * step, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) die("no address space for %d stacks", MAX_THREADS);
    stacks = (char *)p;
    threads.resize(MAX_THREADS);
    for (unsigned i = 0; i < MAX_THREADS; i++) { /* the lowest page of each stays a fence */
        char *bottom = stacks + i * step + page;
        if (mprotect(bottom, STACK, PROT_READ | PROT_WRITE)) die("no memory for %d stacks", MAX_THREADS);
        fibre_make(&threads[i].f, bottom, STACK, fibre_main);
    }
}

void print_thread(FILE *f, const fibre_thread &t) { fprintf(f, "(%u,%u,%u)", t.idx.x, t.idx.y, t.idx.z); }

void scheduler::stuck(const char *why)
{
    fprintf(stderr, "emu: kernel %s, block (%u,%u,%u) of %u threads: %s\n", grid->name, emu_block_idx.x,
            emu_block_idx.y, emu_block_idx.z, n, why);
    std::map<std::string, std::pair<unsigned, unsigned>> groups; /* what: how many, the first */
    for (unsigned i = 0; i < n; i++) {
        const fibre_thread &t = threads[i];
        char what[512];
        if (t.waits == EXITED) snprintf(what, sizeof what, "exited");
        else if (t.waits <= BARRIER_COUNT)
            snprintf(what, sizeof what, "wait at %s (%s:%d)", wait_name[t.waits], t.file, t.line);
        else
            snprintf(what, sizeof what, "wait at %s, mask %08x (%s:%d), warp %u", wait_name[t.waits], t.mask, t.file,
                     t.line, i / WARP);
        auto at = groups.emplace(what, std::make_pair(0u, i)).first;
        at->second.first++;
    }
    for (auto &g : groups) {
        fprintf(stderr, "emu:   %u thread%s, the first ", g.second.first, g.second.first == 1 ? "" : "s");
        print_thread(stderr, threads[g.second.second]);
        fprintf(stderr, ", %s\n", g.first.c_str());
    }
    fflush(stderr);
    grid = nullptr; /* all is said */
    abort();
}

/* Gives way until what this thread waits for has happened. */
void scheduler::wait()
{
    fibre_thread &t = threads[current];
    if (t.waits == RUNNING) return;
    fibre_switch(&t.f, &home);
}

void scheduler::finish_barrier()
{
    const fibre_thread &first = threads[0];
    unsigned yes = 0;
    for (unsigned i = 0; i < n; i++) {
        const fibre_thread &t = threads[i];
        if (t.waits != first.waits || t.line != first.line || strcmp(t.file, first.file))
            stuck("threads wait at different barriers");
        yes += t.predicate != 0;
    }
    unsigned r = first.waits == BARRIER_AND ? yes == n : first.waits == BARRIER_OR ? yes > 0 : yes;
    for (unsigned i = 0; i < n; i++) {
        threads[i].result = r;
        threads[i].waits = RUNNING;
    }
    at_barrier = 0;
    phase++;
    moved = true;
    reorder = true;
}

int shuffle_source(const fibre_thread &t, unsigned lane)
{
    unsigned first = lane & ~(unsigned)(t.width - 1), last = first + (unsigned)t.width - 1;
    long from = (long)lane;
    switch (t.waits) {
    case SHUFFLE: return (int)(first | ((unsigned)t.by & (unsigned)(t.width - 1)));
    case SHUFFLE_UP: from = (long)lane - t.by; return from < (long)first ? (int)lane : (int)from;
    case SHUFFLE_DOWN: from = (long)lane + t.by; return from > (long)last ? (int)lane : (int)from;
    default: from = (long)(lane ^ (unsigned)t.by); return from > (long)last ? (int)lane : (int)from;
    }
}

/* All lanes of the mask are here: computes every lane's result before any goes on and changes what it gave. */
void scheduler::finish_warp(unsigned warp, unsigned mask, wait_kind kind)
{
    fibre_thread *const lanes = &threads[warp * WARP];
    unsigned ballot = 0;
    unsigned char given[WARP][8];
    for (unsigned l = 0; l < WARP; l++) {
        if (!(mask >> l & 1)) {
            memset(given[l], 0xff, sizeof given[l]);
            continue;
        }
        ballot |= (lanes[l].predicate != 0) * (1u << l);
        memcpy(given[l], lanes[l].value, sizeof given[l]);
    }
    for (unsigned l = 0; l < WARP; l++) {
        if (!(mask >> l & 1)) continue;
        fibre_thread &t = lanes[l];
        switch (kind) {
        case ALL: t.result = ballot == mask; break;
        case ANY: t.result = ballot != 0; break;
        case BALLOT: t.result = ballot; break;
        case GATHER:
            if (t.bytes != lanes[0].bytes) stuck("warp_gather of different sizes");
            for (unsigned k = 0; k < WARP; k++) memcpy((char *)t.to + k * t.bytes, lanes[k].from, t.bytes);
            break;
        case SHUFFLE: case SHUFFLE_UP: case SHUFFLE_DOWN: case SHUFFLE_XOR:
            if (t.by < 0 && kind != SHUFFLE) stuck("a shuffle by a negative distance");
            memcpy(t.value, given[shuffle_source(t, l) & (WARP - 1)], sizeof t.value);
            break;
        default: break;
        }
    }
    unsigned syncs = 0; /* a shuffle or a vote orders no memory */
    for (unsigned l = 0; l < WARP; l++)
        if (mask >> l & 1) syncs = std::max(syncs, lanes[l].warp_syncs);
    for (unsigned l = 0; l < WARP; l++) {
        if (!(mask >> l & 1)) continue;
        lanes[l].waits = RUNNING;
        if (kind == SYNCWARP) lanes[l].warp_syncs = syncs + 1;
    }
    moved = true;
}

void scheduler::warp_arrive(wait_kind kind, unsigned mask, const char *file, int line)
{
    fibre_thread &t = threads[current];
    unsigned warp = current / WARP, l = current % WARP, in_warp = std::min(n - warp * WARP, (unsigned)WARP);
    t.waits = kind;
    t.mask = mask;
    t.file = file;
    t.line = line;
    if (!(mask >> l & 1)) die("%s (%s:%d): lane %u is not in its own mask %08x", wait_name[kind], file, line, l, mask);
    if (in_warp < WARP && mask >> in_warp)
        die("%s (%s:%d): mask %08x names lanes that do not exist: the warp has %u", wait_name[kind], file, line, mask,
            in_warp);
    bool all = true;
    for (unsigned k = 0; k < in_warp; k++) {
        if (!(mask >> k & 1)) continue;
        const fibre_thread &o = threads[warp * WARP + k];
        if (o.waits == EXITED)
            die("%s (%s:%d): mask %08x names lane %u, which has exited", wait_name[kind], file, line, mask, k);
        all = all && o.waits == kind && o.mask == mask && o.bytes == t.bytes;
    }
    if (all) finish_warp(warp, mask, kind);
    wait();
}

void scheduler::block(order_rule rule)
{
    std::vector<unsigned> order(n);
    uint3 d = emu_block_dim;
    for (unsigned i = 0; i < n; i++) {
        fibre_thread &t = threads[i];
        t.idx = uint3{i % d.x, i / d.x % d.y, i / (d.x * d.y)};
        t.waits = RUNNING;
        t.bytes = 0;
        t.warp_syncs = 0;
    }
    phase_of_block = ++phase;
    alive = n;
    at_barrier = 0;
    reorder = true;
    while (alive) {
        if (reorder) order_fill(order.data(), n, rule, turn++);
        reorder = false;
        moved = false;
        for (unsigned k = 0; k < n && !reorder; k++) {
            fibre_thread &t = threads[order[k]];
            if (t.waits != RUNNING) continue;
            current = order[k];
            emu_thread_idx = t.idx;
            inside = true;
            fibre_switch(&home, &t.f);
            inside = false;
        }
        if (alive && !moved) stuck(alive == n ? "no thread can go on" : "no thread can go on, and some have exited");
    }
}
} // namespace

/* Static __shared__ arrays stand in a section of their own (module.am renames the .bss of a kernel's object): NaN at
 * the start of every block. Between them are ASan's fences, so they are not memset's to fill. */
extern "C" {
extern uint64_t __start_emu_shared[] __attribute__((weak));
extern uint64_t __stop_emu_shared[] __attribute__((weak));
}
__attribute__((no_sanitize_address)) static void spoil_static_shared()
{
    for (volatile uint64_t *p = __start_emu_shared; p < __stop_emu_shared; p++) *p = ~(uint64_t)0;
}

void run_grid(const geometry &g)
{
    scheduler &s = sched;
    if (s.grid) die("kernel %s is launched from inside a kernel", g.name);
    if (!s.stacks) s.make_stacks();
    s.grid = &g;
    s.n = g.block.x * g.block.y * g.block.z;
    emu_grid_dim = g.grid;
    emu_block_dim = g.block;
    s.phase_of_launch = phase + 1;
    order_rule rule = order_now();
    s.turn = (uint64_t)launches;
    size_t blocks = (size_t)g.grid.x * g.grid.y * g.grid.z;
    std::vector<unsigned> order(blocks);
    order_fill(order.data(), (unsigned)blocks, rule, (uint64_t)launches);
    for (size_t k = 0; k < blocks; k++) {
        unsigned b = order[k];
        emu_block_idx = uint3{b % g.grid.x, b / g.grid.x % g.grid.y, b / g.grid.x / g.grid.y};
        if (g.shared && posix_memalign(&s.shared, 128, g.shared))
            die("no memory for %zu bytes of shared memory", g.shared);
        if (g.shared) memset(s.shared, 0xff, g.shared);
        spoil_static_shared();
        s.turn = (uint64_t)launches + b;
        s.block(rule);
        free(s.shared);
        s.shared = nullptr;
    }
    s.grid = nullptr;
}

bool where_now(place *p)
{
    const scheduler &s = sched;
    if (!s.inside) return false;
    const fibre_thread &t = s.threads[s.current];
    *p = {s.grid,
          s.current,
          phase,
          s.phase_of_block,
          s.phase_of_launch,
          t.warp_syncs,
          (const char *)t.f.bottom,
          (const char *)t.f.bottom + t.f.size,
          s.stacks,
          s.stacks + (size_t)MAX_THREADS * (STACK + s.page),
          (const char *)s.shared};
    return true;
}

void say_where()
{
    static bool said = false;
    const scheduler &s = sched;
    if (!s.grid || said) return;
    said = true;
    fprintf(stderr, "emu: in kernel %s, block (%u,%u,%u)", s.grid->name, emu_block_idx.x, emu_block_idx.y,
            emu_block_idx.z);
    if (s.inside) fprintf(stderr, ", thread (%u,%u,%u)", emu_thread_idx.x, emu_thread_idx.y, emu_thread_idx.z);
    fprintf(stderr, "\n");
}

void die(const char *format, ...)
{
    fprintf(stderr, "emu: ");
    va_list ap;
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    say_where();
    fflush(stderr);
    abort();
}

static scheduler &here(const char *what)
{
    if (!sched.inside) die("%s is called outside a kernel", what);
    return sched;
}

int sync_threads(vote v, int predicate, const char *file, int line)
{
    scheduler &s = here("__syncthreads");
    fibre_thread &t = s.threads[s.current];
    t.waits = v == vote::none ? BARRIER : v == vote::all ? BARRIER_AND : v == vote::any ? BARRIER_OR : BARRIER_COUNT;
    t.predicate = predicate;
    t.file = file;
    t.line = line;
    if (++s.at_barrier == s.n) s.finish_barrier();
    fibre_switch(&t.f, &s.home); /* the last to come too: who is first behind the barrier is the order's to say */
    return (int)t.result;
}

unsigned sync_warp(vote v, unsigned mask, int predicate, const char *file, int line)
{
    scheduler &s = here("a warp vote");
    fibre_thread &t = s.threads[s.current];
    t.predicate = predicate;
    t.bytes = 0;
    s.warp_arrive(v == vote::none ? SYNCWARP : v == vote::all ? ALL : v == vote::any ? ANY : BALLOT, mask, file, line);
    return t.result;
}

void shuffle_bytes(shuffle kind, unsigned mask, void *value, size_t bytes, int by, int width, const char *file,
                   int line)
{
    scheduler &s = here("a shuffle");
    fibre_thread &t = s.threads[s.current];
    if (width < 1 || width > WARP || (width & (width - 1))) die("a shuffle (%s:%d) of width %d", file, line, width);
    t.by = by;
    t.width = width;
    t.bytes = bytes;
    memcpy(t.value, value, bytes);
    s.warp_arrive(kind == shuffle::index ? SHUFFLE : kind == shuffle::up ? SHUFFLE_UP
                  : kind == shuffle::down ? SHUFFLE_DOWN : SHUFFLE_XOR, mask, file, line);
    memcpy(value, t.value, bytes);
}

void warp_gather(void *all32, const void *mine, size_t bytes, const char *file, int line)
{
    scheduler &s = here("warp_gather");
    fibre_thread &t = s.threads[s.current];
    t.to = all32;
    t.from = mine;
    t.bytes = bytes;
    s.warp_arrive(GATHER, 0xffffffffu, file, line);
}

unsigned lane() { return here("lane").current % WARP; }

unsigned active_mask()
{
    scheduler &s = here("__activemask");
    unsigned first = s.current / WARP * WARP, mask = 0;
    for (unsigned l = 0; l < WARP && first + l < s.n; l++)
        if (s.threads[first + l].waits != EXITED) mask |= 1u << l;
    return mask;
}

void *dynamic_shared()
{
    scheduler &s = here("dynamic_shared");
    if (!s.shared) die("the kernel wants dynamic shared memory, its launch gave none");
    return s.shared;
}
size_t dynamic_shared_bytes() { return here("dynamic_shared").grid->shared; }
} // namespace emu
