/* Softmax cross-entropy and its gradient in one op.
 *   row_loss  [R][n] (replica stride loss_stride)  out  log sum exp(logits) - logits[target], nats, in double
 *   logits    (n, c) row stride ld                 in; when dscale != 0 out: dscale * (softmax - onehot(target))
 * seq_loss: mean over the T rows of each sequence, in their order: seq_loss[r * ld + b], nats per token.
 * xent_real (optional): xent with dscale 0 of logits of type real.
 * A non-finite logit gives a non-finite loss (tested by the caller: a result, not an error). */
#ifndef KERNELS_XENT_H
#define KERNELS_XENT_H
#include "kernels/kernels.h"
status k_xent_cpu(k_ctx *, double *row_loss, size_t loss_stride, k_act logits, k_ids targets, double dscale,
                  const k_rows *s, err *);
status k_seq_loss_cpu(k_ctx *, double *seq_loss, size_t ld, const double *row_loss, size_t loss_stride, size_t R,
                      size_t n_seq, size_t T, err *);
#endif
