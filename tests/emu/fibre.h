/* Stacks that give way to each other within one OS thread, known to ASan. On x86-64 the switch is twelve instructions:
 * that of ucontext makes two system calls, and a launch switches tens of thousands of times. -DEMU_UCONTEXT takes
 * ucontext there too. */
#ifndef TESTS_EMU_FIBRE_H
#define TESTS_EMU_FIBRE_H
#include <stddef.h>
#if !defined(__x86_64__) && !defined(EMU_UCONTEXT)
#define EMU_UCONTEXT
#endif
#ifdef EMU_UCONTEXT
#include <ucontext.h>
#endif

namespace emu {
struct fibre {
    void *fake_stack; /* ASan's, while the fibre does not run */
    const void *bottom;
    size_t size;
#ifdef EMU_UCONTEXT
    ucontext_t context;
#else
    void *sp;
#endif
};
/* `f` will run `entry`, which never returns, on the stack [bottom, bottom + size). */
void fibre_make(fibre *f, void *bottom, size_t size, void (*entry)());
/* From the running fibre to another. The OS thread's own stack is a fibre too: `from` needs no making, only zeros. */
void fibre_switch(fibre *from, fibre *to);
void fibre_started(fibre *from); /* first thing in `entry`; `from`: who switched here */
} // namespace emu
#endif
