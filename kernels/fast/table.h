/* One level's column: the definitions, overridden where this level does better. */
#include "kernels/fast/vec.h"
#include "kernels/fast/gemm.h"
#include "kernels/fast/linear.h"
#include "kernels/fast/pointwise.h"
#include "kernels/fast/attention.h"

const k_ops K_OPS_NAME = {
    .name = "cpu", .level = K_LEVEL_NAME, .act_bytes = sizeof(act_real),
    .ctx_new = k_ctx_new_cpu, .ctx_free = k_ctx_free_cpu,
    .attn_scratch = attn_scratch, .mm_scratch = mm_scratch,
    .embed_fwd = embed_fwd, .embed_bwd = embed_bwd,
    .matmul_fwd = matmul_fwd, .matmul_dgrad = matmul_dgrad, .matmul_wgrad = matmul_wgrad,
    .rmsnorm_fwd = rmsnorm_fwd, .rmsnorm_bwd = rmsnorm_bwd,
    .gain_fwd = k_gain_fwd_cpu, .gain_bwd = k_gain_bwd_cpu,
    .qknorm_fwd = k_qknorm_fwd_cpu, .qknorm_bwd = k_qknorm_bwd_cpu,
    .rope_fwd = rope_fwd, .rope_bwd = rope_bwd,
    .attn_fwd = attn_fwd, .attn_bwd = attn_bwd,
    .gelu_fwd = gelu_fwd, .gelu_bwd = gelu_bwd,
    .swiglu_fwd = swiglu_fwd, .swiglu_bwd = swiglu_bwd,
    .xent = xent, .seq_loss = k_seq_loss_cpu, .adamw = adamw,
    .sumsq = k_sumsq_cpu, .add = add, .zero = k_zero_cpu,
    .pack_len = pack_len, .pack = pack,
    .matmul_gelu_fwd = matmul_gelu_fwd, .matmul_dgrad_mul = matmul_dgrad_mul,
};
