#!/bin/bash
# Training and sweeps on a device, from the command line: resumed after kill -9 and in any bank and stream the same bits; begun on the
# CPU and ended on the device; a device that is not there, too small, or fails in mid-run.
set -u
dir=$(cd "$(dirname "${MUSCALE_BIN:?run through make check}")" && pwd)
M=$dir/tests/cli/muscale_emu
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
cd "$here" || exit 1
export OPENBLAS_NUM_THREADS=1
fail() { echo "emu_device: $*" >&2; exit 1; }
expect() { # EXIT TEXT COMMAND...: exit status, and TEXT in what it says
    local want=$1 text=$2 rc=0
    shift 2
    "$@" >out 2>&1 || rc=$?
    [ $rc = "$want" ] || fail "$*: exit $rc, not $want: $(head -c 2000 out)"
    grep -q -- "$text" out || fail "$*: no '$text' in: $(head -c 2000 out)"
}

$M -q data gen -o source --source markov --vocab 16 --order 1 --tokens 20000 --seed 3 >/dev/null || fail "data gen"
base='data: SOURCE, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 8, batch_tokens: 16, val_tokens: 64, base_width: 16, shards: 1,
       log_every: 1, ckpt_every: 2, val_every: 5, tokens: 160, warmup_tokens: 32'
echo "{${base/SOURCE/source}}" >run.yaml
last=ckpt.10

# A run on the device, killed three times, has the bits of one left alone.
expect 0 "" $M train run.yaml backend=cuda -o whole
for kill in 1 2 3; do
    flag=
    [ -e rough ] && flag=--resume
    $M -q train run.yaml backend=cuda -o rough $flag >/dev/null 2>err &
    pid=$!
    for _ in $(seq 200); do # until it has gone a little further than the last time
        ls rough 2>/dev/null | grep -q "ckpt.$((kill * 2))" && break
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
expect 0 "" $M train run.yaml backend=cuda -o rough --resume
cmp whole/$last rough/$last || fail "a killed and resumed run differs"
[ "$(grep -c '"event":"resume"' rough/journal.jsonl)" -ge 1 ] || fail "nothing was resumed: the test tests nothing"

# Begun on the CPU, ended on the device: the journal names both, and the loss is the CPU's to rounding.
value() { sed -n 's/.*"final_val_loss":\([^,]*\),.*/\1/p' "$1/journal.jsonl" | tail -1; }
expect 0 "" $M train run.yaml -o cpu
$M -q train run.yaml -o moved >/dev/null 2>err &
pid=$!
for _ in $(seq 500); do [ -e moved/ckpt.2 ] && break; sleep 0.002; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
[ -e moved/$last ] || expect 0 "" $M train run.yaml backend=cuda-fp32 -o moved --resume
if [ ! -e moved/ckpt.2 ] || grep -q '"device":"cuda-fp32' moved/journal.jsonl; then
    grep -q '"device":"cpu' moved/journal.jsonl || fail "the journal does not name the CPU"
    awk -v a="$(value cpu)" -v b="$(value moved)" 'BEGIN { d = a / b - 1; exit !(d < 1e-4 && d > -1e-4) }' ||
        fail "moved to the device: $(value moved), on the CPU: $(value cpu)"
fi

# A sweep in banks and streams, and every run alone: equal bits.
cat >spec.yaml <<SPEC
base: {${base/SOURCE/source}}
grid: {lr: [1e-3, 4e-3, 16e-3]}
sweeps:
  - {name: narrow}
  - {name: wide, base: {d_model: 32}}
SPEC
expect 0 "" $M sweep run spec.yaml -o calm --device cuda --max-bank 1
expect 0 "" $M sweep run spec.yaml -o banks --device cuda --streams 2
n=0
for d in calm/runs/*/; do
    id=$(basename "$d")
    cmp "$d$last" "banks/runs/$id/$last" || fail "run $id differs in a bank"
    n=$((n + 1))
done
[ $n = 6 ] || fail "$n runs, not 6"

# No driver, no device, an old one is told by what to do; nothing is made on disk. Planning needs none.
EMU_DEVICES=-1 expect 1 "no NVIDIA driver" $M sweep run spec.yaml -o none --device cuda
EMU_DEVICES=0 expect 1 "backend=cpu" $M train run.yaml backend=cuda -o none
[ ! -e none ] || fail "a run that cannot start has left something"
EMU_DEVICES=0 expect 0 "6 runs" $M sweep plan spec.yaml --device cuda --no-calibrate

# Too little memory for the bank: halved until it fits. For one replica: said, with what is missing.
need=$($M --json sweep plan spec.yaml --device cuda --no-calibrate | tr -d ' \n' | sed 's/.*"bytes_peak":\([0-9]*\).*/\1/')
[ "$need" -gt 1000000 ] 2>/dev/null || fail "the plan's bytes_peak is '$need'"
workspace=33554432 # cuBLASLt's
EMU_MEMORY=$((need - 60000)) expect 0 "going on with banks of" $M sweep run spec.yaml -o tight --device cuda --memory 1
EMU_MEMORY=$((workspace + 200000)) expect 4 "MB are missing" $M sweep run spec.yaml -o tiny --device cuda

# A kernel fails in mid-run (700: an illegal address). Where the device can be started anew, the campaign goes on to its
# end in banks again, smaller ones at first; where only a new process can, the sweep ends, nobody is marked failed, and
# running again finishes it.
same() { # CAMPAIGN: every run has the bits of the calm one
    for d in calm/runs/*/; do
        id=$(basename "$d")
        cmp "$d$last" "$1/runs/$id/$last" || fail "run $id of $1 differs after the device had failed"
    done
}
EMU_FAIL=300:700 expect 0 "" $M sweep run spec.yaml -o hurt --device cuda
same hurt
cat hurt/runs/*/journal.jsonl | grep '"event":"resume"' | grep -q '"bank_size":2' || fail "no bank after the failure: $(grep -ho '"bank_size":[0-9]*' hurt/runs/*/journal.jsonl | sort | uniq -c)"
EMU_FAIL=300:700 EMU_FOR_GOOD=1 ASAN_OPTIONS=abort_on_error=1:detect_leaks=0 expect 1 "run again to go on" $M sweep run spec.yaml -o dead --device cuda
$M sweep status dead >out 2>&1
grep -q failed out && fail "runs are marked failed because the device died: $(cat out)"
expect 0 "" $M sweep run spec.yaml -o dead --device cuda
same dead
# (What a lost device held is lost, on CUDA too: no leaks are looked for.)
EMU_FAIL=300:700 ASAN_OPTIONS=abort_on_error=1:detect_leaks=0 expect 1 "illegal" $M train run.yaml backend=cuda -o one
expect 0 "" $M train run.yaml backend=cuda -o one --resume
cmp whole/$last one/$last || fail "a run differs after the device had failed"
# The remedy that the message names: waiting after every kernel names the one at fault, in any step, and changes no bit.
MUSCALE_CUDA_SYNC=1 expect 0 "" $M train run.yaml backend=cuda -o slow
cmp whole/$last slow/$last || fail "MUSCALE_CUDA_SYNC changes bits"
rows() { sed -n 's/,"step_ms".*//; s/^.*"k":"\(train\|val\)",//p' "$1/journal.jsonl"; } # without times
[ "$(rows whole | wc -l)" -ge 12 ] || fail "too few rows in: $(head -c 1000 whole/journal.jsonl)"
[ "$(rows whole)" = "$(rows slow)" ] || fail "rows of steps under way together are not those of one after the other"
EMU_FAIL=720:700 MUSCALE_CUDA_SYNC=1 ASAN_OPTIONS=abort_on_error=1:detect_leaks=0 expect 1 "CUDA: (\{0,1\}[a-z_]*[<:]" $M train run.yaml backend=cuda -o named
grep -q "running a graph\|waiting for" out && fail "the kernel is not named: $(grep CUDA out)"
echo "emu_device: resumed, moved, in banks and streams, without, with too little, with a failing device"
