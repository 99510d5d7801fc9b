/* CUDA's vector types, with CUDA's alignments: a misplaced load of 16 bytes is an error of UBSan's here, as of the
 * device. */
#ifndef TESTS_EMU_VECTORS_H
#define TESTS_EMU_VECTORS_H

#define EMU_VECTORS(T, name, a2, a4)                                                                           \
    struct name##1 { T x; };                                                                                   \
    struct __attribute__((aligned(a2))) name##2 { T x, y; };                                                   \
    struct name##3 { T x, y, z; };                                                                             \
    struct __attribute__((aligned(a4))) name##4 { T x, y, z, w; };                                             \
    static inline name##1 make_##name##1(T x) { name##1 v = {x}; return v; }                                   \
    static inline name##2 make_##name##2(T x, T y) { name##2 v = {x, y}; return v; }                           \
    static inline name##3 make_##name##3(T x, T y, T z) { name##3 v = {x, y, z}; return v; }                   \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { name##4 v = {x, y, z, w}; return v; }
EMU_VECTORS(signed char, char, 2, 4)
EMU_VECTORS(unsigned char, uchar, 2, 4)
EMU_VECTORS(short, short, 4, 8)
EMU_VECTORS(unsigned short, ushort, 4, 8)
EMU_VECTORS(int, int, 8, 16)
EMU_VECTORS(unsigned, uint, 8, 16)
EMU_VECTORS(long, long, 16, 16)
EMU_VECTORS(unsigned long, ulong, 16, 16)
EMU_VECTORS(long long, longlong, 16, 16)
EMU_VECTORS(unsigned long long, ulonglong, 16, 16)
EMU_VECTORS(float, float, 8, 16)
EMU_VECTORS(double, double, 16, 16)
#undef EMU_VECTORS

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
    constexpr operator uint3() const { return uint3{x, y, z}; }
};
#endif
