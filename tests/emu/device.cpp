/* The device: its number, memory, errors. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/emu/state.h"

namespace emu {
long launches;
static thread_local cudaError_t last_error = cudaSuccess;

device_state::device_state()
{
    const char *s = getenv("EMU_STREAMS");
    eager = s && !strcmp(s, "eager");
    crossed = s && !strcmp(s, "crossed");
    if (s && *s && !eager && !crossed && strcmp(s, "late")) die("EMU_STREAMS=%s: want eager, late or crossed", s);
}
device_state &dev()
{
    static device_state *const d = new device_state; /* outlives every destructor of the program under test */
    return *d;
}
std::recursive_mutex &device_lock() { return dev().lock; }
typedef std::lock_guard<std::recursive_mutex> guard;

cudaError_t failed(cudaError_t rc)
{
    if (rc != cudaSuccess) last_error = rc;
    return rc;
}

bool of_execution(cudaError_t rc)
{
    switch (rc) {
    case cudaErrorECCUncorrectable: case cudaErrorIllegalAddress: case cudaErrorLaunchTimeout: case cudaErrorAssert:
    case cudaErrorMisalignedAddress: case cudaErrorLaunchFailure: return true;
    default: return false;
    }
}

static void spoil_captures()
{
    for (auto &c : dev().captures)
        if (c->mode == cudaStreamCaptureModeGlobal || c->thread == std::this_thread::get_id()) c->invalid = true;
}
/* What this thread lets a capture forbid it: a global one of any thread and its own; its own; nothing. */
static thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
static bool capture_forbids()
{
    if (thread_mode == cudaStreamCaptureModeRelaxed) return false;
    for (auto &c : dev().captures) {
        bool own = c->thread == std::this_thread::get_id();
        if ((c->mode == cudaStreamCaptureModeGlobal && (own || thread_mode == cudaStreamCaptureModeGlobal))
            || (c->mode == cudaStreamCaptureModeThreadLocal && own))
            return true;
    }
    return false;
}

static bool there(const std::string &pattern)
{
    glob_t found;
    if (pattern.empty() || glob(pattern.c_str(), GLOB_BRACE | GLOB_NOSORT, nullptr, &found)) return false;
    globfree(&found);
    return true;
}

cudaError_t enter(bool unsafe, cudaError_t *injected)
{
    device_state &d = dev();
    d.calls++;
    if (injected && d.dead == cudaSuccess && there(d.while_there))
        d.fail_in = 1, d.fail_with = d.while_with;
    if (d.fail_in && --d.fail_in == 0) {
        if (injected && of_execution(d.fail_with)) {
            *injected = d.fail_with;
        } else {
            if (of_execution(d.fail_with)) d.dead = d.fail_with;
            return failed(d.fail_with);
        }
    }
    if (d.devices <= 0) return failed(d.devices ? cudaErrorInsufficientDriver : cudaErrorNoDevice);
    if (d.dead != cudaSuccess) return failed(d.dead);
    if (unsafe && capture_forbids()) {
        spoil_captures();
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    return cudaSuccess;
}

int inside(const std::map<hidden, size_t> &table, const void *p, size_t bytes)
{
    auto at = table.lower_bound(hide(p)); /* inverted order: the last allocation that starts at or before p */
    if (at == table.end()) return 0;
    size_t offset = (uintptr_t)p - (uintptr_t)shown(at->first);
    if (offset >= at->second) return 0;
    return bytes <= at->second - offset ? 1 : -1;
}
bool is_handle(const std::set<hidden> &table, const void *p) { return table.count(hide(p)) != 0; }

touch::touch()
{
    dev().lock.lock();
    if (dev().touches++ == 0)
        for (auto &m : dev().memory) __asan_unpoison_memory_region(shown(m.first), m.second);
}
touch::~touch()
{
    if (--dev().touches == 0)
        for (auto &m : dev().memory) __asan_poison_memory_region(shown(m.first), m.second);
    dev().lock.unlock();
}

extern "C" const char __executable_start; /* the linker's */

/* EMU_LOG names a folder: a file per program and build of it (coverage.sh finds it by name and time), a line per
 * kernel: its address from the program's start. */
void log_launch(const geometry &g)
{
    launches++;
    static const char *const folder = getenv("EMU_LOG");
    static std::set<const void *> *const seen = new std::set<const void *>;
    if (!folder || !*folder || !seen->insert(g.kernel).second) return;
    struct stat st; /* argv[0] is Criterion's: its workers have another */
    char exe[4096];
    ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (length < 0 || stat("/proc/self/exe", &st)) die("EMU_LOG: the program does not know its name");
    exe[length] = 0;
    std::string path = std::string(folder) + strrchr(exe, '/') + "." + std::to_string(st.st_mtim.tv_sec);
    if (mkdir(folder, 0777) && errno != EEXIST) die("EMU_LOG=%s: cannot make it", folder);
    int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    char line[64];
    int n = snprintf(line, sizeof line, "%016zx\n", (size_t)((const char *)g.kernel - &__executable_start));
    if (fd < 0 || write(fd, line, (size_t)n) != n) die("EMU_LOG: %s: cannot write", path.c_str());
    close(fd);
}

static cudaError_t allocate(std::map<hidden, size_t> &table, void **out, size_t size, bool on_device)
{
    device_state &d = dev();
    if (!out) return failed(cudaErrorInvalidValue);
    *out = nullptr;
    if (!size) return cudaSuccess;
    void *p = nullptr;
    if (on_device && size > d.capacity - d.used) return failed(cudaErrorMemoryAllocation);
    if (posix_memalign(&p, 256, size)) return failed(cudaErrorMemoryAllocation);
    memset(p, 0xff, size); /* NaN, -1: nobody may count on zeros */
    table[hide(p)] = size;
    if (on_device) {
        d.used += size;
        if (!d.touches) __asan_poison_memory_region(p, size);
    }
    *out = p;
    return cudaSuccess;
}
static cudaError_t release(std::map<hidden, size_t> &table, void *p, bool on_device)
{
    if (!p) return cudaSuccess;
    auto at = table.find(hide(p));
    if (at == table.end()) return failed(cudaErrorInvalidValue);
    drain_all(); /* as CUDA does: work that uses it ends first */
    if (dev().dead != cudaSuccess) return failed(dev().dead);
    if (on_device) dev().used -= at->second;
    table.erase(at);
    races_forget(p);
    free(p);
    return cudaSuccess;
}
} // namespace emu

using namespace emu;

/* Before a sanitizer ends the process it says where on the device that was. UBSan's library knows no callbacks of
 * ASan's: its end is seen as the signal. */
static void at_abort(int)
{
    say_where();
    signal(SIGABRT, SIG_DFL);
    raise(SIGABRT);
}
static struct at_death {
    at_death()
    {
        __sanitizer_set_death_callback(say_where);
        signal(SIGABRT, at_abort);
    }
} at_death;
extern "C" const char *__asan_default_options() { return "abort_on_error=1"; }
extern "C" const char *__ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }

extern "C" {
void emu_devices(int n) { guard g(dev().lock); dev().devices = n; }
void emu_memory(size_t bytes) { guard g(dev().lock); dev().capacity = bytes > dev().used ? bytes : dev().used; }
void emu_capability(int major, int minor) { guard g(dev().lock); dev().major = major; dev().minor = minor; }
void emu_dead_for_good(int on) { dev().for_good = on != 0; }

void emu_fail_at(long n, int error)
{
    guard g(dev().lock);
    dev().fail_in = n;
    dev().fail_with = (cudaError_t)error;
}
void emu_fail_while(const char *path, int error)
{
    guard g(dev().lock);
    dev().while_there = path ? path : "";
    dev().while_with = (cudaError_t)error;
}
long emu_calls(void) { guard g(dev().lock); return dev().calls; }
long emu_launches(void) { guard g(dev().lock); return launches; }
emu_live emu_live_now(void)
{
    guard g(dev().lock);
    device_state &d = dev();
    emu_live l = {d.memory.size(),  d.used,          d.pinned.size(),
                  d.streams.size(), d.events.size(), d.graphs.size() + d.execs.size()};
    return l;
}

cudaError_t cudaPeekAtLastError(void)
{
    guard g(dev().lock);
    return dev().dead != cudaSuccess ? dev().dead : last_error;
}
cudaError_t cudaGetLastError(void)
{
    cudaError_t rc = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return rc;
}
const char *cudaGetErrorString(cudaError_t error)
{
    switch ((int)error) {
#define EMU_ERROR(name, code, text) case code: return text;
#include "tests/emu/errors.h"
#undef EMU_ERROR
    default: return "unrecognized error code";
    }
}
const char *cudaGetErrorName(cudaError_t error)
{
    switch ((int)error) {
#define EMU_ERROR(name, code, text) case code: return #name;
#include "tests/emu/errors.h"
#undef EMU_ERROR
    default: return "unrecognized error code";
    }
}

#define ENTER(...)                                   \
    guard guard_(dev().lock);                        \
    do {                                             \
        cudaError_t rc_ = enter(__VA_ARGS__);        \
        if (rc_ != cudaSuccess) return rc_;          \
    } while (0)

cudaError_t cudaGetDeviceCount(int *count)
{
    if (count) *count = 0;
    ENTER();
    if (!count) return failed(cudaErrorInvalidValue);
    *count = dev().devices;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device)
{
    ENTER();
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device)
{
    ENTER();
    return device >= 0 && device < dev().devices ? cudaSuccess : failed(cudaErrorInvalidDevice);
}
cudaError_t cudaSetDeviceFlags(unsigned int)
{
    ENTER();
    return cudaSuccess;
}
cudaError_t cudaInitDevice(int device, unsigned int, unsigned int) { return cudaSetDevice(device); }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    ENTER();
    if (device < 0 || device >= dev().devices) return failed(cudaErrorInvalidDevice);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "CUDA on CPU");
    p->totalGlobalMem = dev().capacity;
    p->sharedMemPerBlock = SHARED_DEFAULT;
    p->sharedMemPerBlockOptin = SHARED_MAX;
    p->sharedMemPerMultiprocessor = 228 << 10;
    p->regsPerBlock = 65536;
    p->warpSize = WARP;
    p->maxThreadsPerBlock = MAX_THREADS;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = MAX_THREADS;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 0x7fffffff;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->major = dev().major;
    p->minor = dev().minor;
    p->multiProcessorCount = 4; /* few: grids that fill the device stay small here */
    p->unifiedAddressing = 1;
    p->memoryBusWidth = 5120;
    p->l2CacheSize = 50 << 20;
    p->maxThreadsPerMultiProcessor = 2048;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attr, int device)
{
    cudaDeviceProp p;
    cudaError_t rc = cudaGetDeviceProperties(&p, device);
    if (rc != cudaSuccess) return rc;
    switch (attr) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrWarpSize: *value = WARP; break;
    case cudaDevAttrClockRate: *value = 1980000; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrMemoryClockRate: *value = 2619000; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = p.memoryBusWidth; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = (int)p.sharedMemPerMultiprocessor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)p.sharedMemPerBlockOptin; break;
    default: return failed(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version)
{
    guard g(dev().lock);
    *version = dev().devices < 0 ? 0 : CUDART_VERSION;
    return cudaSuccess;
}

/* The only way back from a failed kernel. Handles and memory are gone; who still holds them gets invalid-handle
 * errors. */
cudaError_t cudaDeviceReset(void)
{
    guard g(dev().lock);
    device_state &d = dev();
    cudaError_t was = d.dead;
    if (was != cudaSuccess && d.for_good) return was;
    d.dead = cudaSuccess;
    cudaError_t rc = enter();
    if (rc != cudaSuccess) return d.dead = was, rc;
    streams_forget();
    for (auto table : {&d.memory, &d.pinned}) {
        for (auto &m : *table) {
            races_forget(shown(m.first));
            free(shown(m.first));
        }
        table->clear();
    }
    d.used = 0;
    last_error = cudaSuccess;
    return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *mode)
{
    ENTER();
    if (!mode || (unsigned)*mode > cudaStreamCaptureModeRelaxed) return failed(cudaErrorInvalidValue);
    std::swap(*mode, thread_mode);
    return cudaSuccess;
}
cudaError_t cudaMalloc(void **p, size_t size)
{
    ENTER(true);
    return allocate(dev().memory, p, size, true);
}
cudaError_t cudaFree(void *p)
{
    ENTER(true);
    return release(dev().memory, p, true);
}
cudaError_t cudaHostAlloc(void **p, size_t size, unsigned int)
{
    ENTER(true);
    return allocate(dev().pinned, p, size, false);
}
cudaError_t cudaMallocHost(void **p, size_t size) { return cudaHostAlloc(p, size, 0); }
cudaError_t cudaFreeHost(void *p)
{
    ENTER(true);
    return release(dev().pinned, p, false);
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    ENTER();
    *free_bytes = dev().capacity - dev().used;
    *total = dev().capacity;
    return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void *func, cudaFuncAttribute attr, int value)
{
    ENTER();
    if (!func || value < 0) return failed(cudaErrorInvalidValue);
    if (attr != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value > SHARED_MAX) return failed(cudaErrorInvalidValue);
    dev().shared_allowed[func] = value;
    return cudaSuccess;
}
}
