#include <stdlib.h>

#include "kernels/ctx.h"

status k_ctx_new_cpu(k_ctx **out, size_t scratch_bytes, err *e)
{
    k_ctx *c = calloc(1, sizeof *c);
    if (!c) return err_set(e, ST_NOMEM, "kernels: no memory for a context");
    size_t n = (scratch_bytes + K_ALIGN) / K_ALIGN * K_ALIGN;
    c->scratch = aligned_alloc(K_ALIGN, n);
    c->scratch_bytes = n;
    if (!c->scratch) {
        k_ctx_free_cpu(c);
        return err_set(e, ST_NOMEM, "kernels: no memory for %zu bytes of scratch; use a smaller model", n);
    }
    *out = c;
    return ST_OK;
}

void k_ctx_free_cpu(k_ctx *c)
{
    if (!c) return;
    free(c->scratch);
    free(c);
}
