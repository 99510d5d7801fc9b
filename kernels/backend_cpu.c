/* The CPU's column: the definitions. Levels override what they do better. */
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

static const k_ops generic = {
    .name = "cpu", .level = "generic", .act_bytes = sizeof(act_real),
    .ctx_new = k_ctx_new_cpu, .ctx_free = k_ctx_free_cpu,
    .attn_scratch = k_attn_scratch_cpu, .mm_scratch = k_mm_scratch_cpu,
    .embed_fwd = k_embed_fwd_cpu, .embed_bwd = k_embed_bwd_cpu,
    .matmul_fwd = k_matmul_fwd_cpu, .matmul_dgrad = k_matmul_dgrad_cpu, .matmul_wgrad = k_matmul_wgrad_cpu,
    .rmsnorm_fwd = k_rmsnorm_fwd_cpu, .rmsnorm_bwd = k_rmsnorm_bwd_cpu,
    .gain_fwd = k_gain_fwd_cpu, .gain_bwd = k_gain_bwd_cpu,
    .qknorm_fwd = k_qknorm_fwd_cpu, .qknorm_bwd = k_qknorm_bwd_cpu,
    .rope_fwd = k_rope_fwd_cpu, .rope_bwd = k_rope_bwd_cpu,
    .attn_fwd = k_attn_fwd_cpu, .attn_bwd = k_attn_bwd_cpu,
    .gelu_fwd = k_gelu_fwd_cpu, .gelu_bwd = k_gelu_bwd_cpu,
    .swiglu_fwd = k_swiglu_fwd_cpu, .swiglu_bwd = k_swiglu_bwd_cpu,
    .xent = k_xent_cpu, .seq_loss = k_seq_loss_cpu, .adamw = k_adamw_cpu,
    .sumsq = k_sumsq_cpu, .add = k_add_cpu, .zero = k_zero_cpu,
};

const k_ops *k_ops_cpu(cpu_level l)
{
    switch (l) {
#ifdef K_HAVE_LEVELS
    case CPU_V2: return &k_ops_v2;
    case CPU_V3: return &k_ops_v3;
    case CPU_V4: return &k_ops_v4;
#endif
    case CPU_GENERIC: return &generic;
    default: return NULL;
    }
}
