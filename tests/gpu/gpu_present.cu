/* Whether a device can be used here: its name and exit 0, or why not and exit 77. Linked with the static runtime: it
 * starts on any machine, so that what is missing can be said. */
#include <cuda_runtime.h>
#include <stdio.h>

int main()
{
    cudaDeviceProp d;
    int n = 0;
    cudaError_t rc = cudaGetDeviceCount(&n);
    if (rc == cudaSuccess && n > 0) rc = cudaGetDeviceProperties(&d, 0);
    if (rc != cudaSuccess || n < 1) {
        printf("no usable device: %s\n", rc == cudaSuccess ? "none is there" : cudaGetErrorString(rc));
        return 77;
    }
    printf("%s, compute capability %d.%d, %.1f GB\n", d.name, d.major, d.minor, (double)d.totalGlobalMem * 1e-9);
    return 0;
}
