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
sed '/wide/d' spec.yaml >few.yaml
expect 0 "" $M sweep run spec.yaml -o calm --device cuda --max-bank 1
expect 0 "" $M sweep run spec.yaml -o banks --device cuda --streams 2
n=0
for d in calm/runs/*/; do
    id=$(basename "$d")
    cmp "$d$last" "banks/runs/$id/$last" || fail "run $id differs in a bank"
    n=$((n + 1))
done
[ $n = 6 ] || fail "$n runs, not 6"

# No driver, no device, an old one is told by what to do; nothing is made on disk.
EMU_DEVICES=-1 expect 1 "no NVIDIA driver" $M sweep run spec.yaml -o none --device cuda
EMU_DEVICES=0 expect 1 "backend=cpu" $M train run.yaml backend=cuda -o none
[ ! -e none ] || fail "a run that cannot start has left something"
# So does planning, unless it is told what to plan for.
EMU_DEVICES=0 expect 1 "--memory GIB" $M sweep plan spec.yaml --device cuda
EMU_DEVICES=0 expect 0 "assumed; banks may take 51.2 MiB; 1 bank at a time" $M sweep plan spec.yaml --device cuda --memory 0.05
EMU_DEVICES=0 expect 0 "6 banks are too large for the device, the largest is bank 1: 1 run, 32.3 MiB, banks may take 31.7: 0.5 are missing" \
    $M sweep plan spec.yaml --device cuda --memory 0.031
# A bank that is too large to be tried is no reason to withhold the plan.
EMU_MEMORY=$((33554432 + 200000)) expect 0 "time: not estimated (a shape could not" $M sweep plan spec.yaml --device cuda
grep -q "too large for the device" out && grep -q "no time is estimated: .*are missing" out && grep -q "6 runs in " out ||
    fail "the plan of what is too large: $(cat out)"
# What it plans for a device: memory beside it, how many runs fill it (an H100's 132 multiprocessors; doc/performance.md),
# how many banks do; --max-bank and --streams are obeyed.
cat >large.yaml <<SPEC
base: {data: source, d_model: 128, n_layer: 4, head_dim: 64, seq_len: 128, batch_tokens: 2048, val_tokens: 256, base_width: 128,
       vocab: 256, tokens: 4096, warmup_tokens: 0}
seeds: SEEDS
SPEC
plan() { # SEEDS TEXT OPTIONS...
    sed "s/SEEDS/\"range(0, $1, 1)\"/" large.yaml >now.yaml
    local text=$2
    shift 2
    EMU_DEVICES=0 expect 0 "$text" $M sweep plan now.yaml --device cuda "$@"
}
plan 40 "40 runs in 1 banks" --memory 64         # 32 fill it, and 40 are not two banks that both do not
plan 72 "72 runs in 2 banks" --memory 64
plan 40 "40 runs in 4 banks" --memory 0.6        # memory for eleven
plan 40 "40 runs in 10 banks" --memory 64 --max-bank 4
plan 40 "; 2 banks at a time\$" --memory 64 --max-bank 10
plan 40 "; 1 bank at a time\$" --memory 64
plan 40 "; 3 banks at a time as given" --memory 64 --streams 3
expect 0 "CUDA on CPU, 4 multiprocessors; 4096.0 of 4096.0 MiB are free, banks may take 3584.0 MiB; 2 banks at a time" \
    $M sweep plan spec.yaml --device cuda --no-calibrate
EMU_MEMORY=$((70 << 20)) expect 0 "banks may take 61.2 MiB; 1 bank at a time" $M sweep plan spec.yaml --device cuda --no-calibrate

# Too little memory for the bank: halved until it fits. For one replica: said, with what is missing.
need=$($M --json sweep plan few.yaml --device cuda --no-calibrate | tr -d ' \n' | sed 's/.*"bytes_peak":\([0-9]*\).*/\1/')
[ "$need" -gt 1000000 ] 2>/dev/null || fail "the plan's bytes_peak is '$need'"
workspace=33554432 # cuBLASLt's
EMU_MEMORY=$((need - 60000)) expect 0 "going on with banks of" $M sweep run few.yaml -o tight --device cuda --memory 1
EMU_MEMORY=$((workspace + 200000)) expect 4 "MB are missing" $M sweep run spec.yaml -o tiny --device cuda

# A kernel fails in mid-run (700: an illegal address). Where the device can be started anew, the campaign goes on to its
# end, whoever was in the failed bank in smaller ones.
same() { # CAMPAIGN N: so many runs, all with the bits of the calm ones
    [ "$(ls "$1/runs" | wc -l)" = "$2" ] || fail "$1: not $2 runs"
    for d in "$1"/runs/*/; do
        id=$(basename "$d")
        cmp "$d$last" "calm/runs/$id/$last" || fail "run $id of $1 differs after the device had failed"
    done
}
EMU_FAIL=300:700 expect 0 "" $M sweep run few.yaml -o hurt --device cuda
same hurt 3
cat hurt/runs/*/journal.jsonl | grep '"event":"resume"' | grep -q '"bank_size":2' || fail "no bank after the failure: $(grep -ho '"bank_size":[0-9]*' hurt/runs/*/journal.jsonl | sort | uniq -c)"
# Where only a new process can use the device again, the sweep becomes one, and no run is marked failed.
lost="env EMU_FOR_GOOD=1 ASAN_OPTIONS=abort_on_error=1:detect_leaks=0"
EMU_FAIL=300:700 EMU_ONCE=$here/once expect 0 "going on as one" $lost $M sweep run spec.yaml -o again --device cuda
same again 6
grep -q "failed:" out && fail "a run is marked failed because the device died: $(cat out)"
# One run brings the error with it: it alone is marked failed, with CUDA's message, also when banks of one train side by
# side; nobody else is.
run=$($M --json -q sweep plan few.yaml --no-calibrate | sed -n 's/.*"id": "\([0-9a-f]*\)".*/\1/p' | head -1)
for how in "" "--max-bank 1 --streams 2"; do
    rm -rf bad
    EMU_WHILE=700:bad/runs/$run/owner expect 4 "going on as one" $lost $M sweep run few.yaml -o bad --device cuda $how
    [ "$(grep -c "run .* failed: CUDA: .*illegal memory access" out)" = 1 ] || fail "not one run failed ($how): $(cat out)"
    grep -q "run $run .*failed" out || fail "another than $run failed ($how): $(cat out)"
    for d in bad/runs/*/; do
        id=$(basename "$d")
        [ "$id" = "$run" ] || cmp "calm/runs/$id/$last" "$d$last" || fail "run $id was spoilt by $run ($how)"
    done
done
# Where the device can be started anew too; and once it is found the others share banks again, none is left in a small one.
sed 's/16e-3\]/16e-3, 2e-3, 8e-3]/' few.yaml >five.yaml
EMU_WHILE=700:found/runs/$run/owner expect 4 "failed: CUDA" env ASAN_OPTIONS=abort_on_error=1:detect_leaks=0 $M sweep run five.yaml -o found --device cuda
for lr in 2e-3 8e-3; do # the last two in the plan's order
    id=$($M --json -q sweep plan five.yaml --no-calibrate | tr -d ' \n' | sed "s/.*\"id\":\"\([0-9a-f]*\)\",[^}]*lr=$lr\".*/\1/")
    grep -o '"bank_size":[0-9]*' "found/runs/$id/journal.jsonl" | tail -1 | grep -q ':3$' ||
        fail "the innocent run $id (lr=$lr) did not train in a bank of three: $(grep -ho '"bank_size":[0-9]*' found/runs/*/journal.jsonl)"
done
# All runs of one shape bring it with them, the first in the plan's order: the other shape's are trained all the same.
wide=$($M --json -q sweep plan spec.yaml --no-calibrate | tr -d ' \n' | grep -o '"id":"[0-9a-f]*","block":"wide"' | cut -d '"' -f 4)
[ "$(echo "$wide" | wc -l)" = 3 ] || fail "not three wide runs: $wide"
EMU_WHILE="700:shape/runs/{$(echo $wide | tr ' ' ,)}/owner" expect 4 "failed: CUDA" \
    $lost $M sweep run spec.yaml -o shape --device cuda --streams 1
n=0
for d in shape/runs/*/; do
    id=$(basename "$d")
    case $wide in *$id*) continue ;; esac
    cmp "calm/runs/$id/$last" "$d$last" || fail "run $id was spoilt by another shape"
    n=$((n + 1))
done
[ $n = 3 ] || fail "$n runs of the shape that is well, not 3: $(cat out)"
# A shape that cuBLASLt refuses is no lost device: its runs fail with what it says, and nothing is started anew.
EMU_LT=2 expect 4 "failed: cuBLASLt has no algorithm without a split" $M sweep run few.yaml -o refused --device cuda
[ "$(grep -c 'run .* failed: cuBLASLt' out)" = 3 ] || fail "not three runs failed: $(cat out)"
grep -q "go on from their checkpoints" out && fail "a refusal was taken for a lost device: $(cat out)"
EMU_LT=2 expect 0 "time: not estimated (a shape could not be tried here" $M sweep plan few.yaml --device cuda
# Neither is a shape that the backend has no kernel for: that is said before anything starts.
sed 's/head_dim: 8/head_dim: 136/; s/d_model: 16/d_model: 136/; s/base_width: 16/base_width: 136/' few.yaml >heads.yaml
expect 3 "heads.yaml:1:.*head_dim: 136: backend cuda has heads of at most 128; use cpu" $M sweep run heads.yaml -o heads --device cuda
expect 3 "head_dim: 136: backend cuda-fp32 has heads of at most 128" \
    $M train run.yaml backend=cuda-fp32 d_model=136 head_dim=136 base_width=136 -o heads
# A device that always fails is told from that: it ends when runs of two shapes have failed, and soon.
EMU_FAIL=60:700 expect 1 "it is the device that fails" $lost $M sweep run spec.yaml -o dead --device cuda
[ "$(grep -c "going on as one" out)" -le 7 ] || fail "too many tries: $(cat out)"
# A spec that cannot be read twice is not tried twice.
EMU_FAIL=60:700 expect 1 "run again to go on" $lost $M sweep run <(cat few.yaml) -o piped --device cuda
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
for call in 720 721 722 723 724 725; do # one of so many calls in a row is a kernel
    rm -rf named
    EMU_FAIL=$call:700 MUSCALE_CUDA_SYNC=1 ASAN_OPTIONS=abort_on_error=1:detect_leaks=0 expect 1 "CUDA: " $M train run.yaml backend=cuda -o named
    grep -q "CUDA: (\{0,1\}[a-z_]*[<:]" out && break
done
grep -q "CUDA: (\{0,1\}[a-z_]*[<:]" out || fail "the kernel is not named: $(grep CUDA out)"
grep -q "running a graph\|waiting for" out && fail "the kernel is not named: $(grep CUDA out)"
echo "emu_device: resumed, moved, in banks and streams, without, with too little, with a failing device"
