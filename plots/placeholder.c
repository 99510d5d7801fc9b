#include "base/err.h"
const char *plots_unused_object(void);
const char *plots_unused_object(void) { return "plots"; }
