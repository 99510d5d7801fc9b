/* Everything the level files need, included before the target changes. */
#include <math.h>
#include <string.h>

#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/backend.h"
#include "kernels/ctx.h"
#include "kernels/embed.h"
#include "kernels/gelu.h"
#include "kernels/matmul.h"
#include "kernels/qknorm.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/vector.h"
#include "kernels/xent.h"
