"""groups.json of `muscale mup export` -> parameter groups of a PyTorch optimiser:

    optimizer = torch.optim.AdamW(param_groups(model, "groups.json"))

Each step: g["lr"] = g["peak_lr"] * schedule(step), for every group g. The schedule is in NOT_CARRIED.md."""
import json
import re


def param_groups(model, path):
    spec = json.load(open(path))
    assert spec["schema"] == "muscale.mup-export/1", path + " is no muscale.mup-export/1"
    groups = [dict(g, params=[], peak_lr=g["lr"], betas=tuple(g["betas"])) for g in spec["groups"]]
    for name, p in model.named_parameters():
        hits = [g for g in groups if re.match(g["match"], name)]
        if len(hits) != 1:
            raise ValueError(f"{name}: matches {len(hits)} groups, not one")
        hits[0]["params"].append(p)
        if hits[0]["frozen"]:
            p.data.fill_(1)
            p.requires_grad_(False)
    for g in groups:
        if len(g["params"]) != g["n_tensors"]:
            raise ValueError(f"{g['match']}: {len(g['params'])} parameters, not {g['n_tensors']}")
    return [g for g in groups if not g["frozen"]]
