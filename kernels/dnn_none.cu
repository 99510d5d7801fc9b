/* Stands in where the build has no cuDNN. */
#include "kernels/dnn.h"

bool k_dnn_version(char *out, size_t room, err *e)
{
    (void)out, (void)room;
    err_set(e, ST_DEVICE, "this muscale was built without cuDNN");
    return false;
}

void k_dnn_free(k_dnn *dnn) { (void)dnn; }
