#include <string.h>

#include "kernels/backend.h"
#include "kernels/device_ops.h"

status k_backend(const k_ops **out, const char *name, err *e)
{
    if (!strcmp(name, "cuda") || !strcmp(name, "cuda-fp32")) return k_backend_cuda(out, name, e);
    if (strcmp(name, "cpu"))
        return err_set(e, ST_DEVICE, "backend '%s' is unknown; use cpu, cuda or cuda-fp32", name);
    cpu_level l = CPU_GENERIC;
    status s = cpu_level_chosen(&l, e);
    if (s) return s;
    const k_ops *ops = NULL;
    while (!(ops = k_ops_cpu(l)) && l > CPU_GENERIC) l = (cpu_level)(l - 1);
    *out = ops;
    return ST_OK;
}

status k_backend_ready(const char *name, err *e)
{
    const k_ops *ops = NULL;
    status s = k_backend(&ops, name, e);
    return s || !ops->device ? s : ops->device->ready(e);
}
