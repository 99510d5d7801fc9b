#include "bench/gpu_trace.h"

#if __has_include(<cupti.h>)
#include <cupti.h>
#endif

#if defined(CUPTI_API_VERSION) && CUPTI_API_VERSION >= 130000 /* the records below are structs of that version */
#include <cxxabi.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace
{

constexpr size_t BUFFER = (size_t)8 << 20, MAX_ROWS = 512;

/* CUPTI's callbacks carry no pointer of the caller's: this one object of the process is what they can reach. */
struct {
    void *library;
    CUptiResult (*enable)(CUpti_ActivityKind);
    CUptiResult (*callbacks)(CUpti_BuffersCallbackRequestFunc, CUpti_BuffersCallbackCompleteFunc);
    CUptiResult (*flush)(uint32_t);
    CUptiResult (*next)(uint8_t *, size_t, CUpti_Activity **);
    CUptiResult (*version)(uint32_t *);
    trace_row row[MAX_ROWS];
    size_t n;
    double kernels, copies;
    bool full;
} at;

void CUPTIAPI want_buffer(uint8_t **buffer, size_t *size, size_t *records)
{
    *buffer = (uint8_t *)aligned_alloc(ACTIVITY_RECORD_ALIGNMENT, BUFFER);
    *size = *buffer ? BUFFER : 0;
    *records = 0;
}

/* void k_rope<float>(k_t<float>, ...) -> k_rope<float> */
void short_name(char *out, size_t n, const char *mangled)
{
    int rc = 0;
    char *whole = abi::__cxa_demangle(mangled, NULL, NULL, &rc);
    const char *s = whole ? whole : mangled;
    if (!strncmp(s, "void ", 5)) s += 5;
    size_t end = 0;
    for (int depth = 0; s[end] && !(s[end] == '(' && !depth && end && strncmp(s + end, "(anonymous", 10)); end++)
        depth += s[end] == '<' ? 1 : s[end] == '>' ? -1 : 0;
    snprintf(out, n, "%.*s", (int)end, s);
    free(whole);
}

void add_kernel(const char *mangled, double seconds)
{
    char name[sizeof at.row[0].name];
    short_name(name, sizeof name, mangled ? mangled : "?");
    at.kernels += seconds;
    size_t i = 0;
    while (i < at.n && strcmp(at.row[i].name, name)) i++;
    if (i == MAX_ROWS) {
        at.full = true;
        return;
    }
    if (i == at.n) {
        at.n++;
        snprintf(at.row[i].name, sizeof at.row[i].name, "%s", name);
    }
    at.row[i].n++;
    at.row[i].seconds += seconds;
}

void CUPTIAPI have_buffer(CUcontext, uint32_t, uint8_t *buffer, size_t, size_t valid)
{
    CUpti_Activity *r = NULL;
    while (at.next(buffer, valid, &r) == CUPTI_SUCCESS) {
        if (r->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
            const CUpti_ActivityKernel10 *k = (const CUpti_ActivityKernel10 *)(void *)r;
            add_kernel(k->name, (double)(k->end - k->start) * 1e-9);
        } else if (r->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
            const CUpti_ActivityMemcpy6 *m = (const CUpti_ActivityMemcpy6 *)(void *)r;
            at.copies += (double)(m->end - m->start) * 1e-9;
        } else if (r->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
            const CUpti_ActivityMemset4 *m = (const CUpti_ActivityMemset4 *)(void *)r;
            at.copies += (double)(m->end - m->start) * 1e-9;
        }
    }
    free(buffer);
}

bool open_library(void)
{
    static const char *const names[] = {"libcupti.so.13", "libcupti.so", "/usr/local/cuda/lib64/libcupti.so.13",
                                        "/usr/local/cuda/extras/CUPTI/lib64/libcupti.so.13"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !at.library; i++) at.library = dlopen(names[i], RTLD_NOW);
    if (!at.library) return false;
    *(void **)&at.enable = dlsym(at.library, "cuptiActivityEnable");
    *(void **)&at.callbacks = dlsym(at.library, "cuptiActivityRegisterCallbacks");
    *(void **)&at.flush = dlsym(at.library, "cuptiActivityFlushAll");
    *(void **)&at.next = dlsym(at.library, "cuptiActivityGetNextRecord");
    *(void **)&at.version = dlsym(at.library, "cuptiGetVersion");
    return at.enable && at.callbacks && at.flush && at.next && at.version;
}

int by_time(const void *a, const void *b)
{
    const double x = ((const trace_row *)a)->seconds, y = ((const trace_row *)b)->seconds;
    return (x < y) - (x > y);
}

} /* namespace */

status trace_begin(err *e)
{
    uint32_t v = 0;
    if (!open_library()) return err_set(e, ST_DEVICE, "trace: libcupti.so.13 is not there; set LD_LIBRARY_PATH");
    /* Records are structs of the header's version: another major version lays them out differently. */
    if (at.version(&v) || v / 10000 != CUPTI_API_VERSION / 10000)
        return err_set(e, ST_DEVICE, "trace: CUPTI is version %u, this program was built for %d", v, CUPTI_API_VERSION);
    if (at.callbacks(want_buffer, have_buffer) || at.enable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) ||
        at.enable(CUPTI_ACTIVITY_KIND_MEMCPY) || at.enable(CUPTI_ACTIVITY_KIND_MEMSET))
        return err_set(e, ST_DEVICE, "trace: CUPTI gives no records here (its use may be reserved for root)");
    return ST_OK;
}

void trace_clear(void)
{
    at.flush(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    at.n = 0;
    at.kernels = at.copies = 0;
}

status trace_end(trace *out, err *e)
{
    *out = {};
    if (at.flush(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED)) return err_set(e, ST_DEVICE, "trace: CUPTI lost its records");
    if (!at.n) return err_set(e, ST_DEVICE, "trace: CUPTI recorded no kernel");
    if (at.full) return err_set(e, ST_DEVICE, "trace: more than %zu kernels of different names", MAX_ROWS);
    out->row = (trace_row *)malloc(at.n * sizeof *out->row);
    if (!out->row) return err_set(e, ST_NOMEM, "trace: out of memory");
    memcpy(out->row, at.row, at.n * sizeof *out->row);
    out->n = at.n;
    out->kernels = at.kernels;
    out->copies = at.copies;
    qsort(out->row, out->n, sizeof *out->row, by_time);
    return ST_OK;
}

void trace_free(trace *t)
{
    free(t->row);
    *t = {};
}

#else

status trace_begin(err *e) { return err_set(e, ST_DEVICE, "trace: this program was built without cupti.h"); }
void trace_clear(void) {}
status trace_end(trace *, err *e) { return err_set(e, ST_DEVICE, "trace: this program was built without cupti.h"); }
void trace_free(trace *) {}

#endif
