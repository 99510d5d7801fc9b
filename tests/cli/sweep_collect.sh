#!/bin/sh
# muscale sweep collect: the campaign's table for others; a fit of it is the fit of the campaign.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS
ok -q data gen -o d --source markov --vocab 16 --order 1 --tokens 20000 --seed 1
cat >s.yaml <<'END'
base: {data: d, n_layer: 1, head_dim: 8, seq_len: 16, parametrisation: sp, batch_tokens: 64, val_tokens: 256, warmup_tokens: 64}
grid: {d_model: [16, 24, 32], tokens: [640, 1280, 1920, 2560], lr: [0.01]}
sweeps: [{name: good}, {name: bad, base: {d_model: 16, tokens: 640}, grid: {lr: [1000], d_model: [16], tokens: [640]}}]
END
ok -q sweep run s.yaml -o c -j 1
ok sweep collect c --csv a.csv --jsonl a.jsonl
has "13 runs (12 done, 1 diverged, 0 stopped early)"
same "$(ls -A | tr '\n' ' ')" ".io a.csv a.jsonl c d s.yaml " "no temporary is left"

t "settings that differ are columns, those that do not are none, unless a fit asks for them"
head=$(head -n 1 a.csv)
for name in run status loss N D C lr d_model tokens seed batch_tokens parametrisation final_val_loss journal_xxh64; do
    check
    contains ",$head," ",$name," || fail "no column $name"
done
for name in seq_len vocab head_dim weight_decay source_stamp; do
    check
    ! contains ",$head," ",$name," || fail "column $name"
done
same "$(wc -l <a.csv)" 14 "lines"
same "$(wc -l <a.jsonl)" 13 "lines"
check
grep -q ',diverged,inf,' a.csv && grep -q '"status":"diverged","loss":"inf"' a.jsonl || fail "the diverged run's loss is not inf"

t "a fit of the table is the fit of the campaign"
numbers() { sed -n '/"params"/,/}/p; /"raw"/,/}/p; /"se"/,/}/p; /objective_value/p; /"n_/p' "$1"; }
for input in c a.csv a.jsonl; do
    run -q fit "$input" --law chinchilla --bootstrap 10 -o fit.json
    numbers fit.json >"fit.$input"
done
check
grep -q alpha fit.c || fail "no fit"
same "$(cat fit.a.csv)" "$(cat fit.c)" "fits of CSV and campaign"
same "$(cat fit.a.jsonl)" "$(cat fit.c)" "fits of JSONL and campaign"
sed '2,$s/\(\.[0-9]*\)[0-9],/\19,/' a.csv >b.csv
run -q fit b.csv --law chinchilla --bootstrap 10 -o fit.json
check
grep -q alpha fit.json || fail "no fit"
check
[ "$(numbers fit.json)" != "$(cat fit.c)" ] || fail "numbers that are off by a digit give the same fit"

sed '3s/,done,/,stopped,/' a.csv >b.csv # of our tables the status is read, as in the campaign
run fit b.csv --law chinchilla --bootstrap 0
err_has "1 not finished, 1 diverged"

t "stdout holds one thing"
ok sweep collect c --csv -
same "$out" "$(cat a.csv)" "the table"
err_has "c: campaign.h5 holds 13 runs"
ok -q sweep collect c --jsonl -
same "$out" "$(cat a.jsonl)" "the lines"
same "$err" "" "quiet"
bad 2 "only one of" sweep collect c --csv - --jsonl -
run --json sweep collect c --csv -
rc_is 2
bad 2 "--csv and --jsonl name one file" sweep collect c --csv b --jsonl b
bad 2 "is an input" sweep collect c --csv c/plan.json
ok --json sweep collect c --csv a.csv
json '.schema, .counts.done, .csv, .damaged | tostring' "muscale.collect/1
12
a.csv
null"

t "a table that cannot be written leaves the old one"
cp a.csv old
mkdir dir
bad 1 "is a directory" sweep collect c --csv dir
bad 1 "no/a.csv" sweep collect c --csv no/a.csv
ok sweep collect c --csv /dev/null
check
test -c /dev/null || fail "/dev/null was replaced"

t "a damaged run is named, the others are there"
id=$(ls c/runs | head -n 1)
rm "c/runs/$id/run.h5" && echo rubbish >"c/runs/$id/journal.jsonl"
ok sweep collect c --csv b.csv
err_has "$id"
has "holds 12 runs"
same "$(cat b.csv)" "$(grep -v "^$id" a.csv)" "the other rows"
finish
