/* Tensor cores, ldmatrix and asynchronous copies: the one header with inline PTX. Under a host compiler (tests/emu/)
 * the same functions are defined on the same layout: a warp's lanes exchange their registers, and an asynchronous copy
 * happens as late as the kernel's waits allow (until then its target holds NaNs), so that a kernel that forgets a wait
 * or a barrier computes nonsense there too. Everything that names a warp must be called by all of its 32 lanes.
 *
 * One product is 16 x 8 x 16: d (16, 8) += a (16, 16) . b (16, 8), bf16 in, float sums. Lane l = 4 g + t holds
 *
 *   a[0] row g,     columns 2t, 2t+1        b[0] rows 2t, 2t+1,   column g     d[0], d[1] row g,     columns 2t, 2t+1
 *   a[1] row g + 8, columns 2t, 2t+1        b[1] rows 2t+8, 2t+9, column g     d[2], d[3] row g + 8, columns 2t, 2t+1
 *   a[2] row g,     columns 2t+8, 2t+9      (the lower index in the lower half of the word)
 *   a[3] row g + 8, columns 2t+8, 2t+9
 *
 * so the d of two neighbouring products, rounded, are the a of a next one: a = {d0[0..1], d0[2..3], d1[0..1],
 * d1[2..3]}.
 *
 * ldmatrix reads 8 x 8 matrices of 2-byte elements from shared memory; lane 8 i + j names where row j of matrix i
 * starts (16-byte aligned; k_ldmatrix2 asks lanes 0..15 only). Then r[i] of lane 4 g + t is matrix i's row g, columns
 * 2t, 2t+1; with _t, transposed: rows 2t, 2t+1, column g.
 *
 * Source: PTX ISA, "Matrix fragments for mma.m16n8k16" and "ldmatrix"; sm_80 and later. */
#ifndef KERNELS_TILE_CUH
#define KERNELS_TILE_CUH
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

/* Where a lane's row starts in a row-major tile of row stride ld, for the three ways of k_ldmatrix4. */
__device__ __forceinline__ int k_at_a(int lane, int ld) { return lane % 16 * ld + lane / 16 * 8; } /* a of (16, 16) */
__device__ __forceinline__ int k_at_bt(int lane, int ld) /* tile holds b^T: 16 columns of b, two products' b */
{
    return (lane % 8 + lane / 16 * 8) * ld + lane / 8 % 2 * 8;
}
__device__ __forceinline__ int k_at_b(int lane, int ld) { return k_at_a(lane, ld); } /* with _t; two products' b */

#ifdef __CUDACC__

__device__ __forceinline__ uint32_t k_shared_at(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

__device__ __forceinline__ void k_mma(float *d, const uint32_t *a, const uint32_t *b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void k_ldmatrix4(uint32_t *r, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(k_shared_at(row))
                 : "memory");
}
__device__ __forceinline__ void k_ldmatrix4_t(uint32_t *r, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(k_shared_at(row))
                 : "memory");
}
__device__ __forceinline__ void k_ldmatrix2(uint32_t *r, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(k_shared_at(row))
                 : "memory");
}
__device__ __forceinline__ void k_ldmatrix2_t(uint32_t *r, const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(k_shared_at(row))
                 : "memory");
}

/* Copies 16 (4) bytes to shared memory, both 16-byte (4-byte) aligned; not `valid`: zeros, `from` is not read. */
__device__ __forceinline__ void k_copy16(void *to, const void *from, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(k_shared_at(to)), "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void k_copy4(void *to, const void *from, bool valid)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :
                 : "r"(k_shared_at(to)), "l"(from), "r"(valid ? 4 : 0)
                 : "memory");
}
/* Closes a group of this thread's copies; waits until at most N of its groups are under way. The others see the data
 * after a barrier. A kernel ends with nothing under way. */
__device__ __forceinline__ void k_copy_commit() { asm volatile("cp.async.commit_group;" : : : "memory"); }
template <int N> __device__ __forceinline__ void k_copy_wait()
{
    asm volatile("cp.async.wait_group %0;" : : "n"(N) : "memory");
}

__device__ __forceinline__ uint32_t k_pack(float lo, float hi) /* two bf16, rounded to nearest even */
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}
__device__ __forceinline__ float k_exp2(float x) /* 2 ulp; results below 2^-126 are 0 */
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#else /* a host compiler: tests/emu/ */
#include <vector>

namespace tile_host {
static inline float low(uint32_t x) { return __uint_as_float(x << 16); }
static inline float high(uint32_t x) { return __uint_as_float(x & 0xffff0000u); }

/* Matrices whose rows the first 8 * count lanes name. */
static inline void ldmatrix(uint32_t *r, const void *row, int count, bool transposed)
{
    const unsigned char *rows[32];
    emu::warp_gather(rows, &row, sizeof row);
    const int g = (int)emu::lane() / 4, t = (int)emu::lane() % 4;
    for (int i = 0; i < count; i++) {
        uint16_t lo, hi;
        for (int j = 0; j < 8; j++)
            if ((uintptr_t)rows[8 * i + j] % 16) __builtin_trap();
        memcpy(&lo, transposed ? rows[8 * i + 2 * t] + 2 * g : rows[8 * i + g] + 4 * t, 2);
        memcpy(&hi, transposed ? rows[8 * i + 2 * t + 1] + 2 * g : rows[8 * i + g] + 4 * t + 2, 2);
        r[i] = lo | (uint32_t)hi << 16;
    }
}

/* A thread's copies under way, oldest first. NULL: none; so a kernel that waits for all of them leaves nothing. */
struct copy { void *to; const void *from; unsigned bytes; bool valid, last; }; /* last: of its group */
static inline std::vector<copy> *&copies()
{
    static thread_local std::vector<copy> *of[1024];
    return of[(threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x];
}
static inline void add(const copy &x)
{
    if (!copies()) copies() = new std::vector<copy>;
    copies()->push_back(x);
}
static inline void begin(void *to, const void *from, unsigned bytes, bool valid)
{
    if ((uintptr_t)to % bytes || (valid && (uintptr_t)from % bytes)) __builtin_trap();
    memset(to, 0xff, bytes);
    add({to, from, bytes, valid, false});
}
static inline void wait(size_t groups)
{
    std::vector<copy> *&c = copies();
    if (!c) return;
    size_t open = 0, n = c->size();
    while (n && !((*c)[n - 1].last && ++open > groups)) n--; /* the first n belong to older groups */
    for (size_t i = 0; i < n; i++) {
        const copy &x = (*c)[i];
        if (x.bytes && x.valid) memcpy(x.to, x.from, x.bytes);
        if (x.bytes && !x.valid) memset(x.to, 0, x.bytes);
    }
    c->erase(c->begin(), c->begin() + (long)n);
    if (!c->empty()) return;
    delete c;
    c = nullptr;
}
} // namespace tile_host

static inline void k_mma(float *d, const uint32_t *a, const uint32_t *b)
{
    uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]}, all[32][6];
    emu::warp_gather(all, mine, sizeof mine);
    const int g = (int)emu::lane() / 4, t = (int)emu::lane() % 4;
    for (int i = 0; i < 4; i++) { /* d[i]: row g or g + 8, column c */
        const int half = i / 2, c = 2 * t + i % 2;
        for (int k = 0; k < 16; k += 2) {
            const uint32_t x = all[4 * g + k % 8 / 2][half + k / 8 * 2], y = all[4 * c + k % 8 / 2][4 + k / 8];
            d[i] += tile_host::low(x) * tile_host::low(y);
            d[i] += tile_host::high(x) * tile_host::high(y);
        }
    }
}
static inline void k_ldmatrix4(uint32_t *r, const void *row) { tile_host::ldmatrix(r, row, 4, false); }
static inline void k_ldmatrix4_t(uint32_t *r, const void *row) { tile_host::ldmatrix(r, row, 4, true); }
static inline void k_ldmatrix2(uint32_t *r, const void *row) { tile_host::ldmatrix(r, row, 2, false); }
static inline void k_ldmatrix2_t(uint32_t *r, const void *row) { tile_host::ldmatrix(r, row, 2, true); }
static inline void k_copy16(void *to, const void *from, bool valid) { tile_host::begin(to, from, 16, valid); }
static inline void k_copy4(void *to, const void *from, bool valid) { tile_host::begin(to, from, 4, valid); }
static inline void k_copy_commit() { tile_host::add({nullptr, nullptr, 0, false, true}); } /* a group may be empty */
template <int N> static inline void k_copy_wait() { tile_host::wait(N); }
static inline uint32_t k_pack(float lo, float hi)
{
    const uint32_t high = __bfloat16_as_ushort(__float2bfloat16_rn(hi));
    return __bfloat16_as_ushort(__float2bfloat16_rn(lo)) | high << 16;
}
static inline float k_exp2(float x)
{
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0.0f : y; /* NaN stays */
}
#endif
#endif
