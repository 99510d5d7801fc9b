#!/bin/sh
# What muscale fit reads: the same runs in every format give the same fit; what is wrong is one line with its place, exit 3.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"

# L = 1.8 + 40/N^.3 at ten sizes, as CSV, and from it every other form.
awk 'BEGIN { print "run,N,loss"; for (i = 0; i < 10; i++) { n = 1e6 * 3^i; printf "r%d,%.17g,%.17g\n", i, n, 1.8 + 40 * n^-.3 } }' >runs.csv
awk -F, 'NR > 1 { printf "{\"run\":\"%s\",\"N\":%s,\"loss\":%s}\n", $1, $2, $3 }' runs.csv >runs.jsonl
{ echo '['; sed '$!s/$/,/' runs.jsonl; echo ']'; } >runs.json
tr -d '\n' <runs.json >one_line.json
awk -F, 'NR > 1 { n = n c $2; l = l c $3; c = "," } END { printf "{\"N\":[%s],\n\"loss\":[%s]}\n", n, l }' runs.csv >columns.json
sed 's/"N":\([^,]*\)/"config":{"N":\1}/' runs.jsonl >nested.jsonl
sed 's/$/\r/' runs.csv >crlf.csv
power() { run fit "$@" --law power --x N --count-rule total --bootstrap 0 --json; }

t "every form, one fit"
power runs.csv
rc_is 0
json '(.params.alpha - .3 | fabs) < 1e-6' true
for f in runs.jsonl runs.json one_line.json columns.json crlf.csv; do
    power "$f"
    rc_is 0
    json '(.params.alpha - .3 | fabs) < 1e-6' true
    json '.points.N | length' 10
done
power nested.jsonl --col N=config.N
rc_is 0
json '(.params.alpha - .3 | fabs) < 1e-6' true
t "the name does not matter"
cp runs.jsonl anything.csv
power anything.csv
rc_is 0
t "several at once"
head -n 5 runs.jsonl >a.jsonl
{ head -n 1 runs.csv; tail -n 5 runs.csv; } >b.csv
power a.jsonl b.csv
rc_is 0
json '.points.N | length' 10
t "a pipe"
last="fit /dev/stdin <pipe"
rc=0
out=$(cat runs.jsonl | "$muscale" fit /dev/stdin --law power --x N --bootstrap 0 --count-rule total --json 2>"$scratch/.io/err") || rc=$?
err=$(cat "$scratch/.io/err")
rc_is 0
json '.points.N | length' 10

t "diverged and absent"
{ cat runs.jsonl; echo '{"N":5e6,"loss":NaN}'; echo '{"N":6e6,"loss":"Infinity"}'; echo '{"N":7e6,"loss":null}'; echo '{"N":8e6}'; } >holes.jsonl
power holes.jsonl
rc_is 0
err_has "2 diverged"
err_has "2 absent"
json '.points.N | length' 10

t "W&B chart: long form, the run of each row"
awk 'BEGIN { print "\"Step\",\"a-1 - train/loss\",\"a-1 - train/loss__MIN\",\"a-1 - train/loss__MAX\",\"b-2 - train/loss\",\"b-2 - train/loss__MIN\",\"b-2 - train/loss__MAX\""
  for (s = 1; s <= 400; s *= 2) { x = 2 + 3 / sqrt(s); y = 2.5 + 3 / sqrt(s); printf "\"%d\",\"%.17g\",\"%.17g\",\"%.17g\",\"%.17g\",\"%.17g\",\"%.17g\"\n", s, x, x - .1, x, y, y, y } }' >chart.csv
run fit chart.csv --law power --x step --where "run == a-1" --bootstrap 0 --json
rc_is 0
json '(.params.alpha - .5 | fabs) < 1e-6' true
err_has "column '_step' taken as step"
err_has "column 'train/loss' taken as loss"
err_has "chart.csv: W&B chart: 9 of 18 points average over several steps or runs"
run fit chart.csv --law power --x step --where "run == b-2" --bootstrap 0 --json
json '(.params.E - 2.5 | fabs) < 1e-6' true

t "W&B history: the sample is noticed"
awk 'BEGIN { for (i = 0; i < 500; i++) { s += 1 + (i * 7919) % 39; printf "{\"_step\":%d,\"train/loss\":%.17g}\n", s, 2 + 3 / sqrt(s) } }' >history.jsonl
run fit history.jsonl --law power --x step --bootstrap 0 --json
rc_is 0
err_has "history.jsonl: 1 run has about 500 rows at uneven steps"
err_has "run.scan_history()"
run -q fit history.jsonl --law power --x step --bootstrap 0 --json
same "" "$err" "-q is silent"

t "llm.c log"
awk 'BEGIN { for (s = 1; s <= 3000; s *= 2) { if (s > 100) printf "s:%d tel:%.4f\n", s, 2.1 + 3 / sqrt(s); printf "s:%d trl:%.4f lr:%.6f norm:%.2f\n", s, 2 + 3 / sqrt(s), 3e-5, 1 } }' >main.log
run fit main.log --law power --x step --col loss=trl --bootstrap 0 --json
rc_is 0
json '.points.loss | length' 12
json '(.params.alpha - .5 | fabs) < 0.02' true
err_has "main.log: lr is printed with six decimals"
run fit main.log --law power --x step --bootstrap 0 --json # validation loss, where there is one
json '.points.loss | length' 5

t "what is wrong is said with its place"
wrong() { printf '%b' "$2" >"$1"; bad 3 "$1$3" fit "$1" --law power --x N; }
wrong torn.json '[{"N":1,"loss":2},\n {"N":2' ':2:8: the file ends inside a value; was it cut short?'
wrong comma.json '[{"N":1,"loss":2},]' ':1:18: no comma may stand before the end of a list or object'
wrong twice.jsonl '{"N":1,"N":2}\n' ":1:8: key 'N' stands twice in one record; rename one"
wrong lines.jsonl '{"N":1,"loss":2}\n{"N":2,\n"loss":3}\n' ':2:8: the line ends inside a value'
wrong quotes.json "[{'N':1}]" ':1:3: single quotes; JSON needs double ones'
wrong word.jsonl '{"N":1,"loss":2}\n{"N":"2_000","loss":3}\n' ":2:6: '2_000' is not a number (column 'N')"
wrong zero.jsonl '{"N":1,"loss":2}\n{"N":0,"loss":3}\n' ':2: N is 0'
wrong zero.json '[{"N":1,"loss":2},{"N":0,"loss":3}]' ':1, row 2: N is 0'
wrong empty.json '[]' ': no records'
wrong fit.json '{"schema":"muscale.fit/1"}' ': a muscale.fit/1 document, no table of runs'
wrong pandas.json '{"N":{"0":1},"loss":{"0":2}}' ':1:1: columns by row number, as pandas writes them'
wrong log '{"N":1' ':1:7: the file ends inside a value'
wrong bad.log 's:1 trl:5\ns:2 trl:x\n' ":2:9: 'x' is not a number (trl)"
wrong stdout.log 's:1 trl:5\nstep 2/9 | loss 4\n' ':2:1: not a record of an llm.c log'
wrong twice.csv 'N,loss,N\n1,2,3\n' ":1:8: column name 'N' stands twice; rename one"
wrong ragged.csv 'N,loss\n1,2\n3\n' ':3:1: 1 field, the header has 2'
wrong latin.csv 'N,loss,name\n1,2,caf\0351\n' ':2:8: byte 0xe9 is not UTF-8'
wrong utf16.csv '\0377\0376N\0000' ': UTF-16'
wrong chart2.csv 'Step,r - run,s - run\n1,2,3\n' ":1: 'run' is to hold the names of the runs"

t "published runs in JSON"
if [ -f "${MUSCALE_REFERENCE:-}/cs336-isoflops/isoflops_curves.json" ]; then
    ok fit "$MUSCALE_REFERENCE/cs336-isoflops/isoflops_curves.json" --method isoflop --col N=parameters --col C=compute_budget --col loss=final_loss \
        --count-rule total --flops-rule 6N --bootstrap 0 --json
    json '.budgets | length' 9
fi
finish
