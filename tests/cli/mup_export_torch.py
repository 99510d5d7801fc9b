"""DIR:FAULT ...: trains the model of DIR/model.json in PyTorch with DIR/groups.json, the loader of examples/ and the code of
DIR/NOT_CARRIED.md, from the weights and tokens of DIR/dump; prints DIR:FAULT and the largest relative difference to the losses
there. FAULT, one thing broken on purpose: lr (no lr_scale), scale (weights copied as they are), eps, decay; empty: none."""
import json
import os
import re
import sys

try:
    import torch
except ImportError:
    sys.exit(77)
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.environ["MUSCALE_SRCDIR"], "examples"))
from mup_groups import param_groups  # noqa: E402

torch.set_num_threads(1)


class Gain(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return norm(x) * self.weight


def norm(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + M["norm_eps"])


def gain():
    return Gain() if M["norm_gain"] else nn.Identity()


def linear(rows, cols):
    return nn.Linear(cols, rows, bias=False)


def rope(x):  # (B, heads, T, hd)
    T = x.shape[2]
    i = torch.arange(hd // 2, dtype=torch.float64)
    angle = torch.arange(T, dtype=torch.float64)[:, None] * M["rope_theta"] ** (-2 * i / hd)
    c, s = angle.cos().float(), angle.sin().float()
    a, b = x[..., : hd // 2], x[..., hd // 2:]
    return torch.cat([a * c - b * s, b * c + a * s], -1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = linear(H * hd, d), linear(G * hd, d), linear(G * hd, d), linear(d, H * hd)
        self.norm = gain()

    def forward(self, x):
        B, T, _ = x.shape
        h = self.norm(x) if M["norm_gain"] else norm(x)
        q = self.q(h).view(B, T, H, hd).transpose(1, 2)
        k = self.k(h).view(B, T, G, hd).transpose(1, 2)
        v = self.v(h).view(B, T, G, hd).transpose(1, 2)
        if M["qk_norm"]:
            q, k = norm(q), norm(k)
        q, k = rope(q), rope(k)
        k, v = k.repeat_interleave(H // G, 1), v.repeat_interleave(H // G, 1)
        a = q @ k.transpose(-1, -2) * M["attention_multiplier"]
        a = a.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf).softmax(-1)
        return self.out((a @ v).transpose(1, 2).reshape(B, T, H * hd))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = linear(d, M["d_ff"])
        setattr(self, "in", linear(M["d_ff"], d))
        if M["activation"] == "swiglu":
            self.gate = linear(M["d_ff"], d)
        self.norm = gain()

    def forward(self, x):
        h = self.norm(x) if M["norm_gain"] else norm(x)
        u = getattr(self, "in")(h)
        return self.out(F.silu(self.gate(h)) * u if M["activation"] == "swiglu" else F.gelu(u, approximate="tanh"))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn, self.ffn = Attention(), Mlp()

    def forward(self, x):
        x = x + M["residual_multiplier"] * self.attn(x)
        return x + M["residual_multiplier"] * self.ffn(x)


class Final(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = gain()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(V, d)
        self.blocks = nn.ModuleList(Block() for _ in range(M["n_layer"]))
        self.final = Final()
        if not M["tied_head"]:
            self.head = linear(V, d)

    def forward(self, ids):
        x = M["embedding_multiplier"] * self.embed(ids)
        for b in self.blocks:
            x = b(x)
        x = self.final.norm(x) if M["norm_gain"] else norm(x)
        return M["logits_multiplier"] * F.linear(x, self.embed.weight if M["tied_head"] else self.head.weight)


def run(place, broken):
    global M, d, H, G, hd, V
    M = json.load(open(place + "/model.json"))
    D = json.load(open(place + "/dump/dump.json"))
    d, H, G, hd, V = M["d_model"], M["n_head"], M["n_kv_head"], M["head_dim"], M["vocab"]
    model = Model()
    groups = json.load(open(place + "/groups.json"))["groups"]
    raw = torch.frombuffer(bytearray(open(place + "/dump/weights.bin", "rb").read()), dtype=torch.float32)
    ours = {t["name"] + ".weight": raw[t["offset"]: t["offset"] + t["rows"] * t["cols"]] for t in D["tensors"]}
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = [g["weight_scale"] for g in groups if re.match(g["match"], name)][0]
            p.copy_((ours.pop(name) * (1.0 if broken == "scale" else scale)).view_as(p))
    assert not ours, ours.keys()

    # The code that the export says is needed is the code that trains here.
    code = {}
    for block in re.findall(r"```python\n(.*?)```", open(place + "/NOT_CARRIED.md").read(), re.S):
        exec(block, code)
    optimizer = code["optimizer"](model, place + "/groups.json")
    for g in optimizer.param_groups:
        if broken == "lr":
            g["peak_lr"] /= g["lr_scale"]
        if broken == "eps":
            g["eps"] = optimizer.param_groups[0]["eps"] * 4
        if broken == "decay":
            g["weight_decay"] *= 2

    # A parameter that no group matches, or two do, is refused.
    model.extra = nn.Parameter(torch.zeros(1))
    try:
        param_groups(model, place + "/groups.json")
        sys.exit("an unknown parameter was accepted")
    except ValueError:
        del model.extra

    tokens = torch.frombuffer(bytearray(open(place + "/dump/tokens.bin", "rb").read()), dtype=torch.int32)
    tokens = tokens.view(-1, D["batch"], D["seq_len"] + 1).long()
    worst = 0.0
    for i, batch in enumerate(tokens):
        loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        worst = max(worst, abs(loss.item() / D["losses"][i] - 1))
        optimizer.zero_grad()
        loss.backward()
        if "clip" in code:
            code["clip"](model, path=place + "/groups.json")
        elif D["clip_norm"] > 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), D["clip_norm"])
        code["set_lr"](optimizer, i + 1)
        optimizer.step()
    assert len(tokens) == len(D["losses"]) >= 20
    print(f"{place}:{broken} {worst:.3e} {D['losses'][0]:.4f} {D['losses'][-1]:.4f}")


for argument in sys.argv[1:]:
    run(*argument.split(":"))
