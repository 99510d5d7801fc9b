/* Shared by the files of the layer. */
#ifndef TESTS_EMU_INTERNAL_H
#define TESTS_EMU_INTERNAL_H
#include <stdint.h>
#include <functional>
#include <mutex>
#include <string>

#include "tests/emu/runtime.h"

namespace emu {
enum { WARP = 32, MAX_THREADS = 1024, SHARED_DEFAULT = 48 << 10, SHARED_MAX = 227 << 10 };

/* Says what is wrong, where on the device (if a kernel runs) and aborts. */
[[noreturn]] void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_where(); /* to stderr: kernel, block, thread; nothing when none runs */

/* block.cpp: all blocks of a grid on this OS thread, one after another. */
void run_grid(const geometry &g);

/* races.cpp, of kernels whose every access calls it (races.sh); `phase` numbers the spans between barriers of all
 * blocks. */
struct place { /* of the running thread */
    const geometry *grid;
    unsigned thread;
    uint64_t phase, first_phase_of_block, first_phase_of_launch;
    unsigned warp_syncs;
    const char *stack, *stack_end, *stacks, *stacks_end, *shared;
};
bool where_now(place *p); /* false: no kernel runs */
void races_forget(const void *allocation);

/* order.cpp */
struct order_rule { enum { ascending, descending, shuffled, mixed } kind; uint64_t seed; };
order_rule order_now();
/* `n` indices in the rule's order; mixed: which order that is depends on `turn`. */
void order_fill(unsigned *index, unsigned n, order_rule rule, uint64_t turn);

/* device.cpp: the one device of the process. Everything that touches it holds its lock. */
std::recursive_mutex &device_lock();
struct touch { touch(); ~touch(); touch(const touch &) = delete; }; /* device memory is readable while one lives */
void log_launch(const geometry &g);
extern long launches;
} // namespace emu
#endif
