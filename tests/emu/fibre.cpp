#include "tests/emu/fibre.h"

#include <sanitizer/common_interface_defs.h>
#include <stdint.h>

namespace emu {
#ifdef EMU_UCONTEXT
void fibre_make(fibre *f, void *bottom, size_t size, void (*entry)())
{
    f->fake_stack = nullptr;
    f->bottom = bottom;
    f->size = size;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = bottom;
    f->context.uc_stack.ss_size = size;
    f->context.uc_link = nullptr;
    makecontext(&f->context, entry, 0);
}
static void swap(fibre *from, fibre *to) { swapcontext(&from->context, &to->context); }
#else
/* Saves what the ABI lets a callee keep, changes stacks, restores. */
extern "C" void emu_swap_stack(void **save, void *load);
asm(".text\n"
    ".type emu_swap_stack, @function\n"
    "emu_swap_stack:\n"
    "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
    "    mov %rsp, (%rdi)\n"
    "    mov %rsi, %rsp\n"
    "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
    "    ret\n"
    ".size emu_swap_stack, .-emu_swap_stack\n");

void fibre_make(fibre *f, void *bottom, size_t size, void (*entry)())
{
    f->fake_stack = nullptr;
    f->bottom = bottom;
    f->size = size;
    uintptr_t top = ((uintptr_t)bottom + size) & ~(uintptr_t)15;
    void **sp = (void **)top - 2; /* at entry the stack is 8 off 16, as after a call; nothing returns there */
    sp[0] = (void *)entry;
    sp[1] = nullptr;
    for (int i = 1; i <= 6; i++) sp[-i] = nullptr;
    f->sp = sp - 6;
}
static void swap(fibre *from, fibre *to) { emu_swap_stack(&from->sp, to->sp); }
#endif

void fibre_switch(fibre *from, fibre *to)
{
    __sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
    swap(from, to);
    /* Here again: who came back is unknown and needs no saving, each one's bounds stand in its fibre. */
    __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
}

void fibre_started(fibre *from)
{
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (!from->bottom) { /* the OS thread's stack, as ASan knows it */
        from->bottom = bottom;
        from->size = size;
    }
}
} // namespace emu
