#include "base/err.h"
const char *fit_unused_object(void);
const char *fit_unused_object(void) { return "fit"; }
