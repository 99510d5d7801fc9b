/* What no order of threads may show: kernels compiled for races.sh call here at each access to memory. It dies when
 *   two threads of a block touch the same bytes, one of them writing, with neither a __syncthreads nor (in a warp) a
 *   __syncwarp between: a shuffle or a vote orders no memory;
 *   two blocks of a launch do so: they may run in any order;
 *   a kernel follows a pointer that is no device's: the host's memory, another thread's local variables.
 * Blocks run in turn and threads between switches, so one memory of the last accesses to each two bytes tells: who
 * wrote, and two who read. Single bytes are not watched for races. Atomics are not seen. */
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/emu/device.h"
#include "tests/emu/state.h"

extern "C" {
extern const char __executable_start, _end; /* the linker's */
extern uint64_t __start_emu_shared[] __attribute__((weak));
extern uint64_t __stop_emu_shared[] __attribute__((weak));
}

namespace emu {
namespace {
/* An access: whose, in which phase, after how many of its warp's syncs. 0: none yet. */
struct stamp {
    uint64_t bits = 0;
    static stamp of(const place &p) { return {p.phase << 28 | (uint64_t)p.thread << 18 | (p.warp_syncs & 0x3ffff)}; }
    uint64_t phase() const { return bits >> 28; }
    unsigned thread() const { return (unsigned)(bits >> 18) & 1023; }
    unsigned syncs() const { return (unsigned)bits & 0x3ffff; }
};
struct cell { stamp wrote, read[2]; };
struct region { const char *from = nullptr; size_t bytes = 0; cell *cells = nullptr; };
struct watch {
    std::map<hidden, region> device;
    region dynamic, fixed;
    thread_local static region last; /* where this thread's last access to device memory was */
};
thread_local region watch::last;
watch &seen()
{
    static watch *const w = new watch;
    return *w;
}

void make_cells(region *r, const char *from, size_t bytes)
{
    if (r->cells) munmap(r->cells, (r->bytes / 2 + 1) * sizeof(cell));
    void *p = mmap(nullptr, (bytes / 2 + 1) * sizeof(cell), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) die("no memory to watch %zu bytes", bytes);
    *r = {from, bytes, (cell *)p};
}

bool holds(const region &r, const char *p) { return p >= r.from && p < r.from + r.bytes; }

/* Ordered after the other access: by the thread itself, by a barrier of the block, by its warp. */
bool ordered(stamp then, const place &now)
{
    if (then.phase() < now.first_phase_of_launch) return true;
    if (then.phase() < now.first_phase_of_block) return false; /* another block */
    if (then.phase() < now.phase || then.thread() == now.thread) return true;
    return then.thread() / WARP == now.thread / WARP && then.syncs() < now.warp_syncs;
}

[[noreturn]] void race(stamp then, const place &now, const char *did, const char *does, size_t offset, const char *what)
{
    __sanitizer_print_stack_trace();
    if (then.phase() < now.first_phase_of_block)
        die("race: this thread %s, and an earlier block %s, byte %zu of %s; blocks run in any order", does, did, offset,
            what);
    die("race: this thread %s, and thread %u of its block %s, byte %zu of %s, with no barrier between", does,
        then.thread(), did, offset, what);
}

void note(const region &r, const char *p, size_t bytes, bool write, const place &now, const char *what)
{
    if (bytes < 2) return;
    const stamp mine = stamp::of(now);
    for (size_t at = (size_t)(p - r.from) / 2, end = (size_t)(p - r.from + (long)bytes + 1) / 2; at < end; at++) {
        cell &c = r.cells[at];
        const char *does = write ? "writes" : "reads";
        if (!ordered(c.wrote, now)) race(c.wrote, now, "wrote", does, at * 2, what);
        if (write) {
            for (stamp s : c.read)
                if (!ordered(s, now)) race(s, now, "read", does, at * 2, what);
            c.wrote = mine;
        } else {
            /* keep a reader of another block of this launch, and two threads of this one */
            bool other = c.read[0].phase() >= now.first_phase_of_launch && c.read[0].phase() < now.first_phase_of_block;
            if (!other) {
                if (c.read[0].thread() != now.thread) c.read[1] = c.read[0];
                c.read[0] = mine;
            } else {
                c.read[1] = mine;
            }
        }
    }
}

bool allocated_by_a_kernel(const char *p)
{
    void *trace[64];
    int thread;
    size_t n = __asan_get_alloc_stack((void *)const_cast<char *>(p), trace, 64, &thread);
    if (!n) return false;
    char name[512];
    for (size_t i = n; i-- > 0 && i + 4 > n;) {
        __sanitizer_symbolize_pc((char *)trace[i] - 1, "%f", name, sizeof name);
        if (strstr(name, "fibre_main")) return true;
    }
    return false;
}

void access(const char *p, size_t bytes, bool write)
{
    place now;
    if (!where_now(&now)) return;
    if (p >= now.stacks && p < now.stacks_end) {
        if (p >= now.stack && p < now.stack_end) return;
        __sanitizer_print_stack_trace();
        die("a thread %s a local variable of another", write ? "writes" : "reads");
    }
    watch &w = seen();
    place of_block = now; /* shared memory is another's in each block */
    of_block.first_phase_of_launch = now.first_phase_of_block;
    const char *fixed = (const char *)__start_emu_shared;
    if (p >= fixed && p < (const char *)__stop_emu_shared) {
        if (!w.fixed.cells) make_cells(&w.fixed, fixed, (size_t)((const char *)__stop_emu_shared - fixed));
        note(w.fixed, p, bytes, write, of_block, "the static shared memory");
        return;
    }
    if (now.shared && p >= now.shared && p < now.shared + now.grid->shared) {
        if (w.dynamic.bytes < now.grid->shared) make_cells(&w.dynamic, now.shared, now.grid->shared);
        w.dynamic.from = now.shared; /* another block's place has older phases only */
        note(w.dynamic, p, bytes, write, of_block, "the dynamic shared memory");
        return;
    }
    if (!holds(w.last, p)) {
        auto at = dev().memory.lower_bound(hide(p));
        if (at != dev().memory.end() && (size_t)(p - (char *)shown(at->first)) < at->second) {
            region &r = w.device[at->first];
            if (!r.cells) make_cells(&r, (char *)shown(at->first), at->second);
            w.last = r;
        }
    }
    if (holds(w.last, p)) {
        note(w.last, p, bytes, write, now, "an allocation of the device");
        return;
    }
    if (p >= &__executable_start && p < &_end) return; /* constants */
    const char *data = (const char *)now.grid->data.get();
    if (p >= data && p < data + now.grid->data_bytes) return; /* arguments */
    const char *tls = (const char *)__builtin_thread_pointer();
    if (p < tls + 4096 && p + (1 << 20) > tls) return;         /* threadIdx; what tile.cuh keeps */
    static thread_local const char *allowed_from, *allowed_to; /* what host definitions of instructions allocate */
    if (p >= allowed_from && p < allowed_to) return;
    char name[64];
    void *from = nullptr;
    size_t size = 0;
    const char *kind = __asan_locate_address((void *)const_cast<char *>(p), name, sizeof name, &from, &size);
    if (!strcmp(kind, "heap") && allocated_by_a_kernel(p)) {
        allowed_from = (const char *)from;
        allowed_to = allowed_from + size;
        return;
    }
    __sanitizer_print_stack_trace();
    die("a kernel %s the host's memory (%s)", write ? "writes" : "reads", kind);
}
} // namespace

void races_forget(const void *allocation)
{
    watch &w = seen();
    auto at = w.device.find(hide(allocation));
    if (at == w.device.end()) return;
    munmap(at->second.cells, (at->second.bytes / 2 + 1) * sizeof(cell));
    w.device.erase(at);
    w.last = region();
}

void check_address(const void *p, size_t bytes)
{
    if (void *bad = __asan_region_is_poisoned(const_cast<void *>(p), bytes)) {
        __sanitizer_print_stack_trace();
        __asan_describe_address(bad);
        die("an atomic operation on %zu bytes that ASan forbids", bytes);
    }
}
} // namespace emu

/* The calls that the compiler makes for ThreadSanitizer, renamed (shared.sh). ASan, which is not in such an object,
 * checks the address here. */
extern "C" {
void __asan_loadN(uintptr_t, size_t);
void __asan_storeN(uintptr_t, size_t);
void emu_tsan_read_range(void *p, size_t n)
{
    __asan_loadN((uintptr_t)p, n);
    emu::access((const char *)p, n, false);
}
void emu_tsan_write_range(void *p, size_t n)
{
    __asan_storeN((uintptr_t)p, n);
    emu::access((const char *)p, n, true);
}
#define ACCESS(n)                                                           \
    void emu_tsan_read##n(void *p) { emu_tsan_read_range(p, n); }           \
    void emu_tsan_write##n(void *p) { emu_tsan_write_range(p, n); }         \
    void emu_tsan_unaligned_read##n(void *p) { emu_tsan_read_range(p, n); } \
    void emu_tsan_unaligned_write##n(void *p) { emu_tsan_write_range(p, n); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void emu_tsan_init(void) {}
void emu_tsan_func_entry(void *) {}
void emu_tsan_func_exit(void) {}
int emu_tsan_atomic32_fetch_add(volatile int *p, int v, int)
{
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
} /* shared_ptr's */
void emu_tsan_vptr_read(void **) {}
void emu_tsan_vptr_update(void **, void *) {}
}
