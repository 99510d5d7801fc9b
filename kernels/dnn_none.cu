/* Stands in where the build has no cuDNN. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/dnn.h"

bool k_dnn_version(char *, size_t, err *e)
{
    err_set(e, ST_DEVICE, "this muscale was built without cuDNN");
    return false;
}

status k_dnn_new(k_dnn **out, char *note, size_t room, err *e)
{
    const char *asked = getenv("MUSCALE_ATTENTION");
    *out = NULL;
    *note = 0;
    if (!asked || !*asked || !strcmp(asked, "own")) return ST_OK;
    if (strcmp(asked, "cudnn")) return err_set(e, ST_INPUT, "MUSCALE_ATTENTION=%s is unknown; use own or cudnn", asked);
    snprintf(note, room, "this muscale was built without cuDNN");
    return ST_OK;
}

void k_dnn_free(k_dnn *) {}

bool k_dnn_attn_fwd(k_dnn *, cudaStream_t, k_act, k_arr, k_cact, k_cact, k_cact, k_mult, const k_attn *)
{
    return false;
}
