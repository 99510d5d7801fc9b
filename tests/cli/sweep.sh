#!/bin/sh
# muscale sweep: the rows of bad input that need no kill, and one JSON object whatever happens.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS
ok -q data gen -o d --source markov --vocab 16 --order 1 --tokens 20000 --seed 1
cat >s.yaml <<'END'
base:
  data: d
  d_model: 16
  n_layer: 1
  head_dim: 8
  seq_len: 16
  parametrisation: sp
  batch_tokens: 64
  tokens: 640
  warmup_tokens: 64
  val_tokens: 256
grid:
  lr: [0.001, 0.003, 0.01]
END

t "a backend that is not there: said once, before anything is made"
bad 2 "'tpu' is none of cpu, cuda" sweep run s.yaml -o c --device tpu
if ! "$muscale" doctor | grep -q 'compute capability'; then bad 1 "backend" sweep run s.yaml -o c --device cuda; fi
same "$(ls -d c 2>/dev/null)" "" "nothing is made"

t "a run that fails: 4, named, one JSON object with the counts, the others done"
ok --json sweep run s.yaml -o c
json .done 3
id=$(ls c/runs | head -n 1)
rm -r c/runs/$id && echo "in the way" >c/runs/$id
run --json sweep run s.yaml -o c
rc_is 4
json .schema muscale.sweep/1
json '.done, .failed | tostring' "2
1"
err_has "c/runs/$id"
err_has "1 of 3 runs failed; the others are done"
rm c/runs/$id
ok sweep run s.yaml -o c
has "3 done"

t "logged updates reach the journals of a sweep's runs"
{ sed 's/^grid:/  log_updates_every: 4/; /^  lr: /d' s.yaml; printf 'grid:\n  lr: [0.001, 0.003]\n'; } >u.yaml
ok sweep run u.yaml -o u
for d in u/runs/*/; do same "$(grep -c '"k":"updates"' "$d/journal.jsonl")" 4 "updates of steps 1, 4, 8 and 10 in $d"; done
finish
