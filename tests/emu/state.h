/* The one device of the process: what stands in its memory, its handles, its errors. Private to device.cpp, stream.cpp.
 */
#ifndef TESTS_EMU_STATE_H
#define TESTS_EMU_STATE_H
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/emu/internal.h"

namespace emu {
/* Addresses are kept inverted: LeakSanitizer then sees what the program under test forgot to free. */
typedef uintptr_t hidden;
static inline hidden hide(const void *p) { return ~(uintptr_t)p; }
static inline void *shown(hidden h) { return (void *)~h; }

struct operation {
    const char *what;
    std::function<cudaError_t()> run;
};
struct record {
    bool done = false;
    double ms = 0;
    cudaStream_t stream = nullptr;
}; /* of an event, at one place of a stream */
struct capture {
    cudaStream_t origin;
    cudaStreamCaptureMode mode;
    std::thread::id thread;
    bool invalid = false;
    std::vector<operation> operations;
    std::map<cudaStream_t, bool> forks; /* streams that joined; true: their work is not yet waited for */
};
struct device_state {
    std::recursive_mutex lock;
    int devices = 1, major = 9, minor = 0;
    size_t capacity = (size_t)4 << 30, used = 0;
    std::map<hidden, size_t> memory, pinned; /* bytes of each allocation */
    std::set<hidden> streams, events, graphs, execs;
    std::vector<std::shared_ptr<capture>> captures;
    std::map<const void *, int> shared_allowed; /* cudaFuncAttributeMaxDynamicSharedMemorySize */
    cudaError_t dead = cudaSuccess;             /* after a failed kernel: every call's answer until a reset */
    long fail_in = 0, calls = 0;
    bool for_good = false; /* a dead device stays dead: emu_dead_for_good */
    cudaError_t fail_with = cudaSuccess, while_with = cudaSuccess;
    std::string while_there; /* emu_fail_while's file */
    int touches = 0;
    bool eager = false, crossed = false;
    int draining = 0;
    device_state();
};
device_state &dev();

cudaError_t failed(cudaError_t rc);     /* becomes this host thread's last error, unless success; returns it */
bool of_execution(cudaError_t rc);      /* a kernel's failure: the device is lost */
/* What each call does first: counts, fails by order, answers for a dead or absent device. `unsafe`: must not happen
 * while this thread captures; the capture is then spoilt. `injected`, if given, gets an error of execution by order. */
cudaError_t enter(bool unsafe = false, cudaError_t *injected = nullptr);
/* The allocation that holds [p, p + bytes) wholly; 1 yes, 0 p is in none, -1 runs over the end. */
int inside(const std::map<hidden, size_t> &table, const void *p, size_t bytes);
bool is_handle(const std::set<hidden> &table, const void *p);
void drain_all();
void streams_forget(); /* cudaDeviceReset's part of stream.cpp */
} // namespace emu
#endif
