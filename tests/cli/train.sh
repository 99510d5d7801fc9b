#!/bin/sh
# muscale train: what it says, what it refuses, what it leaves behind.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS
ok -q data gen -o d --source markov --vocab 16 --order 1 --tokens 40000 --seed 1
cat >t.yaml <<'END'
data: d
d_model: 32
n_layer: 1
head_dim: 16
seq_len: 32
parametrisation: sp
lr: 0.01
batch_tokens: 256
tokens: 10240
warmup_tokens: 512
val_tokens: 512
val_every: 10
log_every: 1
ckpt_every: 10
threads: 1
END

t "a run"
ok train t.yaml -o r
has "  done  r"
has "validation loss"
err_has "needs "
err_has "parameters "
err_has "moments "
for f in config.yaml journal.jsonl run.h5 ckpt.40; do same "$(ls r/$f 2>&1)" "r/$f"; done
same "$(ls -A r | grep -c -e '^owner' -e tmp)" 0 "files left"

t "config.yaml in the run directory makes the same run"
ok --json train r/config.yaml -o r
json .already_finished true
t "finished: said, shown, not trained again"
before=$(cksum r/* | cksum)
ok --json train t.yaml -o r
err_has "nothing to do"
json .schema muscale.train/1
json .status done
json .step 40
json .tokens 10240
json '.final_val_loss > 0 and .final_val_loss < 4' true
json .diverged_at -1
ok train t.yaml -o r --resume
same "$(cksum r/* | cksum)" "$before" "the run directory"
t "quiet"
ok -q train t.yaml -o r
same "$out" ""

t "another config is refused with the difference"
bad 3 "lr: 0.01 -> 0.02" train t.yaml lr=0.02 -o r
bad 3 "seed: 0 -> 1" train t.yaml seed=1 -o r --resume
bad 3 "): lr: 0.01 -> 0.02, seed: 0 -> 1; use another" train t.yaml seed=1 lr=0.02 -o r --resume
ok train t.yaml log_every=7 threads=2 -o r
err_has "nothing to do"

t "what a step does to each tensor, when asked for"
ok train t.yaml log_updates_every=20 eps=1e-12 -o up
has "  eps              at most "
case $err in *"of sqrt(v)"*) fail "eps 1e-12 is felt" ;; esac
same "$(grep -c '"k":"updates"' up/journal.jsonl)" 3 "records: steps 1, 20, 40"
same "$(grep -c '"k":"updates"' r/journal.jsonl)" 0 "records nobody asked for"
ok --json train t.yaml log_updates_every=20 eps=1e-3 -o up2
err_has "warning: run "
err_has "of sqrt(v) in "
json '.eps_share > 0.01' true
json '.eps_share_tensor | length > 0' true
ok --json train t.yaml -o r
json .eps_share null
bad 3 "log_updates_every" train t.yaml log_updates_every=-1 -o x

t "usage"
bad 2 "CONFIG.yaml is missing" train -o x
bad 2 "-o RUNDIR" train t.yaml
bad 2 "key=value" train t.yaml other.yaml -o x
bad 2 "did you mean '--resume'" train t.yaml -o x --resum
bad 2 "--threads" train t.yaml -o x --threads -3
t "bad config"
bad 3 "absent.yaml" train absent.yaml -o x
bad 3 "learning_rat" train t.yaml learning_rat=1 -o x
bad 3 "lr" train t.yaml lr=1e-5x -o x
bad 3 "head_dim" train t.yaml d_model=40 -o x
bad 3 "nowhere" train t.yaml data=nowhere -o x
bad 3 "did you mean 'cpu'" train t.yaml backend=cpuu -o x
if ! "$muscale" doctor | grep -q 'compute capability'; then
    bad 1 "backend" train t.yaml backend=cuda -o x
    same "$(printf '%s\n' "$err" | grep -c needs)" 0 "talk of memory"
fi
same "$(ls x 2>/dev/null)" "" "nothing is made"

t "an unfinished run: remedy, then resume"
cp -r r u
rm u/run.h5 u/ckpt.40
grep -v '"event":"end"\|"step":3[1-9]\|"step":40' r/journal.jsonl >u/journal.jsonl
bad 3 "--resume" train t.yaml -o u
ok train t.yaml -o u --resume
same "$(cmp r/ckpt.40 u/ckpt.40 && echo same)" same "final checkpoint"
has "  done  u"

t "a torn tail is cut, with a warning"
cp -r r torn
rm torn/run.h5
grep -v '"event":"end"' r/journal.jsonl >torn/journal.jsonl
printf '{"k":"train","step":41,"lo' >>torn/journal.jsonl
ok train t.yaml -o torn --resume
err_has "warning: journal.jsonl: cut a torn tail of 26 bytes"
has "  done  torn"

t "damage before the tail is no torn tail: what follows is put aside, a finished run is left alone"
cp -r r hurt
sed -i '4s/loss/lozz/' hurt/journal.jsonl
cp -r hurt whole
rm hurt/run.h5
ok train t.yaml -o hurt --resume
err_has "warning: journal.jsonl: damaged at byte"
err_has "journal.damaged"
same "$(head -n 3 r/journal.jsonl | cat - hurt/journal.damaged | sed 's/lozz/loss/' | cmp - r/journal.jsonl && echo same)" same "what was cut"
has "  done  hurt"
ok train t.yaml -o whole --resume
err_has "run.h5 holds the whole run"
err_has "nothing to do"
same "$(cmp whole/run.h5 r/run.h5 && echo same)" same "run.h5"
same "$(ls whole/journal.damaged 2>/dev/null)" "" "nothing was cut"

t "a corrupt newest checkpoint: the older one, with a warning; none valid: 1"
cp -r r bad
rm bad/run.h5
grep -v '"event":"end"' r/journal.jsonl >bad/journal.jsonl
same "$(ls bad | grep -c ckpt)" 2 "checkpoints kept"
printf x | dd of=bad/ckpt.40 bs=1 seek=9000 conv=notrunc 2>/dev/null
ok train t.yaml -o bad --resume
err_has "warning: "
err_has "ckpt.40"
same "$(cmp r/ckpt.40 bad/ckpt.40 && echo same)" same "final checkpoint"
rm bad/run.h5
grep -v '"event":"end"' r/journal.jsonl >bad/journal.jsonl
for f in bad/ckpt.*; do printf x | dd of=$f bs=1 seek=9000 conv=notrunc 2>/dev/null; done
bad 1 "ckpt." train t.yaml -o bad --resume

t "run.h5 is derived: deleted or damaged, it is made again"
cp r/run.h5 keep.h5
rm r/run.h5
ok train t.yaml -o r
same "$(cmp r/run.h5 keep.h5 && echo same)" same "run.h5"
head -c 3000 keep.h5 >r/run.h5
ok train t.yaml -o r
same "$(cmp r/run.h5 keep.h5 && echo same)" same "run.h5"

t "diverged: recorded, exit 0, said"
ok --json train t.yaml lr=1e6 clip_norm=0 blowup_nats=0.5 -o boom
json .status diverged
json '.diverged_at > 0' true
json .final_val_loss null
err_has "diverged at step"
ok train t.yaml lr=1e6 clip_norm=0 blowup_nats=0.5 -o boom
err_has "nothing to do"

t "an interrupt leaves a checkpoint"
for sig in INT TERM; do
    case $sig in INT) code=130 ;; *) code=143 ;; esac
    last="train (killed by $sig)" out='' rc=0
    # a background job of a non-interactive shell ignores INT: env restores the default
    env --default-signal=INT "$muscale" train t.yaml tokens=1e8 ckpt_every=0 -o s$sig >o 2>e &
    pid=$!
    n=0
    while [ "$(grep -c '"k":"train"' s$sig/journal.jsonl 2>/dev/null || echo 0)" -lt 2 ] && [ $n -lt 200 ]; do sleep 0.1; n=$((n + 1)); done
    t "owned by a live process"
    bad 1 "pid $pid" train t.yaml tokens=1e8 ckpt_every=0 -o s$sig --resume
    t "an interrupt leaves a checkpoint"
    kill -$sig $pid
    wait $pid || rc=$?
    err=$(cat e)
    rc_is $code
    err_has "continue with --resume"
    same "$(ls s$sig | grep -c ckpt)" 1 "checkpoints"
    same "$(grep -c '"status":"stopped"' s$sig/journal.jsonl)" 1 "end record"
done

t "a prediction is bound before the first step"
id=$(sed -n 's/.*"run_id":"\([0-9a-f]*\)".*/\1/p' r/journal.jsonl)
printf '{"schema":"muscale.predict/1","target":{"config_id":"%s"}}' "$id" >p.json
sha=$(sha256sum p.json | cut -c 1-64)
bad 3 "new directory" train t.yaml -o r --prediction p.json
ok --json train t.yaml -o rp --prediction p.json
json .prediction_sha256 "$sha"
same "$(grep -c "\"event\":\"start\".*\"prediction_sha256\":\"$sha\"" rp/journal.jsonl)" 1 "start record"
ok train t.yaml -o rp --prediction p.json
echo >>p.json
bad 3 "changed since" train t.yaml -o rp --prediction p.json
bad 3 "changed since" train t.yaml -o rp --resume
bad 3 "made for config" train t.yaml seed=5 -o rq --prediction p.json
echo '{"schema":"muscale.fit/1"}' >f.json
bad 3 "not muscale.predict/1" train t.yaml -o rq --prediction f.json
echo '{"schema":' >f.json
bad 3 "not JSON" train t.yaml -o rq --prediction f.json
bad 3 "absent.json" train t.yaml -o rq --prediction absent.json

t "a place where nothing can be written"
bad 1 "/proc/" train t.yaml -o /proc/muscale
echo file >plain
bad 1 "not a directory" train t.yaml -o plain
t "full disk and read-only directory"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null && unshare -m mount -t tmpfs -o size=64k none /mnt 2>/dev/null; then
    for size in 64k 200k; do
        last="train (on $size)" out='' rc=0
        unshare -m sh -c "mount -t tmpfs -o size=$size none /mnt && '$muscale' train t.yaml -o /mnt/r >/dev/null; rc=\$?; tail -c 1 /mnt/r/journal.jsonl | od -c | grep -q '\\\\n' || echo torn >&2; exit \$rc" 2>e || rc=$?
        err=$(cat e)
        rc_is 1
        one_error
        err_has "No space left"
        same "$(grep -c torn e)" 0 "torn journals"
    done
    last="train (read-only)" rc=0
    unshare -m sh -c "mount -t tmpfs none /mnt && mount -o remount,ro /mnt && '$muscale' train t.yaml -o /mnt" 2>e || rc=$?
    err=$(cat e)
    rc_is 1
    one_error
    err_has "ead-only"
else
    echo "note: no mount here: full disk and read-only directory are tested by tests/sweeps/test_kill only"
fi
finish
