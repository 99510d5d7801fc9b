#include "base/err.h"
const char *trainer_unused_object(void);
const char *trainer_unused_object(void) { return "trainer"; }
