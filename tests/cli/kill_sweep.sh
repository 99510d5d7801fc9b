#!/bin/bash
# kill -9 of `muscale sweep run` at random moments, then run again. Every campaign that gets through must be bit-identical
# to the same campaign left alone: final checkpoints (weights, moments) by cmp, rows of the journals by value. What was
# finished before a kill must not change by a byte. Bank size and workers change each time, so that what is left is
# re-banked differently.
#   kill_sweep.sh [KILLS]      8 in `make check`, 100 in `make check-long`
set -u
M=${MUSCALE_BIN:?run through make check}
kills=${1:-8}
here=$(mktemp -d) || exit 1
trap 'rm -rf "$here"' EXIT
cd "$here" || exit 1
export OPENBLAS_NUM_THREADS=1
fail() { echo "kill_sweep: $*" >&2; exit 1; }
random() { echo $(($1 + $(od -An -N4 -tu4 /dev/urandom) % ($2 - $1 + 1))); } # LO HI

$M -q data gen -o source --source markov --vocab 16 --order 1 --tokens 60000 --seed 3 >/dev/null || fail "data gen"
cat >spec.yaml <<'SPEC'
base: {data: source, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, batch_tokens: 64, val_tokens: 512, base_width: 16,
       log_every: 1, ckpt_every: 20, val_every: 50, tokens: 19200}
grid: {lr: [1e-3, 4e-3, 16e-3], seed: [0, 1]}
sweeps:
  - {name: narrow}
  - {name: wide, base: {d_model: 32}}
SPEC
last=ckpt.300 runs=12
$M -q sweep run spec.yaml -o calm -j 1 --max-bank 1 >/dev/null || fail "the undisturbed campaign"

# Rows of a journal: the last record of each step, without times and checksum.
rows() {
    sed -n 's/.*"k":"\(train\|val\)","step":\([0-9]*\),\(.*\)/\1 \2 \3/p' "$1" | sed 's/,"step_ms".*//; s/,"crc".*//' |
        awk '{ last[$1 " " $2] = $0 } END { for (k in last) print last[k] }' | sort -k1,1 -k2,2n
}

compare() { # the campaign that got through
    local n=0 d id
    for d in calm/runs/*/; do
        id=$(basename "$d")
        cmp "$d$last" "rough/runs/$id/$last" || fail "run $id: the final checkpoint differs"
        diff <(rows "$d/journal.jsonl") <(rows "rough/runs/$id/journal.jsonl") || fail "run $id: rows differ"
        resumed=$((resumed + $(grep -c '"event":"resume"' "rough/runs/$id/journal.jsonl")))
        n=$((n + 1))
    done
    [ $n = $runs ] || fail "$n runs compared, not $runs"
}

check_finished() { # what was finished before the kill, and note what is finished now
    [ ! -s finished ] || sha256sum --quiet -c finished || fail "a finished run was touched"
    for h5 in rough/runs/*/run.h5; do
        [ -e "$h5" ] && tail -n 1 "${h5%run.h5}journal.jsonl" | grep -q '"status":"done"' && sha256sum "${h5%run.h5}journal.jsonl" "$h5"
    done >finished
}

check_status() { # counts add up to the plan at every moment
    [ -e rough/plan.json ] || return 0
    local sum
    sum=$($M --json sweep status rough | tr -d ' \n' | sed 's/.*"counts":{\([^}]*\)}.*/\1/' | tr ',' '\n' | awk -F: '{ n += $2 } END { print n }')
    [ "$sum" = $runs ] || fail "status adds up to $sum, not $runs"
}

killed=0 resumed=0 rounds=0 campaigns=0
: >finished
while [ "$killed" -lt "$kills" ]; do
    rounds=$((rounds + 1))
    [ $rounds -le $((kills * 40)) ] || fail "cannot place $kills kills"
    $M -q sweep run spec.yaml -o rough -j "$(random 1 2)" --max-bank "$(random 1 5)" >out 2>&1 &
    pid=$!
    sleep "0.$(printf %03d "$(random 20 400)")"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    case $? in
    137) killed=$((killed + 1)) ;;
    0) ;;
    *) fail "sweep run failed: $(cat out)" ;;
    esac
    check_finished
    check_status
    if [ -e rough/campaign.h5 ]; then # it got through: compare, and start afresh
        compare
        campaigns=$((campaigns + 1))
        rm -rf rough
        : >finished
    fi
done
$M -q sweep run spec.yaml -o rough -j 2 >out 2>&1 || fail "the last run: $(cat out)"
check_finished
compare
# the comparison can fail: another seed has other bits
set -- calm/runs/*/
cmp -s "$1$last" "$2$last" && fail "two different runs have equal weights"
echo "kill_sweep: $killed kills in $rounds rounds, $((campaigns + 1)) campaigns, $resumed resumes, all runs bit-identical"
