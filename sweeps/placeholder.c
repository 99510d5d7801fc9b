#include "base/err.h"
const char *sweeps_unused_object(void);
const char *sweeps_unused_object(void) { return "sweeps"; }
