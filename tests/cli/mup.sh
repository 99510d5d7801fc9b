#!/bin/sh
# muscale mup table.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
cat >c.yaml <<'END'
vocab: 256
d_model: 256
n_layer: 3
base_width: 64
tokens: 1e6
lr: 0.004
weight_decay: 0.1
weight_decay_mode: coupled
END
t "table 8 at m = 4"
ok mup table c.yaml
has "blocks.0-2.attn.q"
has "m = 4"
has "std m^-1/2, lr m^-1, eps m^-1, decay m"
ok --json mup table c.yaml
json .schema muscale.mup-table/1
json .ratios.width 4
json '.tensors | length' 20
json '.tensors[] | select(.tensor == "blocks.2.ffn.out") | [.fan_in, .init_std, .lr, .lr_scale, .weight_decay] | join(" ")' "1024 0.03125 0.001 0.25 0.4"
json '.tensors[] | select(.tensor == "head") | [.role, .init_std, .multiplier, .lr, .weight_decay] | join(" ")' "readout 0.125 0.25 0.004 0.1"
json '.tensors[] | select(.tensor == "embed") | [.init_std, .lr] | join(" ")' "1 0.004"
json .model.logit_mult 0.25
t "at the base width mup is sp, bit for bit"
ok --json mup table c.yaml d_model=64
json '.tensors | map(del(.factors)) | tostring | @base64' "$(
    "$muscale" --json mup table c.yaml d_model=64 parametrisation=sp | jq -r '.tensors | map(del(.factors)) | tostring | @base64' 2>/dev/null)"
json '.tensors[1].init_std' 0.125
t "bad input"
bad 3 "base_width: 0, but parametrisation 'mup'" mup table c.yaml base_width=0
bad 3 "'mupp' is none of sp, mup" mup table c.yaml parametrisation=mupp
bad 3 "d_model" mup table c.yaml d_model=100
bad 3 "missing.yaml: cannot open" mup table missing.yaml
bad 2 "CONFIG.yaml is missing" mup table
bad 2 "no key=value" mup table c.yaml other.yaml
bad 2 "did you mean 'table'" mup tabel c.yaml
finish
