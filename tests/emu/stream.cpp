/* Streams, events, copies, launches, graphs: queues of closures. */
#include <string.h>
#include <time.h>

#include "tests/emu/state.h"

struct CUstream_st {
    unsigned flags;
    std::deque<emu::operation> queue;
    std::shared_ptr<emu::capture> capturing;
    bool asked = false; /* cudaStreamQuery has answered "not ready" once */
};
struct CUevent_st {
    unsigned flags;
    std::shared_ptr<emu::record> at;
    std::shared_ptr<emu::capture> captured; /* recorded there, in `from` */
    cudaStream_t from = nullptr;
    bool asked = false;
};
struct CUgraph_st { std::shared_ptr<const std::vector<emu::operation>> operations; };
struct CUgraphExec_st { std::shared_ptr<const std::vector<emu::operation>> operations; };

namespace emu {
typedef std::lock_guard<std::recursive_mutex> guard;

static void run(const operation &o)
{
    if (dev().dead != cudaSuccess) return;
    cudaError_t rc = o.run();
    if (rc != cudaSuccess) dev().dead = rc;
}
static void run_queue(cudaStream_t s, const record *until = nullptr)
{
    while (!s->queue.empty() && !(until && until->done)) {
        operation o = std::move(s->queue.front());
        s->queue.pop_front();
        run(o);
    }
}
/* All work of the stream, or up to a place in it. Other streams then do nothing but what this one waits for; or,
 * crossed, all they have got, first. (Not from inside an operation: its own stream is not to run before it.) */
static void drain(cudaStream_t s, const record *until = nullptr)
{
    touch t;
    device_state &d = dev();
    if (d.crossed && !d.draining)
        for (hidden h : d.streams)
            if (shown(h) != s) {
                d.draining++;
                run_queue((cudaStream_t)shown(h));
                d.draining--;
            }
    d.draining++;
    run_queue(s, until);
    d.draining--;
}
void drain_all()
{
    touch t;
    for (hidden h : dev().streams) drain((cudaStream_t)shown(h));
}
/* Waits and answers as CUDA's waits do. */
static cudaError_t waited() { return failed(dev().dead); }

static void drop_capture(const std::shared_ptr<capture> &c)
{
    for (hidden h : dev().streams) {
        cudaStream_t s = (cudaStream_t)shown(h);
        if (s->capturing == c) s->capturing = nullptr;
    }
    auto &all = dev().captures;
    for (size_t i = all.size(); i-- > 0;)
        if (all[i] == c) all.erase(all.begin() + (long)i);
}
void streams_forget()
{
    device_state &d = dev();
    while (!d.captures.empty()) drop_capture(std::shared_ptr<capture>(d.captures.back()));
    for (hidden h : d.streams) delete (cudaStream_t)shown(h);
    for (hidden h : d.events) delete (cudaEvent_t)shown(h);
    for (hidden h : d.graphs) delete (cudaGraph_t)shown(h);
    for (hidden h : d.execs) delete (cudaGraphExec_t)shown(h);
    d.streams.clear();
    d.events.clear();
    d.graphs.clear();
    d.execs.clear();
}

static bool is_legacy(cudaStream_t s) { return s == nullptr || s == cudaStreamLegacy; }
static cudaError_t check_stream(cudaStream_t s)
{
    if (s == cudaStreamPerThread) die("cudaStreamPerThread is not in this layer: make a stream");
    return is_legacy(s) || is_handle(dev().streams, s) ? cudaSuccess : failed(cudaErrorInvalidResourceHandle);
}

static cudaError_t put(cudaStream_t s, operation o)
{
    device_state &d = dev();
    cudaError_t rc = check_stream(s);
    if (rc != cudaSuccess) return rc;
    if (is_legacy(s)) { /* waits for all streams that do not opt out, and all wait for it */
        for (hidden h : d.streams) {
            cudaStream_t other = (cudaStream_t)shown(h);
            if (other->flags & cudaStreamNonBlocking) continue;
            if (other->capturing) {
                other->capturing->invalid = true;
                return failed(cudaErrorStreamCaptureImplicit);
            }
            drain(other);
        }
        touch t;
        run(o);
        return cudaSuccess;
    }
    if (s->capturing) {
        if (s->capturing->invalid) return failed(cudaErrorStreamCaptureInvalidated);
        auto fork = s->capturing->forks.find(s);
        if (fork != s->capturing->forks.end()) fork->second = true;
        s->capturing->operations.push_back(std::move(o));
        return cudaSuccess;
    }
    s->asked = false;
    s->queue.push_back(std::move(o));
    if (d.eager) drain(s);
    return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t s, const char *what, std::function<cudaError_t()> work)
{
    guard g(dev().lock);
    cudaError_t injected = cudaSuccess, rc = enter(false, &injected);
    if (rc != cudaSuccess) return rc;
    if (injected != cudaSuccess) return put(s, {what, [injected] { return injected; }});
    return put(s, {what, std::move(work)});
}

void launch_closure(const geometry &g, cudaStream_t stream)
{
    guard lock(dev().lock);
    const dim3 &b = g.block, &d = g.grid;
    if (b.x == 0 || b.y == 0 || b.z == 0 || b.x > MAX_THREADS || b.y > MAX_THREADS || b.z > 64
        || (size_t)b.x * b.y * b.z > MAX_THREADS)
        die("kernel %s: a block of %ux%ux%u threads; at most 1024, and 64 along z", g.name, b.x, b.y, b.z);
    if (d.x == 0 || d.y == 0 || d.z == 0 || d.x > 0x7fffffffu || d.y > 65535 || d.z > 65535)
        die("kernel %s: a grid of %ux%ux%u blocks; at least 1, at most 2^31-1, 65535, 65535", g.name, d.x, d.y, d.z);
    if (g.shared > SHARED_MAX) die("kernel %s: %zu bytes of dynamic shared memory; at most 227 KiB", g.name, g.shared);
    if (g.shared > SHARED_DEFAULT) {
        auto at = dev().shared_allowed.find(g.kernel);
        if (at == dev().shared_allowed.end() || (size_t)at->second < g.shared)
            die("kernel %s: %zu bytes of dynamic shared memory; more than 48 KiB must be asked for with "
                "cudaFuncAttributeMaxDynamicSharedMemorySize", g.name, g.shared);
    }
    cudaError_t injected = cudaSuccess;
    if (enter(false, &injected) != cudaSuccess) return;
    if (injected != cudaSuccess) {
        put(stream, {g.name, [injected] { return injected; }});
        return;
    }
    put(stream, {g.name, [g] {
        log_launch(g);
        run_grid(g);
        return cudaSuccess;
    }});
}

static double now_ms()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static bool valid_copy(const void *p, size_t n, bool on_device)
{
    int in_device = inside(dev().memory, p, n);
    return on_device ? in_device == 1 : in_device == 0 && inside(dev().pinned, p, n) >= 0;
}
/* 2D in general; a flat copy is one row. Page-locked host memory is read and written when the copy runs; other host
 * memory is read when the call is made, and has been written when it returns. */
static cudaError_t copy(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                        cudaMemcpyKind kind, cudaStream_t s)
{
    if (!width || !height) return check_stream(s);
    if (height > 1 && (width > to_pitch || width > from_pitch)) return failed(cudaErrorInvalidValue);
    size_t to_span = (height - 1) * to_pitch + width, from_span = (height - 1) * from_pitch + width;
    if (kind == cudaMemcpyDefault)
        kind = (cudaMemcpyKind)((inside(dev().memory, from, 1) ? 2 : 0) + (inside(dev().memory, to, 1) ? 1 : 0));
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (!valid_copy(to, to_span, to_device) || !valid_copy(from, from_span, from_device))
        return failed(cudaErrorInvalidValue);
    cudaError_t rc = check_stream(s);
    if (rc != cudaSuccess) return rc;
    bool late_from = from_device || inside(dev().pinned, from, from_span) == 1;
    bool late_to = to_device || inside(dev().pinned, to, to_span) == 1;
    if (!is_legacy(s) && s->capturing && !(late_from && late_to)) {
        s->capturing->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    auto move = [=](const char *source) {
        if (height == 1) memmove(to, source, width);
        else
            for (size_t i = 0; i < height; i++) memmove((char *)to + i * to_pitch, source + i * from_pitch, width);
    };
    if (late_from) {
        rc = put(s, {"copy", [=] { move((const char *)from); return cudaSuccess; }});
    } else {
        auto bytes = std::make_shared<std::vector<char>>((const char *)from, (const char *)from + from_span);
        rc = put(s, {"copy", [=] { move(bytes->data()); return cudaSuccess; }});
    }
    if (rc != cudaSuccess || late_to || is_legacy(s)) return rc;
    drain(s);
    return waited();
}
} // namespace emu

using namespace emu;

#define ENTER(...)                                   \
    guard guard_(dev().lock);                        \
    do {                                             \
        cudaError_t rc_ = enter(__VA_ARGS__);        \
        if (rc_ != cudaSuccess) return rc_;          \
    } while (0)
#define CHECK(call)                                  \
    do {                                             \
        cudaError_t rc_ = (call);                    \
        if (rc_ != cudaSuccess) return rc_;          \
    } while (0)
#define HANDLE(table, h)                             \
    do {                                             \
        if (!is_handle(dev().table, (h))) return failed(cudaErrorInvalidResourceHandle); \
    } while (0)

extern "C" {
/* --- copies --- */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t s)
{
    ENTER();
    return copy(to, n, from, n, n, 1, kind, s);
}
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t s)
{
    ENTER();
    return copy(to, to_pitch, from, from_pitch, width, height, kind, s);
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t n, cudaMemcpyKind kind)
{
    ENTER(true);
    CHECK(copy(to, n, from, n, n, 1, kind, nullptr));
    return waited();
}
cudaError_t cudaMemsetAsync(void *p, int value, size_t n, cudaStream_t s)
{
    ENTER();
    CHECK(check_stream(s));
    if (!n) return cudaSuccess;
    if (!valid_copy(p, n, true)) return failed(cudaErrorInvalidValue);
    return put(s, {"memset", [=] { memset(p, value, n); return cudaSuccess; }});
}
cudaError_t cudaMemset(void *p, int value, size_t n) { return cudaMemsetAsync(p, value, n, nullptr); }

/* --- streams --- */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags)
{
    ENTER();
    if (!out || flags > cudaStreamNonBlocking) return failed(cudaErrorInvalidValue);
    *out = new CUstream_st{flags, {}, nullptr};
    dev().streams.insert(hide(*out));
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *out) { return cudaStreamCreateWithFlags(out, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned int flags, int)
{
    return cudaStreamCreateWithFlags(out, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    ENTER();
    HANDLE(streams, s);
    if (s->capturing) drop_capture(std::shared_ptr<capture>(s->capturing));
    drain(s);
    dev().streams.erase(hide(s));
    delete s;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    ENTER();
    CHECK(check_stream(s));
    if (is_legacy(s)) return waited();
    if (s->capturing) {
        s->capturing->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    drain(s);
    return waited();
}
cudaError_t cudaStreamQuery(cudaStream_t s)
{
    ENTER();
    CHECK(check_stream(s));
    if (is_legacy(s)) return waited();
    if (s->capturing) {
        s->capturing->invalid = true;
        return failed(cudaErrorStreamCaptureUnsupported);
    }
    if (!s->queue.empty() && !s->asked) {
        s->asked = true;
        return cudaErrorNotReady;
    }
    drain(s);
    return waited();
}
cudaError_t cudaDeviceSynchronize(void)
{
    ENTER(true);
    drain_all();
    return waited();
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t fn, void *data)
{
    ENTER();
    return put(s, {"host function", [=] { fn(data); return cudaSuccess; }});
}

/* --- events --- */
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned int flags)
{
    ENTER();
    if (!out) return failed(cudaErrorInvalidValue);
    *out = new CUevent_st{flags, nullptr, nullptr};
    dev().events.insert(hide(*out));
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *out) { return cudaEventCreateWithFlags(out, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    ENTER();
    HANDLE(events, e);
    dev().events.erase(hide(e));
    delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    ENTER();
    HANDLE(events, e);
    CHECK(check_stream(s));
    if (!is_legacy(s) && s->capturing) {
        if (s->capturing->invalid) return failed(cudaErrorStreamCaptureInvalidated);
        e->captured = s->capturing;
        e->from = s;
        return cudaSuccess;
    }
    e->captured = nullptr;
    e->asked = false;
    auto r = e->at = std::make_shared<record>();
    r->stream = s;
    return put(s, {"event", [r] {
        r->done = true;
        r->ms = now_ms();
        return cudaSuccess;
    }});
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    ENTER();
    HANDLE(events, e);
    if (e->captured) return failed(cudaErrorCapturedEvent);
    if (e->at && !e->at->done && is_handle(dev().streams, e->at->stream)) drain(e->at->stream, e->at.get());
    return waited();
}
cudaError_t cudaEventQuery(cudaEvent_t e)
{
    ENTER();
    HANDLE(events, e);
    if (e->captured) return failed(cudaErrorCapturedEvent);
    if (e->at && !e->at->done && !e->asked) {
        e->asked = true;
        return cudaErrorNotReady;
    }
    if (e->at && !e->at->done && is_handle(dev().streams, e->at->stream)) drain(e->at->stream, e->at.get());
    return waited();
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
    ENTER();
    HANDLE(events, a);
    HANDLE(events, b);
    if (!a->at || !b->at || ((a->flags | b->flags) & cudaEventDisableTiming))
        return failed(cudaErrorInvalidResourceHandle);
    if (!a->at->done || !b->at->done) return cudaErrorNotReady;
    *ms = (float)(b->at->ms - a->at->ms);
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned int)
{
    ENTER();
    HANDLE(events, e);
    CHECK(check_stream(s));
    std::shared_ptr<capture> mine = is_legacy(s) ? nullptr : s->capturing;
    if (e->captured) {
        if (is_legacy(s)) return failed(cudaErrorStreamCaptureImplicit);
        if (mine && mine != e->captured) return failed(cudaErrorStreamCaptureIsolation);
        if (!mine) {
            s->capturing = e->captured;
            e->captured->forks[s] = true;
        }
        auto fork = e->captured->forks.find(e->from);
        if (fork != e->captured->forks.end() && e->from != s) fork->second = false;
        return cudaSuccess;
    }
    if (mine) {
        mine->invalid = true;
        return failed(cudaErrorStreamCaptureIsolation);
    }
    if (!e->at) return cudaSuccess;
    auto r = e->at;
    return put(s, {"wait", [r] {
        if (!r->done && is_handle(dev().streams, r->stream)) drain(r->stream, r.get());
        return cudaSuccess;
    }});
}

/* --- graphs --- */
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode)
{
    ENTER();
    CHECK(check_stream(s));
    if (is_legacy(s)) return failed(cudaErrorStreamCaptureUnsupported);
    if (s->capturing) return failed(cudaErrorIllegalState);
    auto c = std::make_shared<capture>();
    c->origin = s;
    c->mode = mode;
    c->thread = std::this_thread::get_id();
    s->capturing = c;
    dev().captures.push_back(c);
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    ENTER();
    if (out) *out = nullptr;
    CHECK(check_stream(s));
    if (is_legacy(s) || !s->capturing) return failed(cudaErrorIllegalState);
    auto c = s->capturing;
    if (c->origin != s) return failed(cudaErrorStreamCaptureUnmatched);
    if (c->mode != cudaStreamCaptureModeRelaxed && c->thread != std::this_thread::get_id())
        return failed(cudaErrorStreamCaptureWrongThread);
    drop_capture(c);
    if (c->invalid) return failed(cudaErrorStreamCaptureInvalidated);
    for (auto &f : c->forks)
        if (f.second) return failed(cudaErrorStreamCaptureUnjoined);
    if (!out) return failed(cudaErrorInvalidValue);
    *out = new CUgraph_st{std::make_shared<const std::vector<operation>>(std::move(c->operations))};
    dev().graphs.insert(hide(*out));
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *status)
{
    ENTER();
    CHECK(check_stream(s));
    *status = is_legacy(s) || !s->capturing ? cudaStreamCaptureStatusNone
              : s->capturing->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
    ENTER();
    HANDLE(graphs, graph);
    if (nodes || !n) return failed(cudaErrorNotSupported); /* the number only */
    *n = graph->operations->size();
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    ENTER();
    HANDLE(graphs, graph);
    if (!out) return failed(cudaErrorInvalidValue);
    *out = new CUgraphExec_st{graph->operations};
    dev().execs.insert(hide(*out));
    return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t s)
{
    ENTER();
    HANDLE(execs, exec);
    return check_stream(s);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    guard g(dev().lock);
    cudaError_t injected = cudaSuccess, rc = enter(false, &injected);
    if (rc != cudaSuccess) return rc;
    HANDLE(execs, exec);
    if (injected != cudaSuccess) return put(s, {"graph", [injected] { return injected; }});
    auto operations = exec->operations;
    return put(s, {"graph", [operations] {
        for (auto &o : *operations) run(o);
        return dev().dead;
    }});
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    ENTER();
    HANDLE(execs, exec);
    dev().execs.erase(hide(exec));
    delete exec;
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    ENTER();
    HANDLE(graphs, graph);
    dev().graphs.erase(hide(graph));
    delete graph;
    return cudaSuccess;
}
}
