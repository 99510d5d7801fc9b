#include "base/err.h"
const char *kernels_unused_object(void);
const char *kernels_unused_object(void) { return "kernels"; }
