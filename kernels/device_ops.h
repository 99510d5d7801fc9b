/* What a backend with memory of its own has beside the ops: memory, copies, graphs, marks, and the end of a step for a whole
 * bank at once (on the CPU the bank's threads do that, replica by replica). Everything is put on the context's stream
 * and has happened for the host only after `sync`; an error of earlier work may be reported by any later call. */
#ifndef KERNELS_DEVICE_OPS_H
#define KERNELS_DEVICE_OPS_H
#include "kernels/kernels.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { K_HEAD_DIM_DEVICE = 128 }; /* the largest head_dim that a device's attention has */
enum { K_ALIGN_DEVICE = 256 }; /* bytes: every buffer, every tensor in it, every replica stride */

typedef struct k_graph k_graph; /* a recorded sequence of ops, replayed at once */
typedef struct k_mark k_mark;   /* a place in the stream */

typedef struct k_span { size_t offset, n, packed; } k_span; /* a tensor of a replica's parameters, in reals; where its
                                                               packed copy starts, in reals; SIZE_MAX: it has none */
typedef struct k_adam_fixed { double lr, eps, lambda; } k_adam_fixed; /* of a tensor of a replica; see adamw.h */
typedef struct k_step_in { /* of a replica at a step; correct_k = 1 - beta_k^step */
    double s, beta1, beta2, correct1, correct2, clip_norm; /* clip_norm 0: no clipping */
    int32_t active, coupled;
} k_step_in;
typedef struct k_step_out { double loss, grad_norm, scale; int32_t finite, update; } k_step_out; /* scale: of clipping */

typedef struct k_bank_end { /* all pointers are the device's */
    size_t R, n_tensors, stride, batch; /* stride: reals per replica of parameters, gradients, moments */
    const k_span *spans;        /* [n_tensors], by ascending offset */
    const k_adam_fixed *fixed;  /* [R][n_tensors] */
    const k_step_in *in;        /* [R] */
    k_step_out *out;            /* [R] */
    const double *seq_loss;     /* [R][batch] */
    double *partial;            /* [R][K_NORM_PARTS] work */
    real *params, *m, *v;       /* [R][stride] */
    const real *grads;          /* [R][stride] */
    k_arr packed;               /* p NULL: nothing is packed */
} k_bank_end;
enum { K_NORM_PARTS = 256 };    /* slices of a replica's gradient whose sums of squares are added in order */

struct k_device_ops {
    size_t (*ctx_bytes)(size_t scratch_bytes); /* of the device's memory that a context takes: scratch, workspaces */

    /* `bytes` of memory, zeroed, K_ALIGN_DEVICE-aligned. ST_NOMEM says how much was asked for and how much is free. */
    status (*mem_new)(k_ctx *, void **, size_t bytes, err *);
    void (*mem_free)(k_ctx *, void *);
    status (*mem_info)(k_ctx *, size_t *free_bytes, size_t *total_bytes, err *); /* no context needed: NULL */
    status (*host_new)(k_ctx *, void **, size_t bytes, err *); /* of the host, that copies may read while it goes on */
    void (*host_free)(k_ctx *, void *);
    status (*upload)(k_ctx *, void *to, const void *from_host, size_t bytes, err *);
    status (*download)(k_ctx *, void *to_host, const void *from, size_t bytes, err *);
    status (*sync)(k_ctx *, err *); /* waits for everything, copies ahead too */

    /* A copy of host_new's memory beside the stream's work, not in its order: nothing queued may still use `to` or what was
     * queued to go there. Work put on the stream after join_ahead waits for the copies sent ahead so far. Not recorded. */
    status (*upload_ahead)(k_ctx *, void *to, const void *from_host, size_t bytes, err *);
    status (*join_ahead)(k_ctx *, err *);
    /* mark_wait: until all is done that was on the stream when the mark was last set, whatever has been put behind it.
     * Not recorded. */
    status (*mark_new)(k_ctx *, k_mark **, err *);
    void (*mark_free)(k_mark *);
    status (*mark_set)(k_ctx *, k_mark *, err *);
    status (*mark_wait)(k_mark *, err *);

    /* Ops between begin and end are recorded instead of run. A graph keeps the addresses and sizes it was given. */
    status (*record_begin)(k_ctx *, err *);
    status (*record_end)(k_ctx *, k_graph **, err *);
    void (*record_drop)(k_ctx *); /* after a failure between begin and end */
    status (*replay)(k_ctx *, k_graph *, err *);
    bool (*one_by_one)(k_ctx *); /* MUSCALE_CUDA_SYNC=1: record nothing, so that an error names its op */
    void (*graph_free)(k_graph *);

    /* The end of a step: outcome fills out[r] (mean of seq_loss, root of the gradient's sum of squares, the factor of
     * clipping; `update`: active and finite), adamw applies adamw.h to all tensors of the replicas with `update`, and
     * writes their packed copies, in one launch. */
    status (*bank_outcome)(k_ctx *, const k_bank_end *, err *);
    status (*bank_adamw)(k_ctx *, const k_bank_end *, err *);

    status (*ready)(err *e);             /* k_backend_ready's answer */
    /* Of the device this context uses, and what of the work so far went not as it should; valid until asked again. */
    const char *(*device_name)(k_ctx *);
    /* After ST_DEVICE, when every context of the process is freed: makes the device usable again where that is
     * possible. Anything else still on the device is lost. */
    status (*recover)(err *);
};

#ifdef __cplusplus
}
#endif
#endif
