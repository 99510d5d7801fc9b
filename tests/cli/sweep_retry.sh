#!/bin/sh
# muscale sweep retry: reruns what is asked and nothing else; what was acknowledged stays.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS
ok -q data gen -o d --source markov --vocab 16 --order 1 --tokens 20000 --seed 1
cat >s.yaml <<'END'
base: {data: d, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, parametrisation: sp, batch_tokens: 64, tokens: 640,
       warmup_tokens: 64, val_tokens: 256}
grid:
  lr: [0.001, 0.003, 0.01, 1000]
END
ok -q sweep run s.yaml -o c -j 1
cp -r c whole
ids=$(ls c/runs)
diverged=$(grep -l '"status":"diverged"' c/runs/*/journal.jsonl | cut -d/ -f3)
set -- $(printf '%s\n' $ids | grep -v "$diverged")
failed=$1 missing=$2 done=$3
files() { (cd "$1" && find . -type f ! -name campaign.h5 -exec cksum {} + | sort); }
everything() { find "$1" -printf '%p %i %s %T@ %C@\n' | sort; }

# A run that was interrupted, and whose checkpoints are damaged: nothing valid is left to go on from.
interrupt() {
    sed -i '$d' "c/runs/$1/journal.jsonl"
    rm "c/runs/$1/run.h5"
}
fail_one() {
    interrupt "$failed"
    for f in c/runs/"$failed"/ckpt.*; do echo rubbish >"$f"; done
    run -q sweep run s.yaml -o c -j 1
}

t "a campaign without anything to do"
ok sweep retry c
has "4 runs: 3 done, 1 diverged; again: 0"
same "$(files c)" "$(files whole)" "nothing is touched"

t "a failed run is named with its reason, and how to run it again"
fail_one
rc_is 4
ok sweep status c
has "$failed  failed"
has "ckpt"
has "the loss blew up at step"
err_has "muscale sweep retry c --failed"
ok -q sweep status c
same "$err" "" "quiet"

t "--dry-run says it and starts nothing"
rm -r "c/runs/$missing"
before=$(everything c)
ok sweep retry c --dry-run
has "4 runs: 1 done, 1 diverged, 1 failed, 1 waiting; again: 2 (1 failed, 1 waiting)"
has "$failed  failed"
has "$missing  waiting"
hasnt "$done"
ok --json sweep retry c --dry-run --diverged
json .schema muscale.retry/1
json '.dry_run, .n_again, .runs[0].id, .runs[0].is | tostring' "true
1
$diverged
null"
same "$(everything c)" "$before" "a dry run leaves everything as it is"

t "only what is asked"
ok sweep retry c --missing -j 1
has "c: 1 again: 1 done"
ok sweep status c
has "2 done, 1 diverged, 1 failed"
same "$(cat "c/runs/$done"/* | cksum)" "$(cat "whole/runs/$done"/* | cksum)" "a done run"

t "what fails again is exit 4, with one object"
run --json sweep retry c -j 1
rc_is 4
json '.n_again, .was.failed, .is.failed | tostring' "1
1
1"

t "a failed run goes on from its checkpoint when it has one"
cp whole/runs/"$failed"/ckpt.* "c/runs/$failed"
ok --json sweep retry c --failed -j 1
json '.runs[0].was, .runs[0].is' "failed
done"
check
grep -q '"event":"resume","from_step":[1-9]' "c/runs/$failed/journal.jsonl" || fail "it began anew"
same "$(grep -c '"status":"failed"' "c/runs/$failed/journal.jsonl")" 2 "failures that stay on record"

t "a diverged run is run again from the start; what it did is kept whole"
before=$(cd "c/runs/$diverged" && cksum ./*)
ok sweep retry c --diverged -j 1
err_has "1 folder in c/attempts"
has "c: 1 again: 1 diverged"
same "$(cd "c/attempts/$diverged.1" && cksum ./*)" "$before" "the earlier attempt"
ok sweep status c
has "1 earlier attempt is kept"
has "3 done, 1 diverged"

t "a retry that was killed after making room is asked for with the same word"
mv "c/runs/$diverged" "c/attempts/$diverged.2"
ok sweep retry c --diverged -j 1
has "again: 1 (1 waiting)"
check
test ! -e "c/attempts/$diverged.3" || fail "put aside twice"

t "a process that goes on for another one runs what that one was asked for"
ok --json sweep status c
n=$(printf '%s' "$out" | sed -n 's/.*"id": "\(.*\)",/\1/p' | grep -n "$done" | cut -d: -f1)
bits=$(printf %x $((1 << (n - 1))))
rm -r "c/runs/$done" "c/runs/$missing"
MUSCALE_SWEEP_GOES_ON=0 MUSCALE_SWEEP_RETRIES=$bits ok sweep retry c --failed -j 1
has "again: 1 (1 waiting)"
check
test -e "c/runs/$done/run.h5" && test ! -e "c/runs/$missing" || fail "other runs than that"
ok -q sweep retry c -j 1

t "a run that another process owns is left alone"
interrupt "$missing"
echo '{"host":"elsewhere","pid":7,"born":7,"boot":"b","machine":"m","pid_space":"p"}' >"c/runs/$missing/owner"
before=$(everything "c/runs/$missing")
ok sweep retry c
has "1 running; again: 0"
err_has "1 run is left to the process that owns it"
same "$(everything "c/runs/$missing")" "$before" "its folder"
rm "c/runs/$missing/owner"

t "a damaged run is said and left"
mv "c/runs/$done" kept
mkdir "c/runs/$done" && echo '{"not": "ours"}' >"c/runs/$done/journal.jsonl"
ok sweep retry c --dry-run
err_has "1 run is damaged"
hasnt "$done"
rm -r "c/runs/$done" && mv kept "c/runs/$done"

t "the plan must be the one that was run"
mv d e && ok -q data gen -o d --source markov --vocab 16 --order 1 --tokens 20000 --seed 2
bad 3 "no longer plans the runs in c/plan.json" sweep retry c
err_has "restore what changed, or take the new plan with"
rm -r d && mv e d
mv c/spec.yaml spec
bad 3 "spec.yaml is missing" sweep retry c
mv spec c/spec.yaml
mv c/plan.json plan
bad 3 "no campaign" sweep retry c
mv plan c/plan.json
bad 2 "CAMPAIGN is missing" sweep retry
bad 2 "--fail-fast" sweep retry c --fail-fast=0
bad 2 "unknown option" sweep retry c --amend
finish
