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
cp -r c safe
interrupt "$missing"
echo '{"host":"elsewhere","pid":7,"born":7,"boot":"b","machine":"m","pid_space":"p"}' >"c/runs/$missing/owner"
before=$(everything "c/runs/$missing")
ok sweep retry c
has "1 running; again: 0"
err_has "1 run is left to the process that owns it"
same "$(everything "c/runs/$missing")" "$before" "its folder"
rm -r c && mv safe c

t "a damaged run is said and left"
mv "c/runs/$done" kept
mkdir "c/runs/$done" && echo '{"not": "ours"}' >"c/runs/$done/journal.jsonl"
ok sweep retry c --dry-run
err_has "1 run is damaged"
hasnt "$done"
rm -r "c/runs/$done" && mv kept "c/runs/$done"

t "--fail-fast stops after the first failure, without it both are tried"
cp -r c two
for id in $failed $missing; do
    sed -i '$d' "two/runs/$id/journal.jsonl"
    rm "two/runs/$id/run.h5"
    for f in two/runs/"$id"/ckpt.*; do echo rubbish >"$f"; done
done
records() { cat two/runs/"$failed"/journal.jsonl two/runs/"$missing"/journal.jsonl | grep -c '"status":"failed"'; }
had=$(records)
run sweep retry two --fail-fast -j 1 --max-bank 1
rc_is 4
err_has "stopped by --fail-fast after 1 failed run"
has "two: 2 again: 1 partial, 1 failed"
same "$(records)" $((had + 1)) "failures on record"
run sweep retry two -j 1 --max-bank 1
rc_is 4
has "two: 2 again: 2 failed"
same "$(records)" $((had + 3)) "failures on record"

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

t "full disk and read-only directory: exit 1, nothing is lost, and it goes on when there is room"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null && unshare -m mount -t tmpfs -o size=64k none /mnt 2>/dev/null; then
    cp c/spec.yaml full.yaml
    for size in 40k 96k; do
        last="sweep run and retry (disk of $size)"
        unshare -m sh -c "mount -t tmpfs -o size=$size none /mnt && cd $scratch &&
            { '$muscale' sweep run full.yaml -o /mnt/c -j 1; echo run \$?; '$muscale' sweep status /mnt/c | head -n 1
              for j in /mnt/c/runs/*/journal.jsonl; do [ ! -s \$j ] || tail -c 1 \$j | od -c | grep -q '\\\\n' || echo torn; done
              mount -o remount,size=16m /mnt
              if [ -e /mnt/c/spec.yaml ]; then '$muscale' sweep retry /mnt/c -j 1; else '$muscale' sweep run full.yaml -o /mnt/c -j 1; fi
              echo again \$?; '$muscale' sweep status /mnt/c | head -n 1; }" >.io/out 2>.io/err
        rc=$? out=$(cat .io/out) err=$(cat .io/err)
        has "run 1"
        err_has "No space left"
        hasnt "torn"
        has "again 0"
        has "4 runs: 3 done, 1 diverged"
    done
    last="sweep run and retry (read-only)"
    unshare -m sh -c "mount -t tmpfs none /mnt && cp -r c /mnt/c && rm -r /mnt/c/runs/$done && mount -o remount,ro /mnt &&
        { '$muscale' sweep status /mnt/c >/dev/null; echo status \$?; '$muscale' sweep retry /mnt/c -j 1; echo retry \$?
          '$muscale' sweep retry /mnt/c --diverged -j 1; echo diverged \$?; '$muscale' sweep collect /mnt/c; echo collect \$?; }" >.io/out 2>.io/err
    rc=$? out=$(cat .io/out) err=$(cat .io/err)
    has "status 0"
    has "retry 1"
    has "diverged 1"
    has "collect 1"
    err_has "Read-only file system"
else
    echo "note: no mount here: full disk and read-only directory are not tried"
fi
finish
