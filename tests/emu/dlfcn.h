/* dlopen for what is compiled over the layer (kernels/dynamic.h): the libraries are the stand-ins that are linked in
 * (cublaslt_host.cpp). Found before the system's header, as cuda_runtime.h is. */
#ifndef TESTS_EMU_DLFCN_H
#define TESTS_EMU_DLFCN_H
#define RTLD_NOW 2
#define RTLD_LOCAL 0
#define dlopen emu_dlopen
#define dlsym emu_dlsym
#define dlerror emu_dlerror
void *emu_dlopen(const char *library, int flags);
void *emu_dlsym(void *library, const char *name);
const char *emu_dlerror(void);
#endif
