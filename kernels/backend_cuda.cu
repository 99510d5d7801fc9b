/* CUDA's columns, to be read beside backend_cpu.c: one set of launchers, two types of activation; where cuDNN's
 * attention is asked for, which takes heads that are turned, RoPE is an op of its own. Needs no driver: a
 * table can be asked for sizes where there is no device (device_ops.h's `ready` says whether there is one). */
#include <cuda_bf16.h>
#include <string.h>

#include "kernels/backend.h"
#include "kernels/ctx_cuda.h"
#include "kernels/dnn.h"
#include "kernels/ops_cuda.h"

template <class A> static constexpr k_ops table(const char *name, const char *level, bool own_attention)
{
    k_ops t = {};
    t.name = name, t.level = level, t.act_bytes = sizeof(A), t.device = &k_cuda_device_ops;
    t.ctx_new = k_cuda_ctx_new, t.ctx_free = k_cuda_ctx_free;
    t.attn_scratch = k_attn_scratch_cuda<A>, t.mm_scratch = k_mm_scratch_cuda;
    t.norm_scratch = k_norm_scratch_cuda;
    t.embed_fwd = k_embed_fwd_cuda<A>, t.embed_bwd = k_embed_bwd_cuda<A>;
    t.matmul_fwd = k_matmul_fwd_cuda<A>;
    t.matmul_dgrad = k_matmul_dgrad_cuda<A>;
    t.matmul_wgrad = k_matmul_wgrad_cuda<A>;
    t.rmsnorm_fwd = k_rmsnorm_fwd_cuda<A>, t.rmsnorm_bwd = k_rmsnorm_bwd_cuda<A>;
    t.gain_fwd = k_gain_fwd_cuda<A>, t.gain_bwd = k_gain_bwd_cuda<A>;
    t.qknorm_fwd = k_qknorm_fwd_cuda<A>, t.qknorm_bwd = k_qknorm_bwd_cuda<A>;
    t.rope_fwd = k_rope_fwd_cuda<A>, t.rope_bwd = k_rope_bwd_cuda<A>;
    t.attn_fwd = k_attn_fwd_cuda<A>, t.attn_bwd = k_attn_bwd_cuda<A>;
    if (own_attention) t.attn_rope_fwd = k_attn_rope_fwd_cuda<A>, t.attn_rope_bwd = k_attn_rope_bwd_cuda<A>;
    t.gelu_fwd = k_gelu_fwd_cuda<A>, t.gelu_bwd = k_gelu_bwd_cuda<A>;
    t.swiglu_fwd = k_swiglu_fwd_cuda<A>, t.swiglu_bwd = k_swiglu_bwd_cuda<A>;
    t.xent = k_xent_cuda<A>, t.seq_loss = k_seq_loss_cuda, t.adamw = k_adamw_cuda;
    t.sumsq = k_sumsq_cuda, t.add = k_add_cuda, t.zero = k_zero_cuda;
    if (sizeof(A) < sizeof(real)) t.matmul_fwd_real = k_matmul_fwd_real_cuda, t.xent_real = k_xent_real_cuda;
    if (sizeof(A) < sizeof(real)) t.pack_len = k_pack_len_cuda, t.pack = k_pack_cuda;
    return t;
}

static const k_ops bf16 = table<__nv_bfloat16>("cuda", "bf16", true);
static const k_ops bf16_dnn = table<__nv_bfloat16>("cuda", "bf16", false);
static const k_ops fp32 = table<float>("cuda-fp32", "fp32", true);

status k_backend_cuda(const k_ops **out, const char *name, err *e)
{
    (void)e;
    *out = !strcmp(name, fp32.name) ? &fp32 : k_dnn_asked() ? &bf16_dnn : &bf16;
    return ST_OK;
}
