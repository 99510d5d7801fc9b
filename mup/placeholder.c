#include "base/err.h"
const char *mup_unused_object(void);
const char *mup_unused_object(void) { return "mup"; }
