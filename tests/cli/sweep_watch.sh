#!/bin/sh
# muscale sweep watch: tells how a campaign gets on, and changes nothing.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS
ok -q data gen -o d --source markov --vocab 16 --order 1 --tokens 20000 --seed 1
cat >s.yaml <<'END'
base: {data: d, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, parametrisation: sp, batch_tokens: 64, tokens: 6400,
       warmup_tokens: 64, val_tokens: 256, log_every: 1, ckpt_every: 20}
grid:
  lr: [0.001, 0.003, 0.01, 1000]
END
everything() { find "$1" -printf '%p %i %s %T@ %C@\n' | sort; }
# Rows of a journal: the last record of each step, without times and checksum.
rows() {
    sed -n 's/.*"k":"\(train\|val\)","step":\([0-9]*\),\(.*\)/\1 \2 \3/p' "$1" | sed 's/,"step_ms".*//; s/,"crc".*//'
}

t "what another process writes is the same bits with a watcher and without"
ok -q sweep run s.yaml -o calm -j 1 --max-bank 1
mkdir -p c
"$muscale" sweep run s.yaml -o c -j 1 --max-bank 1 >.io/run 2>&1 &
writer=$!
while [ ! -e c/plan.json ]; do sleep 0.01; done
"$muscale" sweep watch c --every 0.05 >.io/watched 2>.io/watch_err &
watcher=$!
wait $writer; same $? 0 "exit of the sweep"
wait $watcher; same $? 0 "exit of watch, once everything is settled"
for d in calm/runs/*/; do
    id=$(basename "$d")
    same "$(cd "$d" && cksum ckpt.* 2>/dev/null)" "$(cd "c/runs/$id" && cksum ckpt.* 2>/dev/null)" "weights of $id"
    same "$(rows "$d/journal.jsonl" | cksum)" "$(rows "c/runs/$id/journal.jsonl" | cksum)" "rows of $id"
    same "$(ls "$d")" "$(ls "c/runs/$id")" "files of $id"
done
out=$(tail -n 1 .io/watched)
has "c: 4 runs: 3 done, 1 diverged; 100 % of"
same "$(cat .io/watch_err)" "" "stderr of watch"

t "nothing is changed by looking"
rm -r "c/runs/$(ls c/runs | head -n 1)"
before=$(everything c)
last="sweep watch c --every 0.05"
timeout -s INT 0.3 "$muscale" sweep watch c --every 0.05 >.io/out 2>.io/err
rc=$? out=$(cat .io/out) err=$(cat .io/err)
same "$rc" 124 "exit of timeout" # that it took SIGINT for an end is looked at below
has "1 waiting"
has "nobody is at work"
same "$(everything c)" "$before" "the campaign"
check
[ "$(wc -l <.io/out)" -gt 2 ] || fail "one look only"

t "signals: 130 and 143"
for s in INT:130 TERM:143; do
    rm -f .io/out
    env --default-signal=INT "$muscale" sweep watch c --every 60 >.io/out 2>.io/err &
    p=$!
    while [ ! -s .io/out ]; do sleep 0.02; done
    kill -"${s%:*}" $p
    wait $p
    same $? "${s#*:}" "exit on ${s%:*}"
done
err=$(cat .io/err)
err_has "no longer watched"

t "one object at the end"
ok -q sweep run s.yaml -o c -j 1
ok --json sweep watch c
json '.schema, .settled, .n_runs, .counts.done | tostring' "muscale.status/1
true
4
3"

t "a terminal is redrawn"
if command -v script >/dev/null; then
    last="script -c 'sweep watch c'"
    out=$(TERM=xterm timeout 5 script -qec "stty cols 60; rm -rf c/runs/$(ls c/runs | head -n 1); timeout -s INT 0.4 '$muscale' sweep watch c --every 0.1" /dev/null </dev/null)
    has "$(printf '\033[2A\033[J')"
    has "[############"
    check
    [ "$(printf '%s' "$out" | tr -d '\r' | grep -v '^muscale' | sed 's/.\[[0-9]*A.\[J//' | awk '{ if (length($0) > n) n = length($0) } END { print n }')" -lt 60 ] ||
        fail "a line is wider than the terminal"
    out=$(TERM=dumb timeout 5 script -qec "timeout -s INT 0.3 '$muscale' sweep watch c --every 0.1" /dev/null </dev/null)
    hasnt "$(printf '\033[')"
fi

t "bad input"
bad 2 "CAMPAIGN is missing" sweep watch
bad 2 "--every: 0: seconds" sweep watch c --every 0
bad 3 "no campaign" sweep watch d
finish
