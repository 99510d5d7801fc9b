/* The accelerators of this machine, for `doctor`. Needs no driver to build and none to be asked: no driver, no device. */
#ifndef KERNELS_DEVICE_H
#define KERNELS_DEVICE_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef struct k_device {
    char name[128];
    int major, minor;          /* compute capability */
    int multiprocessors;
    size_t memory_bytes;
} k_device;

/* Writes up to `max` devices; their number. When 0, `why` (room for 256) says why: no CUDA in this build, no driver, no device. */
size_t k_devices(k_device *out, size_t max, char *why);

/* Libraries of this build that are opened only when a device is used: "cuda", "cublaslt", "cudnn". version "": it was
 * not found, `why` says where it was looked for. */
typedef struct k_device_library {
    const char *name;
    char version[32], why[256];
} k_device_library;
enum { K_DEVICE_LIBRARIES = 3 };
size_t k_device_libraries(k_device_library *out); /* room for K_DEVICE_LIBRARIES; their number, 0: no CUDA here */

#ifdef __cplusplus
}
#endif
#endif
