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
json '.tensors | map(del(.factors, .sources)) | tostring | @base64' "$(
    "$muscale" --json mup table c.yaml d_model=64 parametrisation=sp | jq -r '.tensors | map(del(.factors, .sources)) | tostring | @base64' 2>/dev/null)"
json '.tensors[1].init_std' 0.125
t "bad input"
bad 3 "base_width: 0, but parametrisation 'mup'" mup table c.yaml base_width=0
bad 3 "'mupp' is none of sp, mup" mup table c.yaml parametrisation=mupp
bad 3 "d_model" mup table c.yaml d_model=100
bad 3 "missing.yaml: cannot open" mup table missing.yaml
t "configs are strict: file, line, column, remedy"
reject() { # LINE PLACE TEXT: c.yaml with one line more
    { cat c.yaml; printf '%b\n' "$1"; } >x.yaml
    bad 3 "$3" mup table x.yaml
    err_has "x.yaml:$2"
}
reject 'lr: 1' 9:1 "duplicate key 'lr' (first on line 6)"
reject 'd_modle: 1' 9:1 "did you mean 'd_model'"
reject 'eps: &e 1e-8' 9:6 "anchors"
reject 'eps: *e' 9:6 "aliases"
reject 'eps: 1e-5x' 9:6 "1e-5x"
reject 'val_tokens: 2_000' 9:13 "2_000"
reject 'eps: nan' 9:6 "nan"
reject 'eps: 1e999' 9:6 "1e999"
reject 'eps: "1e-8"' 9:6 "eps"
bad 3 "did you mean 'd_model'" mup table c.yaml d_modle=1
bad 3 "1e999" mup table c.yaml eps=1e999
bad 2 "CONFIG.yaml is missing" mup table
bad 2 "no key=value" mup table c.yaml other.yaml
bad 2 "did you mean 'table'" mup tabel c.yaml
finish
