#!/bin/sh
# The proof of `mup export --to torch-json`: 20 steps in PyTorch beside our own, from the same weights and tokens, agree to 1e-4.
# Needs a python3 with torch (Debian: python3-torch); skipped without.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
MUSCALE_SRCDIR=$src; export MUSCALE_SRCDIR
python=
for p in ${PYTHON:-} python3 /usr/bin/python3; do
    "$p" -c 'import torch' 2>/dev/null && python=$p && break
done
[ -n "$python" ] || skip "no python3 with torch"
dump=$(dirname "$muscale")/tests/cli/export_dump
PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE
cat >c.yaml <<'END'
vocab: 61
d_model: 32
n_layer: 2
head_dim: 16
seq_len: 16
batch_tokens: 64
tokens: 1280
warmup_tokens: 256
val_tokens: 64
lr: 0.01
weight_decay: 0.1
weight_decay_mode: coupled
clip_norm: 0.2
seed: 5
END

cases=
proof() { # DIR SIZES FAULTS KEY=VALUE...: exported, trained by us; PyTorch's turn comes below
    t "$1"
    where=$1 sizes=$2 cases="$cases $1:" fault=$3
    [ -z "$fault" ] || cases="$cases $1:$fault"
    shift 3
    mkdir -p "$where/dump"
    ok -q mup export c.yaml "$@" --target "$sizes" --to torch-json -o "$where"
    ok -q mup export c.yaml "$@" --target "$sizes" --to muscale -o "$where/ours"
    "$dump" "$where/ours/config.yaml" "$where/dump" || fail "export_dump"
}

proof table8 width=128,depth=3 lr n_kv_head=1 activation=swiglu
proof table3 width=128 eps parametrisation=mup-table3 eps=1e-3
proof completep width=64,depth=6 decay parametrisation=completep norm_gain=true weight_decay_mode=independent weight_decay=0.01
proof unit width=64 scale parametrisation=u-mup lr=0.5 activation=swiglu residual_attn_ratio=0.5 attn_mult=1.5 eps=1e-3
proof horizon width=64,tokens=2560,batch_tokens=128 "" parametrisation=complete-dp schedule=cosine
proof tied width=64 "" tied_head=true qk_norm=true embed_mult=2 logit_mult=3 schedule=linear

t "largest relative difference of the losses"
"$python" "$src/tests/cli/mup_export_torch.py" $cases >seen 2>&1 # the list is words
for c in $cases; do
    check
    case $c in *:) want="<" ;; *) want=">" ;; esac # a fault must show
    awk -v c="$c" -v w="$want" '$1 == c { n = $2 + 0; found = 1 } END { exit !(found && (w == "<" ? n < 1e-4 : n > 1e-4)) }' seen ||
        fail "$c: want $want 1e-4; seen: $(cat seen)"
done
[ -z "${SHOW:-}" ] || cat seen
finish
