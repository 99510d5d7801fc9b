/* What a kernel sees: where it is, barriers, votes, shuffles, arithmetic. No float atomics: their order is not ours. */
#ifndef TESTS_EMU_DEVICE_H
#define TESTS_EMU_DEVICE_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>

#include "tests/emu/vectors.h"

extern __thread uint3 emu_thread_idx, emu_block_idx;
extern __thread uint3 emu_block_dim, emu_grid_dim;
#define threadIdx emu_thread_idx
#define blockIdx emu_block_idx
#define blockDim emu_block_dim
#define gridDim emu_grid_dim
static constexpr int warpSize = 32;

/* Where in the source a thread waits: default arguments, so that the call looks as on CUDA. */
#define EMU_AT const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emu {
enum class vote { none, all, any, count, ballot };
enum class shuffle { index, up, down, exclusive_or };
int sync_threads(vote, int predicate, const char *file, int line);
unsigned sync_warp(vote, unsigned mask, int predicate, const char *file, int line);
/* `width` in {1, 2, ... 32}; from a lane that does not take part comes 0xff in every byte: NaN. */
void shuffle_bytes(shuffle, unsigned mask, void *value, size_t bytes, int by, int width, const char *file, int line);
unsigned active_mask();
template <class T> static inline T *unseen(T *p) /* the same address; the compiler no longer knows whose (watched.sh) */
{
    asm volatile("" : "+r"(p));
    return p;
}
void check_address(const void *p, size_t bytes); /* dies unless ASan allows it */
void *dynamic_shared();      /* of this block: exactly the bytes of the launch, NaN at its start, 128-byte aligned */
size_t dynamic_shared_bytes();
unsigned lane();

/* Every lane of the warp gives `bytes` and gets all 32 lanes', in lane order. All 32 must call it. For the host
 * definition of instructions that a whole warp performs (mma, ldmatrix). */
void warp_gather(void *all32, const void *mine, size_t bytes, EMU_AT);
} // namespace emu

static inline void __syncthreads(EMU_AT) { emu::sync_threads(emu::vote::none, 0, file, line); }
static inline int __syncthreads_and(int p, EMU_AT) { return emu::sync_threads(emu::vote::all, p, file, line); }
static inline int __syncthreads_or(int p, EMU_AT) { return emu::sync_threads(emu::vote::any, p, file, line); }
static inline int __syncthreads_count(int p, EMU_AT) { return emu::sync_threads(emu::vote::count, p, file, line); }
static inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_AT)
{
    emu::sync_warp(emu::vote::none, mask, 0, file, line);
}
static inline int __all_sync(unsigned mask, int p, EMU_AT)
{
    return (int)emu::sync_warp(emu::vote::all, mask, p, file, line);
}
static inline int __any_sync(unsigned mask, int p, EMU_AT)
{
    return (int)emu::sync_warp(emu::vote::any, mask, p, file, line);
}
static inline unsigned __ballot_sync(unsigned mask, int p, EMU_AT)
{
    return emu::sync_warp(emu::vote::ballot, mask, p, file, line);
}
static inline unsigned __activemask() { return emu::active_mask(); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}
[[noreturn]] static inline void __trap() { __builtin_trap(); }

#define EMU_SHUFFLE(name, kind, by_type)                                                                      \
    template <class T> static inline T name(unsigned mask, T v, by_type by, int width = 32, EMU_AT)           \
    {                                                                                                         \
        static_assert(std::is_trivially_copyable<T>::value && (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8), \
                      "a shuffle moves 2, 4 or 8 bytes");                                                     \
        emu::shuffle_bytes(emu::shuffle::kind, mask, &v, sizeof v, (int)by, width, file, line);               \
        return v;                                                                                             \
    }
EMU_SHUFFLE(__shfl_sync, index, int)
EMU_SHUFFLE(__shfl_up_sync, up, unsigned)
EMU_SHUFFLE(__shfl_down_sync, down, unsigned)
EMU_SHUFFLE(__shfl_xor_sync, exclusive_or, int)
#undef EMU_SHUFFLE

/* --- memory ------------------------------------------------------------------------------------------------------ */
template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldca(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline T __ldcv(const T *p) { return *p; }
template <class T> static inline void __stcg(T *p, T v) { *p = v; }
template <class T> static inline void __stcs(T *p, T v) { *p = v; }
template <class T> static inline void __stwb(T *p, T v) { *p = v; }
template <class T> static inline void __stwt(T *p, T v) { *p = v; }

/* Threads change only at barriers and warp operations, so plain reads and writes are atomic. Whole numbers only. Not
 * instrumented (races.cpp must not see them): they check the address themselves. */
#define EMU_ATOMIC(name, expression)                                                            \
    template <class T> __attribute__((no_sanitize_address, no_sanitize_thread, noinline)) static inline T           \
    name(T *p, std::enable_if_t<std::is_integral<T>::value && sizeof(T) >= 4, T> v)             \
    {                                                                                           \
        emu::check_address(p, sizeof *p);                                                       \
        T old = *p;                                                                             \
        *p = (expression);                                                                      \
        return old;                                                                             \
    }
EMU_ATOMIC(atomicAdd, (T)((unsigned long long)old + (unsigned long long)v))
EMU_ATOMIC(atomicSub, (T)((unsigned long long)old - (unsigned long long)v))
EMU_ATOMIC(atomicMax, old > v ? old : v)
EMU_ATOMIC(atomicMin, old < v ? old : v)
EMU_ATOMIC(atomicAnd, old & v)
EMU_ATOMIC(atomicOr, old | v)
EMU_ATOMIC(atomicXor, old ^ v)
EMU_ATOMIC(atomicExch, v)
EMU_ATOMIC(atomicInc, old >= v ? 0 : old + 1)
#undef EMU_ATOMIC
template <class T>
__attribute__((no_sanitize_address, no_sanitize_thread, noinline)) static inline T atomicCAS(T *p, T compare, T v)
{
    emu::check_address(p, sizeof *p);
    T old = *p;
    if (old == compare) *p = v;
    return old;
}

/* --- arithmetic: CUDA's fast forms are the host's exact ones --- */
template <class A, class B> using emu_both =
    std::enable_if_t<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value, std::common_type_t<A, B>>;
template <class A, class B> static constexpr emu_both<A, B> min(A a, B b)
{
    typedef std::common_type_t<A, B> C;
    return (C)b < (C)a ? (C)b : (C)a;
}
template <class A, class B> static constexpr emu_both<A, B> max(A a, B b)
{
    typedef std::common_type_t<A, B> C;
    return (C)a < (C)b ? (C)b : (C)a;
}
/* glibc declares these names without defining them. */
#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __powf(x, y) powf(x, y)
#define __sincosf(x, s, c) sincosf(x, s, c)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __saturatef(float x) { return x < 0 ? 0 : x > 1 ? 1 : x == x ? x : 0; }
static inline float rsqrtf(float x) { return (float)(1.0 / sqrt((double)x)); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __frsqrt_rn(float x) { return rsqrtf(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return sqrt(a); }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

template <class To, class From> static inline To emu_bits(From x)
{
    static_assert(sizeof(To) == sizeof(From), "");
    To y;
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }
static inline float __int_as_float(int x) { return emu_bits<float>(x); }
static inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return emu_bits<int>(x); }
static inline long long __double_as_longlong(double x) { return emu_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return emu_bits<double>(x); }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline float __double2float_rn(double x) { return (float)x; }
static inline int __float2int_rn(float x) { return (int)rintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline int __float2int_rd(float x) { return (int)floorf(x); }
static inline int __float2int_ru(float x) { return (int)ceilf(x); }
static inline unsigned __float2uint_rn(float x) { return (unsigned)rintf(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s)
{
    unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned y = 0;
    for (int i = 0; i < 4; i++) y |= (unsigned)(both >> 8 * (s >> 4 * i & 7) & 0xff) << 8 * i;
    return y;
}
#endif
