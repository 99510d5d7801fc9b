#!/bin/bash
# mup check on a device: the CPU's verdicts, row by row, and its slopes; what fails there fails here.
set -u
dir=$(cd "$(dirname "${MUSCALE_BIN:?run through make check}")" && pwd)
M=$dir/tests/cli/muscale_emu
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
cd "$here" || exit 1
export OPENBLAS_NUM_THREADS=1
fail() { echo "emu_check: $*" >&2; exit 1; }
cat >c.yaml <<'YAML'
{vocab: 32, d_model: 8, n_layer: 1, head_dim: 4, seq_len: 4, batch_tokens: 16, tokens: 160, val_tokens: 16, base_width: 8,
 base_depth: 1, lr: 0.005, eps: 1e-12}
YAML
check() { # OUT DEVICE OVERRIDES...: what the check says; its exit status in rc
    local out=$1 device=$2
    shift 2
    rc=0
    $M mup check c.yaml "$@" --device $device -v --widths 8,16,32 --seeds 3 --steps 1 >$out 2>err || rc=$?
    [ $rc -le 1 ] || fail "$device $*: exit $rc: $(cat err)"
}
alike() { # A B BY [loose]: equal places, quantities and verdicts; slopes (column 4) within BY. loose: three seeds may leave
          # undecided on one what passes on the other, but what fails fails. Says how many rows
    awk -v by=$3 -v loose=${4:+1} 'FNR == 1 { next } loose && $NF == "undecided" { $NF = "pass" } NR == FNR { a[FNR] = $1 " " $2 " " $NF; s[FNR] = $4; n = FNR; next }
        a[FNR] != $1 " " $2 " " $NF || ($4 ~ /^[-+]/ && ($4 - s[FNR] > by || s[FNR] - $4 > by)) {
            print "row " FNR ": " a[FNR] " " s[FNR] " is " $0; bad = 1 }
        END { if (n != FNR || n < 40) { bad = 1; print n " rows and " FNR }; exit bad }' $1 $2
}

for how in parametrisation=mup "parametrisation=sp norm_gain=true qk_norm=true"; do
    check cpu cpu $how
    host=$rc
    check fp32 cuda-fp32 $how
    [ $rc = $host ] || fail "$how: exit $rc, on the CPU $host"
    alike cpu fp32 0.011 || fail "$how: cuda-fp32 is not the CPU"
    grep -q " on cuda-fp32$" fp32 || fail "it does not say what computed: $(head -1 fp32)"
done
[ $host = 1 ] || fail "sp passes: the test tests nothing"
check cpu cpu
check bf16 cuda
alike cpu bf16 0.1 loose || fail "cuda is not near the CPU"
alike cpu fp32 0.1 loose >/dev/null && fail "sp is like mup: the test tests nothing"
EMU_DEVICES=0 $M mup check c.yaml --device cuda >out 2>&1
[ $? = 1 ] && grep -q "backend=cpu" out || fail "without a device: $(cat out)"
$M mup check c.yaml --device tpu >out 2>&1
[ $? = 2 ] && grep -q "'tpu' is none of cpu, cuda" out || fail "an unknown device: $(cat out)"
echo "emu_check: the verdicts of the CPU"
