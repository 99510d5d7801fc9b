#!/bin/bash
# kill -9 at random moments of `muscale train`: however often a run was killed and resumed, its final checkpoint (weights,
# both moments, smoothed loss) and the rows of its journal are those of a run that nobody disturbed, byte for byte.
#   kill_train.sh [KILLS] [SEED]      (default 8 and 1; check-long runs 100)
set -eu
kills=${1:-8}
seed=${2:-1}
m=${MUSCALE_BIN:?path of the program}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
RANDOM=$seed
export OPENBLAS_NUM_THREADS=1
fail() { echo "kill_train (seed $seed): $*" >&2; exit 1; }

"$m" -q data gen -o "$dir/data" --source markov --vocab 16 --order 1 --tokens 60000 --seed 1 >/dev/null
cat >"$dir/run.yaml" <<EOF
data: $dir/data
d_model: 32
n_layer: 2
head_dim: 16
seq_len: 32
base_width: 32
batch_tokens: 256
tokens: 102400
warmup_tokens: 2560
val_tokens: 1024
val_every: 50
log_every: 1
ckpt_every: 20
lr: 0.01
threads: 1
EOF

# Rows that count: after a resume from step s, rows beyond s are made again; of equal steps the last one stands. Times and
# line sums differ between any two runs.
rows() {
    awk '
        function number(key,   v) { v = $0; if (!sub(".*\"" key "\":", "", v)) return 0; sub(/[,}].*/, "", v); return v + 0 }
        /"event":"(start|resume)"/ { from = number("from_step"); for (k in row) if (step[k] > from) { delete row[k]; delete step[k] } }
        /"k":"(train|val)"/ {
            s = number("step"); k = sprintf("%09d %s", s, /"k":"val"/ ? "val" : "train")
            line = $0; gsub(/,"(step_ms|wall_s)":[^,}]*|,"crc":"[0-9a-f]*"/, "", line)
            row[k] = line; step[k] = s
        }
        END { for (k in row) print k, row[k] }' "$1/journal.jsonl" | LC_ALL=C sort
}

"$m" -q train "$dir/run.yaml" -o "$dir/whole" >/dev/null || fail "the undisturbed run ended with $?"
last=$(find "$dir/whole" -name "ckpt.*" | sed "s,.*ckpt\.,," | sort -n | tail -1)
[ "$last" = 400 ] || fail "the undisturbed run's last checkpoint is '$last', not 400"
rows "$dir/whole" >"$dir/whole.rows"
[ "$(wc -l <"$dir/whole.rows")" = 408 ] || fail "$(wc -l <"$dir/whole.rows") rows, not 400 + 8 validations"

compare() {
    cmp "$dir/whole/ckpt.$last" "$1/ckpt.$last" || fail "final checkpoint of $2 differs"
    rows "$1" >"$dir/rows"
    diff "$dir/whole.rows" "$dir/rows" >&2 || fail "journal rows of $2 differ"
}

done_kills=0 run=0 resumed=0
while [ "$done_kills" -lt "$kills" ]; do
    run=$((run + 1))
    r=$dir/run$run
    while :; do
        flag=
        [ -e "$r" ] && flag=--resume
        "$m" -q train "$dir/run.yaml" -o "$r" $flag >/dev/null 2>"$dir/err" &
        pid=$!
        if [ "$done_kills" -lt "$kills" ]; then
            sleep "$(printf '0.%03d' $((RANDOM % 250)))"
            if kill -9 $pid 2>/dev/null; then done_kills=$((done_kills + 1)); fi
        fi
        rc=0
        wait $pid 2>/dev/null || rc=$?
        [ $rc = 0 ] && break
        [ $rc = 137 ] || fail "run $run ended with $rc after $done_kills kills: $(cat "$dir/err")"
        resumed=$((resumed + 1))
    done
    compare "$r" "run $run"
    rm -rf "$r"
done
echo "kill_train: $done_kills kills over $run runs, $resumed resumes: all as if undisturbed"
