#!/usr/bin/env python3
"""The training step of gpu-bench in PyTorch, as fast as PyTorch goes without changing the arithmetic.

torch.compile, scaled_dot_product_attention, fused AdamW, bf16 autocast over fp32 weights, gradient clipping: what a user
would write. Same shapes as bench/gpu_run.c: pre-norm RMSNorm without gains, rotary positions, GELU MLP of 4 d, tied
head, no biases. A sweep of R small models is trained one after another, so its model-tokens/s are those of one model.

    torch_step.py [--case NAME] [--eager] [--reps 9] [--device cuda]

One JSON line per case on stdout. Exit 77, with a line that says why, where PyTorch or the device is missing."""
import argparse
import json
import statistics
import sys
import time

# name: layers, width, head_dim, vocab, positions, sequences a step
CASES = {
    "124M": (12, 768, 64, 50304, 1024, 32),
    "d256": (4, 256, 64, 4096, 256, 8),
    "d128": (4, 128, 32, 256, 128, 16),
}


def skip(why):
    print(f"SKIP: torch_step: {why}")
    sys.exit(77)


try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as e:
    skip(f"PyTorch is not installed ({e})")


def rotary(length, dim, device):
    turns = torch.outer(torch.arange(length, device=device).float(),
                        10000.0 ** (-torch.arange(0, dim, 2, device=device).float() / dim))
    return turns.cos(), turns.sin()


def rotate(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2).type_as(x)


def norm(x):
    return F.rms_norm(x, (x.shape[-1],), eps=1e-6)


class Block(nn.Module):
    def __init__(self, width, head_dim):
        super().__init__()
        self.head_dim = head_dim
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x, cos, sin):
        batch, length, width = x.shape
        q, k, v = (t.view(batch, length, -1, self.head_dim).transpose(1, 2)
                   for t in self.qkv(norm(x)).split(width, dim=-1))
        mixed = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(norm(x)), approximate="tanh"))


class Decoder(nn.Module):
    def __init__(self, layers, width, head_dim, vocab, length, device):
        super().__init__()
        self.table = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(width, head_dim) for _ in range(layers))
        cos, sin = rotary(length, head_dim, device)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for p in self.parameters():
            nn.init.normal_(p, std=0.02)

    def forward(self, ids, targets):
        x = self.table(ids)
        for b in self.blocks:
            x = b(x, self.cos, self.sin)
        logits = F.linear(norm(x), self.table.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def measure(name, args):
    layers, width, head_dim, vocab, length, batch = CASES[name]
    torch.manual_seed(0)
    model = Decoder(layers, width, head_dim, vocab, length, args.device).to(args.device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def loss_of(ids, targets):
        with torch.autocast("cuda" if args.device.startswith("cuda") else "cpu", dtype=torch.bfloat16):
            return model(ids, targets)

    forward = loss_of if args.eager else torch.compile(loss_of)
    text = torch.randint(0, vocab, (4, batch, length + 1), device=args.device)

    def step(i):
        ids = text[i % 4]
        loss = forward(ids[:, :-1], ids[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss

    def wait():
        if args.device.startswith("cuda"):
            torch.cuda.synchronize()

    def stretch(n):
        wait()
        began = time.perf_counter()
        for i in range(n):
            loss = step(i)
        wait()
        return (time.perf_counter() - began) / n, loss

    stretch(5)  # compiles
    once, _ = stretch(2)
    steps = max(3, int(0.1 / once))
    stretch(steps)
    seconds = []
    for _ in range(args.reps):
        t, loss = stretch(steps)
        seconds.append(t)
    if not torch.isfinite(loss):
        raise RuntimeError(f"{name}: the loss is not finite")
    median = statistics.median(seconds)
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else "cpu"
    peer = "torch-eager" if args.eager else "torch-compile"
    print(json.dumps({"schema": "muscale.peer/1", "peer": peer, "case": name, "R": 1,
                      "tokens_per_s": batch * length / median, "step_s": median, "step_min_s": min(seconds),
                      "step_max_s": max(seconds), "reps": args.reps, "steps_per_rep": steps, "loss": float(loss),
                      "version": torch.__version__, "device": device}), flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--case", choices=CASES, action="append")
    a.add_argument("--eager", action="store_true", help="without torch.compile")
    a.add_argument("--reps", type=int, default=9)
    a.add_argument("--device", default="cuda")
    args = a.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        skip("PyTorch sees no CUDA device")
    if not hasattr(F, "rms_norm"):
        skip(f"PyTorch {torch.__version__} has no rms_norm; 2.4 or later")
    torch.set_float32_matmul_precision("high")
    failed = False
    for name in args.case or CASES:
        try:
            measure(name, args)
        except (RuntimeError, MemoryError) as e:
            failed = True
            print(f"torch_step: {name}: {str(e).splitlines()[0]}", flush=True)
        torch.compiler.reset()
        if args.device.startswith("cuda"):
            torch.cuda.empty_cache()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
