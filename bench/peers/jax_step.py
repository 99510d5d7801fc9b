#!/usr/bin/env python3
"""The training step of gpu-bench in JAX: jit, and vmap over R models of one shape in lock-step, the nearest that JAX has to
a bank. Same shapes as bench/gpu_run.c; bf16 products and activations over fp32 weights; AdamW and clipping by hand, so
that nothing but JAX is needed; weights and moments are donated; attention by cuDNN and by XLA, the faster counts. R
learning rates, one batch for all.

    jax_step.py [--case NAME] [--replicas R] [--reps 9] [--any-device]

One JSON line per case on stdout. Exit 77, with a line that says why, where JAX or the device is missing."""
import argparse
import functools
import json
import math
import os
import statistics
import sys
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# name: layers, width, head_dim, vocab, positions, sequences a step, models
CASES = {
    "d256": (4, 256, 64, 4096, 256, 8, 32),
    "d128": (4, 128, 32, 256, 128, 16, 64),
}


def skip(why):
    print(f"SKIP: jax_step: {why}")
    sys.exit(77)


try:
    import jax
    import jax.numpy as jnp
except ImportError as e:
    skip(f"JAX is not installed ({e})")

HALF = jnp.bfloat16


def norm(x):
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 1e-6)).astype(HALF)


def times(x, w):
    """x (..., in) by w (out, in); sums in fp32."""
    return jnp.einsum("...i,oi->...o", x, w.astype(HALF), preferred_element_type=jnp.float32).astype(HALF)


def rotate(x, cos, sin):
    a, b = x[..., 0::2].astype(jnp.float32), x[..., 1::2].astype(jnp.float32)
    return jnp.stack((a * cos - b * sin, a * sin + b * cos), -1).reshape(x.shape).astype(HALF)


def attend(q, k, v, kernel):
    """(batch, positions, heads, head_dim), causal; kernel: "cudnn" (fused) or "xla"."""
    if hasattr(jax.nn, "dot_product_attention"):
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation=kernel)
    s = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32) / math.sqrt(q.shape[-1])
    s = jnp.where(jnp.tril(jnp.ones(s.shape[-2:], bool)), s, -jnp.inf)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(s).astype(HALF), v)


def loss_of(params, ids, head_dim, kernel):
    batch, length = ids.shape[0], ids.shape[1] - 1
    turns = jnp.outer(jnp.arange(length), 10000.0 ** (-jnp.arange(0, head_dim, 2) / head_dim))
    cos, sin = jnp.cos(turns)[:, None, :], jnp.sin(turns)[:, None, :]
    x = params["table"][ids[:, :-1]].astype(HALF)
    for b in params["blocks"]:
        q, k, v = (t.reshape(batch, length, -1, head_dim) for t in jnp.split(times(norm(x), b["qkv"]), 3, -1))
        mixed = attend(rotate(q, cos, sin), rotate(k, cos, sin), v, kernel)
        x = x + times(mixed.reshape(x.shape), b["out"])
        x = x + times(jax.nn.gelu(times(norm(x), b["up"]), approximate=True), b["down"])
    logits = times(norm(x), params["table"]).astype(jnp.float32)
    chosen = jnp.take_along_axis(logits, ids[:, 1:, None], -1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(logits, -1) - chosen)


def init(key, layers, width, vocab):
    def draw(i, shape):
        return 0.02 * jax.random.normal(jax.random.fold_in(key, i), shape, jnp.float32)
    blocks = [{"qkv": draw(4 * l + 1, (3 * width, width)), "out": draw(4 * l + 2, (width, width)),
               "up": draw(4 * l + 3, (4 * width, width)), "down": draw(4 * l + 4, (width, 4 * width))}
              for l in range(layers)]
    return {"table": draw(0, (vocab, width)), "blocks": blocks}


def one_step(state, lr, ids, head_dim, kernel):
    params, m, v, n = state
    loss, grads = jax.value_and_grad(loss_of)(params, ids, head_dim, kernel)
    size = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree_util.tree_leaves(grads)))
    clip = jnp.minimum(1.0, 1.0 / size)
    n = n + 1
    c1, c2 = 1 - 0.9 ** n, 1 - 0.95 ** n
    tree = jax.tree_util.tree_map
    m = tree(lambda a, g: 0.9 * a + 0.1 * clip * g, m, grads)
    v = tree(lambda a, g: 0.95 * a + 0.05 * (clip * g) ** 2, v, grads)
    params = tree(lambda p, a, b: p * (1 - 0.1 * lr) - lr * (a / c1) / (jnp.sqrt(b / c2) + 1e-8), params, m, v)
    return (params, m, v, n), loss


def measure(name, args, kernel):
    layers, width, head_dim, vocab, length, batch, models = CASES[name]
    R = args.replicas or models
    keys = jax.random.split(jax.random.PRNGKey(0), R)
    params = jax.vmap(lambda k: init(k, layers, width, vocab))(keys)
    zeros = functools.partial(jax.tree_util.tree_map, jnp.zeros_like)
    state = (params, zeros(params), zeros(params), jnp.zeros(R))
    lr = 1e-4 * (1 + jnp.arange(R) % 8)
    text = jax.random.randint(jax.random.PRNGKey(1), (4, batch, length + 1), 0, vocab)
    one = functools.partial(one_step, head_dim=head_dim, kernel=kernel)
    step = jax.jit(jax.vmap(one, in_axes=(0, 0, None)), donate_argnums=0)

    def stretch(state, n):
        began = time.perf_counter()
        for i in range(n):
            state, loss = step(state, lr, text[i % 4])
        loss.block_until_ready()
        return state, loss, (time.perf_counter() - began) / n

    state, _, _ = stretch(state, 5)  # compiles
    state, _, once = stretch(state, 2)
    steps = max(3, int(0.1 / once))
    state, _, _ = stretch(state, steps)
    seconds = []
    for _ in range(args.reps):
        state, loss, t = stretch(state, steps)
        seconds.append(t)
    if not bool(jnp.all(jnp.isfinite(loss))):
        raise RuntimeError(f"{name}: a loss is not finite")
    median = statistics.median(seconds)
    return {"schema": "muscale.peer/1", "peer": "jax-vmap", "case": name, "R": R, "attention": kernel,
            "tokens_per_s": R * batch * length / median, "step_s": median, "step_min_s": min(seconds),
            "step_max_s": max(seconds), "reps": args.reps, "steps_per_rep": steps, "loss": float(loss[0]),
            "version": jax.__version__, "device": str(jax.devices()[0])}


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--case", choices=CASES, action="append")
    a.add_argument("--replicas", type=int, default=0, help="instead of the case's")
    a.add_argument("--reps", type=int, default=9)
    a.add_argument("--any-device", action="store_true", help="also where JAX sees no GPU")
    args = a.parse_args()
    try:
        kind = jax.devices()[0].platform
    except RuntimeError as e:
        skip(f"JAX finds no device ({str(e).splitlines()[0]})")
    if kind not in ("gpu", "cuda") and not args.any_device:
        skip(f"JAX sees no GPU, only {kind}")
    failed = False
    for name in args.case or CASES:
        found = []
        for kernel in ("cudnn", "xla") if kind in ("gpu", "cuda") else ("xla",):
            try:
                found.append(measure(name, args, kernel))
            except (RuntimeError, NotImplementedError, ValueError, MemoryError) as e:
                print(f"jax_step: {name}, {kernel} attention: {str(e).splitlines()[0]}", file=sys.stderr)
        if found:  # the faster of the two is the peer
            print(json.dumps(max(found, key=lambda x: x["tokens_per_s"])), flush=True)
        failed |= not found
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
