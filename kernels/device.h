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

#ifdef __cplusplus
}
#endif
#endif
