/* Stands in where the build has no CUDA. */
#include "kernels/backend.h"

status k_backend_cuda(const k_ops **out, const char *name, err *e)
{
    (void)out;
    return err_set(e, ST_DEVICE,
                   "backend '%s': this muscale was built without CUDA; use backend=cpu, or configure with --enable-cuda",
                   name);
}
