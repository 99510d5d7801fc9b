#include <cuda_runtime_api.h>
#include <cstdio>

#include "kernels/device.h"
#include "kernels/dnn.h"
#include "kernels/lt.h"

size_t k_devices(k_device *out, size_t max, char *why)
{
    int n = 0, driver = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && !driver) {
        snprintf(why, 256, "no NVIDIA driver");
        return 0;
    }
    cudaError_t rc = cudaGetDeviceCount(&n);
    if (rc != cudaSuccess || n == 0) {
        snprintf(why, 256, "%s", rc == cudaSuccess ? "no CUDA device" : cudaGetErrorString(rc));
        return 0;
    }
    size_t found = 0;
    for (int i = 0; i < n && found < max; i++) {
        cudaDeviceProp p;
        if (cudaGetDeviceProperties(&p, i) != cudaSuccess) continue;
        k_device *d = &out[found++];
        snprintf(d->name, sizeof d->name, "%s", p.name);
        d->major = p.major;
        d->minor = p.minor;
        d->multiprocessors = p.multiProcessorCount;
        d->memory_bytes = p.totalGlobalMem;
    }
    return found;
}

static void found(k_device_library *l, const char *name, bool (*version)(char *, size_t, err *))
{
    err e = {};
    l->name = name;
    l->version[0] = l->why[0] = 0;
    if (!version(l->version, sizeof l->version, &e)) {
        l->version[0] = 0;
        snprintf(l->why, sizeof l->why, "%s", e.msg);
    }
}

static bool cuda_version(char *out, size_t room, err *)
{
    int runtime = 0, driver = 0;
    if (cudaRuntimeGetVersion(&runtime) != cudaSuccess || cudaDriverGetVersion(&driver) != cudaSuccess)
        (void)cudaGetLastError();
    const int n = snprintf(out, room, "%d.%d", runtime / 1000, runtime / 10 % 100);
    if (driver) snprintf(out + n, room - (size_t)n, ", driver %d.%d", driver / 1000, driver / 10 % 100);
    else snprintf(out + n, room - (size_t)n, ", no driver");
    return true;
}

size_t k_device_libraries(k_device_library *out)
{
    found(&out[0], "cuda", cuda_version);
    found(&out[1], "cublaslt", k_lt_version);
    found(&out[2], "cudnn", k_dnn_version);
    return K_DEVICE_LIBRARIES;
}
