/* Blocks, barriers, shuffles: known kernels are right in every order of threads, and each broken twin is seen. */
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <vector>

#include "tests/emu/died.h"
#include "tests/emu/unwritten.h"

static const char *const orders[] = {"ascending", "descending", "shuffled:1", "shuffled:2", "mixed"};
static const unsigned FULL = 0xffffffffu;

template <class T> struct mem { /* n things on the device */
    T *p = nullptr;
    size_t n;
    explicit mem(size_t n_) : n(n_) { cr_assert_eq(cudaMalloc(&p, n * sizeof(T)), cudaSuccess); }
    explicit mem(const std::vector<T> &v) : mem(v.size())
    {
        cr_assert_eq(cudaMemcpy(p, v.data(), n * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
    }
    ~mem() { cudaFree(p); }
    std::vector<T> get() const
    {
        std::vector<T> v(n);
        cr_assert_eq(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
        return v;
    }
};
static std::vector<float> numbers(size_t n)
{
    std::vector<float> v(n);
    for (size_t i = 0; i < n; i++) v[i] = (float)((i * 7919 + 13) % 1009);
    return v;
}
#define LAUNCH(kernel, grid, block, shared, ...) emu::launch(#kernel, grid, block, shared, nullptr, kernel, __VA_ARGS__)

/* --- a block's sum, by halves
 * ------------------------------------------------------------------------------------------ */
template <bool barrier> static __global__ void block_sum(float *out, const float *x, int n)
{
    __shared__ float s[256];
    int i = (int)(blockIdx.x * 256 + threadIdx.x);
    s[threadIdx.x] = i < n ? x[i] : 0;
    __syncthreads();
    for (unsigned k = 128; k; k >>= 1) {
        if (threadIdx.x < k) s[threadIdx.x] += s[threadIdx.x + k];
        if (barrier || k > 16) __syncthreads();
    }
    if (!threadIdx.x) out[blockIdx.x] = s[0];
}
template <bool barrier> static size_t wrong_sums(int blocks)
{
    auto x = numbers((size_t)blocks * 256 - 100);
    mem<float> d(x), out((size_t)blocks);
    LAUNCH(block_sum<barrier>, blocks, 256, 0, out.p, d.p, (int)x.size());
    auto y = out.get();
    size_t wrong = 0;
    for (size_t b = 0; b < y.size(); b++) {
        float want = 0;
        for (size_t i = b * 256; i < (b + 1) * 256 && i < x.size(); i++) want += x[i];
        wrong += !(y[b] == want);
    }
    return wrong;
}
Test(block, reduction)
{
    for (auto o : orders) {
        emu_order(o);
        cr_expect_eq(wrong_sums<true>(7), 0, "%s", o);
    }
}
Test(block, reduction_without_its_barrier)
{
    cr_expect_gt(wrong_sums<false>(7), 0, "the default order hides it");
    cr_expect_gt(wrong_sums<false>(1) + wrong_sums<false>(1) + wrong_sums<false>(1), 0,
                 "three launches of one block hide it");
    emu_order("ascending");
    cr_expect_eq(wrong_sums<false>(7), 7);
    emu_order("descending");
    cr_expect_eq(wrong_sums<false>(7), 0, "this order is the one that hides it");
}

/* --- a transposition through shared memory --- */
template <bool barrier> static __global__ void transpose(float *y, const float *x, int rows, int cols)
{
    __shared__ float tile[32][33];
    int c = (int)(blockIdx.x * 32 + threadIdx.x);
    for (int j = (int)threadIdx.y; j < 32; j += 8) {
        int r = (int)blockIdx.y * 32 + j;
        if (r < rows && c < cols) tile[j][threadIdx.x] = x[r * cols + c];
    }
    if (barrier) __syncthreads();
    int r = (int)(blockIdx.y * 32 + threadIdx.x);
    for (int j = (int)threadIdx.y; j < 32; j += 8) {
        int cc = (int)blockIdx.x * 32 + j;
        if (r < rows && cc < cols) y[cc * rows + r] = tile[threadIdx.x][j];
    }
}
template <bool barrier> static size_t wrong_places()
{
    int rows = 45, cols = 77;
    auto x = numbers((size_t)(rows * cols));
    mem<float> d(x), out(x.size());
    LAUNCH(transpose<barrier>, dim3(3, 2), dim3(32, 8), 0, out.p, d.p, rows, cols);
    auto y = out.get();
    size_t wrong = 0;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++) wrong += !(y[(size_t)(c * rows + r)] == x[(size_t)(r * cols + c)]);
    return wrong;
}
Test(block, transposition)
{
    for (auto o : orders) {
        emu_order(o);
        cr_expect_eq(wrong_places<true>(), 0, "%s", o);
        cr_expect_gt(wrong_places<false>(), 0, "%s hides the missing barrier", o);
    }
}

/* --- a warp's running sum
 * ------------------------------------------------------------------------------------------------ */
static __global__ void scan(float *x, unsigned mask, int upto, int width)
{
    int lane = (int)threadIdx.x % 32;
    float v = x[threadIdx.x];
    if (lane < upto)
        for (int k = 1; k < width; k <<= 1) {
            float o = __shfl_up_sync(mask, v, (unsigned)k, width);
            if (lane % width >= k) v += o;
        }
    x[threadIdx.x] = v;
}
Test(block, warp_scan)
{
    for (auto o : orders)
        for (int width : {32, 16, 4, 1}) {
            emu_order(o);
            auto x = numbers(96);
            mem<float> d(x);
            LAUNCH(scan, 1, 96, 0, d.p, FULL, 32, width);
            auto y = d.get();
            float sum = 0;
            for (size_t i = 0; i < 96; i++) {
                sum = i % (size_t)width ? sum + x[i] : x[i];
                cr_assert_eq(y[i], sum, "%s, width %d, lane %zu", o, width, i);
            }
        }
}
Test(block, half_a_warp_by_its_own_mask)
{
    auto x = numbers(32);
    mem<float> d(x);
    LAUNCH(scan, 1, 32, 0, d.p, 0xffffu, 16, 16);
    auto y = d.get();
    cr_expect_eq(y[16], x[16]);
    float sum = 0;
    for (size_t i = 0; i < 16; i++) sum += x[i];
    cr_expect_eq(y[15], sum);
}
Test(block, wrong_masks)
{
    dies(
        [] {
            mem<float> d(32);
            LAUNCH(scan, 1, 32, 0, d.p, 0x7fffffffu, 32, 32);
        },
        {"lane 31 is not in its own mask 7fffffff", "__shfl_up_sync", "test_block.cpp:", "kernel scan",
         "thread (31,0,0)"});
    dies([] { mem<float> d(32); emu_order("descending"); LAUNCH(scan, 1, 32, 0, d.p, FULL, 16, 32); },
         {"names lane", "which has exited", "kernel scan"});
    dies([] { mem<float> d(32); emu_order("ascending"); LAUNCH(scan, 1, 32, 0, d.p, FULL, 16, 32); },
         {"no thread can go on", "16 threads, the first (16,0,0), exited", "mask ffffffff"});
    dies(
        [] {
            mem<float> d(48);
            LAUNCH(scan, 1, 48, 0, d.p, FULL, 32, 32);
        },
        {"names lanes that do not exist: the warp has 16"});
    dies([] { mem<float> d(32); LAUNCH(scan, 1, 32, 0, d.p, FULL, 32, 24); }, {"width 24"});
}

static __global__ void shuffles(float *index, float *down, double *exchange, long long *big, float *outside)
{
    unsigned l = threadIdx.x;
    float v = (float)l;
    index[l] = __shfl_sync(FULL, v, (int)(l * 5 + 3), 8);
    down[l] = __shfl_down_sync(FULL, v, 3, 16);
    exchange[l] = __shfl_xor_sync(FULL, (double)l + 0.5, 17);
    big[l] = __shfl_sync(FULL, (long long)l << 40, 31 - (int)l);
    if (l < 8) outside[l] = __shfl_sync(0xffu, v, 20);
    else outside[l] = 0;
}
Test(block, every_shuffle)
{
    mem<float> index(32), down(32), outside(32);
    mem<double> exchange(32);
    mem<long long> big(32);
    LAUNCH(shuffles, 1, 32, 0, index.p, down.p, exchange.p, big.p, outside.p);
    auto i = index.get(), d = down.get(), u = outside.get();
    auto e = exchange.get();
    auto b = big.get();
    for (unsigned l = 0; l < 32; l++) {
        cr_expect_eq(i[l], (float)(l / 8 * 8 + (l * 5 + 3) % 8));
        cr_expect_eq(d[l], (float)(l % 16 + 3 < 16 ? l + 3 : l));
        cr_expect_eq(e[l], (double)(l ^ 17) + 0.5);
        cr_expect_eq(b[l], (long long)(31 - l) << 40);
        if (l < 8) cr_expect(u[l] != u[l], "a lane outside the mask gives a number");
    }
}

static __global__ void votes(int *out)
{
    int t = (int)threadIdx.x;
    int a = __syncthreads_and(t < 64), o = __syncthreads_or(t == 63), c = __syncthreads_count(t % 3 == 0);
    int any = __any_sync(FULL, t == 40), all = __all_sync(FULL, t >= 32);
    unsigned ballot = __ballot_sync(FULL, t % 2);
    __syncwarp();
    int *y = out + t * 6;
    y[0] = a, y[1] = o, y[2] = c, y[3] = any, y[4] = all, y[5] = (int)ballot;
    if (t == 63) return;
    if (t >= 32) y[5] ^= (int)__activemask();
}
Test(block, every_vote)
{
    for (auto o : orders) {
        emu_order(o);
        mem<int> out(64 * 6);
        LAUNCH(votes, 1, 64, 0, out.p);
        auto y = out.get();
        for (int t = 0; t < 64; t++) {
            const int *v = &y[(size_t)t * 6];
            cr_expect(v[0] == 1 && v[1] == 1 && v[2] == 22, "%d %d %d", v[0], v[1], v[2]);
            cr_expect(v[3] == (t >= 32) && v[4] == (t >= 32));
            if (t < 32) cr_expect_eq((unsigned)v[5], 0xaaaaaaaau);
        }
    }
}

static __global__ void gather(int *out)
{
    struct { int a, b, c; } mine = {(int)threadIdx.x, (int)threadIdx.x * 2, 7}, all[32];
    emu::warp_gather(all, &mine, sizeof mine);
    int s = 0;
    for (auto &x : all) s += x.a + x.b + x.c;
    out[threadIdx.x] = s + all[emu::lane()].a;
}
Test(block, warp_gather)
{
    mem<int> out(64);
    LAUNCH(gather, 1, 64, 0, out.p);
    auto y = out.get();
    for (int t = 0; t < 64; t++) cr_expect_eq(y[(size_t)t], (t < 32 ? 3 * 496 : 3 * 1520) + 7 * 32 + t);
}

/* --- barriers that not all reach --- */
static __global__ void some_leave(int n)
{
    if ((int)threadIdx.x >= n) return;
    __syncthreads();
}
static __global__ void two_barriers(int n)
{
    if ((int)threadIdx.x < n) __syncthreads();
    else
        __syncthreads();
}
static __global__ void some_wait_in_the_warp(int n)
{
    if ((int)threadIdx.x < n) __syncthreads();
    else __syncwarp();
}
Test(block, divergent_barriers)
{
    dies([] { LAUNCH(some_leave, 3, 64, 0, 40); },
         {"kernel some_leave, block (", ",0,0) of 64 threads", "some have exited",
          "40 threads, the first (0,0,0), wait at __syncthreads", "24 threads, the first (40,0,0), exited"});
    dies([] { LAUNCH(two_barriers, 1, 64, 0, 33); }, {"wait at different barriers", "33 threads", "31 threads"});
    dies([] { LAUNCH(some_wait_in_the_warp, 1, 64, 0, 40); }, {"no thread can go on", "__syncwarp", "mask ffffffff"});
    LAUNCH(some_leave, 3, 64, 0, 64);
}

/* --- indices off by one
 * -------------------------------------------------------------------------------------------------- */
static __global__ void fill_device(float *x, int n)
{
    if ((int)threadIdx.x <= n) x[threadIdx.x] = 1;
}
static __global__ void fill_dynamic(int n)
{
    float *s = (float *)emu::dynamic_shared();
    if ((int)threadIdx.x <= n) s[threadIdx.x] = 1;
}
static __global__ void fill_static(int n)
{
    __shared__ float s[65];
    float *p = s;
    if ((int)threadIdx.x <= n) p[threadIdx.x] = 1;
}
static __global__ void fill_by_pointer(int n)
{
    __shared__ float s[65];
    float *volatile p = s; /* UBSan no longer knows what it points to */
    if ((int)threadIdx.x <= n) p[threadIdx.x] = 1;
}
template <int N> static __global__ void fill_in_a_template(int n)
{
    __shared__ float s[N];
    float *volatile p = s;
    if ((int)threadIdx.x <= n) p[threadIdx.x] = 1;
}
static __global__ void fill_declared(int n)
{
    __shared__ volatile float s[33];
    if ((int)threadIdx.x <= n) s[threadIdx.x] = s[threadIdx.x] + 1;
}
static __global__ void load4(const float *x, float *y) { *(float4 *)(void *)y = *(const float4 *)(const void *)x; }
Test(block, indices_off_by_one)
{
    mem<float> x(65);
    LAUNCH(fill_device, 1, 128, 0, x.p, 64);
    dies([&] { LAUNCH(fill_device, 2, 128, 0, x.p, 65); }, {"AddressSanitizer: heap-buffer-overflow", "WRITE of size 4",
                                                            "in kernel fill_device, block", "thread (65,0,0)"});
    LAUNCH(fill_dynamic, 1, 128, 260, 64);
    dies([] { LAUNCH(fill_dynamic, 1, 128, 260, 65); }, {"AddressSanitizer: heap-buffer-overflow", "thread (65,0,0)"});
    LAUNCH(fill_static, 1, 128, 0, 64);
    dies([] { LAUNCH(fill_static, 1, 128, 0, 65); }, {"insufficient space", "thread (65,0,0)"});
    dies([] { LAUNCH(fill_by_pointer, 1, 128, 0, 65); },
         {"AddressSanitizer: global-buffer-overflow", "thread (65,0,0)"});
    LAUNCH(fill_in_a_template<65>, 1, 128, 0, 64);
    dies([] { LAUNCH(fill_in_a_template<65>, 1, 128, 0, 65); },
         {"AddressSanitizer: global-buffer-overflow", "thread (65,0,0)"});
    dies([] { LAUNCH(fill_declared, 1, 128, 0, 33); }, {"out of bounds", "thread (33,0,0)"});
    LAUNCH(load4, 1, 1, 0, x.p, x.p + 4);
    dies([&] { LAUNCH(load4, 1, 1, 0, x.p + 2, x.p + 4); }, {"misaligned address", "kernel load4"});
    dies([&] { x.p[0] = 1; }, {"use-after-poison"}); /* the host has no business there */
}

static __global__ void unwritten(float *out)
{
    out[threadIdx.x] = ((float *)emu::dynamic_shared())[threadIdx.x];
    __syncthreads();
    ((float *)emu::dynamic_shared())[threadIdx.x] = 1;
}
Test(block, unwritten_shared_memory_is_nan)
{
    mem<float> out(32);
    LAUNCH(unwritten, 3, 32, 128, out.p);
    for (float v : out.get()) cr_expect(v != v);
    launch_unwritten_static(3, out.p);
    for (float v : out.get()) cr_expect(v != v);
}

static __global__ void nothing(int) {}
Test(block, limits)
{
    LAUNCH(nothing, dim3(1, 1, 65535), 1, 0, 0);
    dies([] { LAUNCH(nothing, 1, 1025, 0, 0); }, {"kernel nothing", "1025x1x1 threads"});
    dies([] { LAUNCH(nothing, 1, dim3(1, 1, 65), 0, 0); }, {"1x1x65 threads"});
    dies([] { LAUNCH(nothing, 0, 32, 0, 0); }, {"a grid of 0x1x1"});
    dies([] { LAUNCH(nothing, dim3(1, 65536), 32, 0, 0); }, {"1x65536x1"});
    dies([] { LAUNCH(nothing, dim3(1, 1, 65536), 32, 0, 0); }, {"1x1x65536"});
    dies([] { LAUNCH(nothing, 1, 32, (227 << 10) + 1, 0); }, {"at most 227 KiB"});
    dies([] { LAUNCH(nothing, 1, 32, (48 << 10) + 1, 0); }, {"cudaFuncAttributeMaxDynamicSharedMemorySize"});
    cr_expect_eq(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10), cudaSuccess);
    LAUNCH(nothing, 1, 32, 100 << 10, 0);
    dies([] { LAUNCH(nothing, 1, 32, (100 << 10) + 1, 0); }, {"more than 48 KiB"});
    cr_expect_eq(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
                 cudaErrorInvalidValue);
    dies([] { __syncthreads(); }, {"outside a kernel"});
}

/* --- bfloat16
 * ---------------------------------------------------------------------------------------------------------- */
Test(block, bfloat16)
{
    for (unsigned i = 0; i < 65536; i++) {
        __nv_bfloat16 b = __ushort_as_bfloat16((unsigned short)i);
        float f = __bfloat162float(b);
        unsigned short back = __bfloat16_as_ushort(__float2bfloat16_rn(f));
        if (f != f) cr_assert_eq(back, 0x7fff);
        else cr_assert_eq(back, i);
        if ((i & 0x7fff) >= 0x7f7f) continue; /* no finite neighbour above */
        float g = __bfloat162float(__ushort_as_bfloat16((unsigned short)(i + 1)));
        float middle = (float)(((double)f + (double)g) / 2); /* exact */
        unsigned short even = (unsigned short)(i & 1 ? i + 1 : i);
        cr_assert_eq(__bfloat16_as_ushort(__float2bfloat16_rn(middle)), even, "%x", i);
        cr_assert_eq(__bfloat16_as_ushort(__float2bfloat16_rn(nextafterf(middle, f))), i);
        cr_assert_eq(__bfloat16_as_ushort(__float2bfloat16_rn(nextafterf(middle, g))), i + 1);
        /* once through float this double would be the middle, and go to the even side */
        cr_assert_eq(__bfloat16_as_ushort(__double2bfloat16(nextafter((double)middle, (double)g))), i + 1);
    }
    cr_expect_eq(__bfloat162float(__float2bfloat16_rn(3.4e38f)), INFINITY);
    float2 two = __bfloat1622float2(__floats2bfloat162_rn(1.5f, -2.25f));
    cr_expect(two.x == 1.5f && two.y == -2.25f);
    cr_expect_eq(sizeof(__nv_bfloat162), 4);
}
