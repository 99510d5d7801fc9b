/* Libraries that are opened by name when they are first needed, not when the program starts. Two reasons. cuBLASLt is
 * 500 MB: linked in the usual way it adds 60 ms (300 ms from a cold disk) to every `muscale fit` and `muscale --help`.
 * And a build with CUDA starts where only the runtime is: cuDNN, or all of this on a machine without a GPU, may be
 * missing. The path is the program's rpath, LD_LIBRARY_PATH or the system's; gpu-bundle copies the files it finds there
 * ($(CUDA_DLOPEN) in Makefile.am). Private to kernels/, C++. */
#ifndef KERNELS_DYNAMIC_H
#define KERNELS_DYNAMIC_H
#include <dlfcn.h>

#include "base/err.h"

#define K_SONAME_(name, major) name ".so." #major
#define K_SONAME(name, major) K_SONAME_(name, major) /* major: a macro of the library's header */

/* A list X(return type, name, (parameters)) becomes a struct of pointers by K_DYNAMIC_MEMBER; K_DYNAMIC_FIND is a row
 * of {name, where the pointer is} for k_dynamic. */
#define K_DYNAMIC_MEMBER(name) decltype(&::name) name;
struct k_symbol {
    const char *name;
    void *at;
};

/* Opens `library`, never closes it (the driver keeps pointers into it), fills every pointer. */
static inline status k_dynamic(const char *library, const k_symbol *s, size_t n, err *e)
{
    void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!lib) return err_set(e, ST_DEVICE, "%.400s; install it or put its folder into LD_LIBRARY_PATH", dlerror());
    for (size_t i = 0; i < n; i++) {
        void *p = dlsym(lib, s[i].name);
        if (!p)
            return err_set(e, ST_DEVICE, "%s has no %s: another version than this muscale was built for", library,
                           s[i].name);
        *(void **)s[i].at = p;
    }
    return ST_OK;
}
#endif
