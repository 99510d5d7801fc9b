/* cuDNN behind dnn.h, opened when it is asked for. */
#include <cudnn.h>
#include <stdio.h>

#include "kernels/dnn.h"
#include "kernels/dynamic.h"

#define DNN_SYMBOLS(X) X(cudnnGetVersion)

typedef struct api {
    DNN_SYMBOLS(K_DYNAMIC_MEMBER)
} api;

static status open_library(api *f, err *e)
{
#define FIND(name) {#name, (void *)&f->name},
    const k_symbol s[] = {DNN_SYMBOLS(FIND)};
    return k_dynamic(K_SONAME("libcudnn", CUDNN_MAJOR), s, sizeof s / sizeof *s, e);
}

bool k_dnn_version(char *out, size_t room, err *e)
{
    api f;
    if (open_library(&f, e)) return false;
    const size_t v = f.cudnnGetVersion(); /* 91900 is 9.19.0 */
    snprintf(out, room, "%zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
    return true;
}

void k_dnn_free(k_dnn *dnn) { (void)dnn; }
