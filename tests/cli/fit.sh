#!/bin/sh
# muscale fit: results, and the rows of bad input that concern tables and fits.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"

# L = 1.8 + 400/N^.34 + 1500/D^.36 with a repeating wobble of 0.1 %, on a grid.
awk 'BEGIN { print "params,tokens,loss,family,note"; k = 0
  for (i = 0; i < 6; i++) for (j = 0; j < 6; j++) { n = 1e7 * 10^(i * .4); d = 5e8 * 10^(j * .4); w = 1 + .001 * ((k++ * 7) % 5 - 2)
    printf "%.6e,%.6e,%.8f,f%d,\"a, b\"\n", n, d, (1.8 + 400 * n^-.34 + 1500 * d^-.36) * w, i } }' >runs.csv
fit() { sub=$1; shift; $sub fit runs.csv --law chinchilla --count-rule total --bootstrap 50 "$@"; }

t "a fit for people"
fit ok
has "alpha"
has "verdict: ok"
err_has "column 'params' taken as N"
err_has "36 rows read, 36 used"
fit ok -q
same "" "$err" "-q is silent on stderr"

t "the same as JSON, on stdout and in the file"
fit ok --json -o fit.json
json .schema muscale.fit/1
json 'keys_unsorted[0]' schema
json .n_points 36
json .trust.verdict ok
json '(.params.alpha - .34 | fabs) < 0.03' true
json '.ci95.alpha | length' 2
json '.bootstrap.samples.E | length' 50
json '.points.N | length' 36
json '.points.C' null
json .count_rule total
json '.provenance.inputs[0].path' runs.csv
same "$out" "$(cat fit.json)" "the file"
first=$out
fit ok --json -o fit.json
same "$first" "$out" "the same command twice"

t "hold-out, clusters, pins, where"
fit ok --json --hold-out "tokens > 3e10" --cluster family --fix E=1.8 --where "loss > 1.9 and (family == f1 or family != f1)"
json .holdout.n 6
json .bootstrap.cluster family
json '.params.E' 1.8
json '.fixed[0]' E
json .n_points 30
t "one variable"
ok fit runs.csv --law power --x D --where "family == f5" --bootstrap 20 --json
json .x D
json .n_points 6

t "refused: the result is still printed, exit 5"
fit run --where "family == f1" --json
rc_is 5
json .trust.verdict refuse
json '.trust.reasons[0].code' too_few_points
json .params.alpha null
t "too few finite rows, all diverged"
printf 'N,D,loss\n1e6,1e9,3\n2e6,1e9,nan\n' >few.csv
run fit few.csv --law chinchilla -v
rc_is 5
has too_few_points
err_has "few.csv:3: dropped, loss is not finite"
err_has "1 diverged"
printf 'N,D,loss\n1e6,1e9,inf\n2e6,1e9,nan\n' >none.csv
run fit none.csv --law chinchilla
rc_is 5

t "bad input: files"
bad 3 "nosuch.csv" fit nosuch.csv --law chinchilla
bad 3 "empty" fit /dev/stdin --law power --x N
printf 'tokens,loss\n1,2\n' >narrow.csv
bad 3 "narrow.csv: no column for N" fit narrow.csv --law chinchilla
printf 'a,b\n1,2\n3\n' >torn.csv
bad 3 "torn.csv:3:1" fit torn.csv --law chinchilla
head -c 300 /dev/zero >binary.csv
bad 3 "not a text file" fit binary.csv --law chinchilla
printf 'N,D,loss\n1e6,-1,3\n' >negative.csv
bad 3 "negative.csv:2: D is -1" fit negative.csv --law chinchilla
printf 'N,D,loss\n1e6,2_000,3\n' >junk.csv
bad 3 "junk.csv:2:5: '2_000' is not a number" fit junk.csv --law chinchilla
bad 3 "character 8" fit runs.csv --law chinchilla --where "loss < xyz"
bad 3 "no column 'Tokens'" fit runs.csv --law chinchilla --col D=Tokens
mkdir empty
bad 3 "empty" fit empty --law chinchilla
t "bad input: usage"
bad 2 "did you mean 'chinchilla'" fit runs.csv --law chinchila
bad 2 "which law" fit runs.csv
bad 2 "no input" fit --law chinchilla
bad 2 "--x N, D, C" fit runs.csv --law power
bad 2 "known are parametric" fit runs.csv --law power --method magic
bad 2 "no parameter 'gamma'" fit runs.csv --law chinchilla --fix gamma=1
bad 2 "squared objectives" fit runs.csv --law chinchilla --solver gsl-lm
bad 2 "--count-rule" fit runs.csv --law chinchilla --count-rule all
t "an output that cannot be written"
bad 1 "nodir/fit.json" fit runs.csv --law chinchilla --bootstrap 0 -o nodir/fit.json

t "isoflop"
awk 'BEGIN { print "N,C,loss"; for (b = 0; b < 4; b++) for (i = -3; i <= 3; i++) { c = 3e18 * 4^b; n = .2 * sqrt(c / 6) * 2^i; d = c / (6 * n)
    printf "%.8e,%.8e,%.9f\n", n, c, 1.8 + 400 * n^-.35 + 1200 * d^-.35 } }' >iso.csv
ok fit iso.csv --method isoflop --flops-rule 6N --count-rule total --bootstrap 50 --json
json .law isoflop
json '.budgets | length' 4
json '(.optimum.a_opt - .5 | fabs) < 0.01' true
json '.parametric.a_opt - .5 | fabs < 0.01' true
json '.bias.a_opt | fabs < 0.002' true
for minimum in akima lowest; do
    ok fit iso.csv --method isoflop --minimum $minimum --flops-rule 6N --count-rule total --bootstrap 50
    has "minima by $minimum"
    has "bias of this method"
done
ok fit iso.csv --method isoflop --noise 0.01 --flops-rule 6N --count-rule total --bootstrap 50
has "resampled: stated noise"
bad 2 "known are parabola" fit iso.csv --method isoflop --minimum cubic
bad 2 "--noise" fit iso.csv --method isoflop --noise 0
bad 2 "belong to --method isoflop" fit iso.csv --law chinchilla --minimum akima
bad 2 "--bootstrap above 0" fit iso.csv --method isoflop --noise 0.01 --bootstrap 0
run fit iso.csv --method isoflop --flops-rule 6N --count-rule total --where "C < 2e19"
rc_is 5
has no_interior_minimum

t "envelope"
awk 'BEGIN { print "run,N,D,loss"; for (s = 0; s < 9; s++) for (i = 0; i < 40; i++) { n = 1e7 * 2^s; d = n * 10^(i * .1 - 1)
    printf "s%d,%.8e,%.8e,%.9f\n", s, n, d, 1.8 + 400 * n^-.35 + 1200 * d^-.35 } }' >curves.csv
ok fit curves.csv --method envelope --flops-rule 6N --count-rule total --bootstrap 50 --json
json .method envelope
json '.envelope.n_curves' 9
json '.envelope.sizes | map(select(.kept > 0)) | length' 7
json '(.optimum.a_opt - .5 * (1 - 1 / 49) | fabs) < 0.005' true
json .bootstrap.cluster run
ok fit curves.csv --method envelope --flops-rule 6N --count-rule total --bootstrap 50
has "9 curves; 1500 values of C"
run fit curves.csv --method envelope --flops-rule 6N --count-rule total --where "N < 3e7"
rc_is 5
has no_interior_minimum
bad 2 "whole curves" fit curves.csv --method envelope --flops-rule 6N --cluster N
bad 3 "no column for D" fit iso.csv --method envelope --count-rule total
cut -d, -f2- curves.csv >one.csv
bad 3 "tells curves apart" fit one.csv --method envelope --flops-rule 6N

t "laws are listed"
ok fit --list-laws
has "L = E + A/N^alpha + B/D^beta"
ok fit --list-laws --json
json '.laws[0].params[3].name' alpha

t "an output never replaces an input"
cp runs.csv keep.csv
bad 2 "is an input" fit runs.csv --law chinchilla -o ./runs.csv
fit ok -q -o fit.json
cp fit.json keep.json
bad 2 "is an input" predict fit.json --flops 1e22 -o fit.json
ln -s fit.json link.json
bad 2 "is an input" predict fit.json --flops 1e22 -o link.json
echo 'd_model: 64' >base.yaml
bad 2 "is an input" predict fit.json --flops 1e22 --config base.yaml --write-config base.yaml
same "$(cmp runs.csv keep.csv && cmp fit.json keep.json && cat base.yaml)" "d_model: 64" "inputs"
t "several laws on the same rows"
ok fit runs.csv --law chinchilla --law power --x C --law 'E + A*N^-a + B*D^-b' --flops-rule 6N --count-rule total --bootstrap 20 -o compare.json
has "3 laws on the same"
has "held-out err"
same "$(jq -r '.schema, (.ranking | length), (.fits | length), (.fits[0].law == .ranking[0].law)' compare.json | tr '\n' ' ')" "muscale.compare/1 3 3 true " "compare.json"
bad 2 "are for one law" fit runs.csv --law chinchilla --law kaplan --fix E=1
bad 2 "cannot be compared" fit runs.csv --law chinchilla --law lr-power --col lr=loss --flops-rule 6N
ok fit runs.csv --law chinchilla --hold-out rolling --flops-rule 6N --count-rule total --bootstrap 50
has "back-test: fitted up to a cut"
awk -F, -v OFS=, 'NR == 1 {print $0, "U"; next} {print $0, NR % 9 ? $2 : ""}' runs.csv >some_u.csv
ok fit some_u.csv --law chinchilla --law data-constrained --flops-rule 6N --count-rule total --bootstrap 0 --hold-out largest -o compare.json
err_has "4 rows dropped for all laws: data-constrained cannot use them"
same "$(jq -c '[.n_points, .n_unusable, ([.fits[] | .n_points + .holdout.n] | unique)]' compare.json)" "[32,4,[32]]" "the same rows"
cut -d, -f1-3 runs.csv >no_c.csv
ok fit no_c.csv --law power --x params --law chinchilla --count-rule total --bootstrap 0 -o compare.json
same "$(jq -c '[.fits[].backtest | [.by, [.folds[].cut]]] | unique | length' compare.json)" 1 "the same folds"
t "predictions at points, profiles"
ok fit runs.csv --law chinchilla --flops-rule 6N --count-rule total --bootstrap 50 --profile --at N=1e9,D=2e10 --at N=1e9,D=2e13 -o at.json
has "at N 1e+09, D 2e+10: loss 2."
has "2.6 decades beyond the data"
has "one new run        95 %"
has "profile of alpha"
same "$(jq -c '.n_free, (.predictions | map([.at.D, .decades_beyond > 1, (.ci95 | length), (.pi95 | length), (.profile.ci95 | length)])), (.profiles[0] | has("ci95_robust"))' at.json | tr '\n' ' ')" \
  "5 [[20000000000,false,2,2,2],[20000000000000,true,2,2,2]] true " "at.json"
ok predict at.json --params 1e9 --tokens 2e10 --seed 0 --json
same "$(printf '%s' "$out" | jq -c '[.optimum.loss, .ci95.loss, .pi95.loss]')" "$(jq -c '.predictions[0] | [.predicted, .ci95, .pi95]' at.json)" "predict says the same"
bad 2 "write N=VALUE,D=VALUE" fit runs.csv --law chinchilla --at N=1e9
bad 2 "are for one law" fit runs.csv --law chinchilla --law kaplan --at N=1e9,D=1e10
bad 2 "has no --law" fit runs.csv --method isoflop --at N=1e9,D=1e10
t "laws typed as formulas"
ok fit runs.csv --law 'E + A*N^-alpha + B*D^-beta' --flops-rule 6N --count-rule total --bootstrap 50 -o typed.json
err_has "columns N, D; parameters E > 0, A > 0, alpha, B > 0, beta"
ok predict typed.json --flops 1e21
ok fit runs.csv --law chinchilla --flops-rule 6N --count-rule total --bootstrap 0 -o named.json
same "$(jq '(.objective_value * 1e9 | round)' typed.json)" "$(jq '(.objective_value * 1e9 | round)' named.json)" "the same optimum"
bad 3 "character 23" fit runs.csv --law 'E + A*N^-alpha + B*D^-'
bad 3 "no parameter to fit" fit runs.csv --law 'N + 1'
bad 2 "no parameter 'gamma'" fit runs.csv --law 'E + A*N^-alpha' --bound gamma=0,1
t "a hold-out that holds nothing out"
bad 3 "matches none" fit runs.csv --law chinchilla --hold-out "N > 1e30"
bad 3 "matches all" fit runs.csv --law chinchilla --hold-out "N > 0"
t "rows twice"
run fit runs.csv runs.csv --law chinchilla --flops-rule 6N --count-rule total --bootstrap 20
has "dependent_rows"
t "slips in formulas"
bad 3 "write D for that column" fit runs.csv --law 'E + A*N^-alpha + B*tokens_seen^-beta'
bad 2 "did you mean 'chinchilla'" fit runs.csv --law 'chinchilla '
t "units"
awk -F, 'NR == 1 { print "params,tokens,loss"; next } { print $1 / 1e6 "," $2 / 1e6 "," $3 }' runs.csv >millions.csv
run fit millions.csv --law chinchilla --bootstrap 20
has "Counts are expected"
t "two stages"
ok fit runs.csv --law chinchilla --fix-from named.json --bootstrap 0
err_has "5 parameters pinned"
bad 3 "counts N by rule" fit runs.csv --law chinchilla --fix-from named.json --count-rule non-embed
bad 3 "no parameter that this fit has" fit runs.csv --law kaplan --flops-rule 6N --fix-from named.json
t "other formats are named"
echo '[{"N": 1}]' >runs.json
bad 3 "runs.json: no column for D" fit runs.json --law chinchilla
tr ',' ';' <runs.csv >semicolons.csv
bad 3 "not semicolons" fit semicolons.csv --law chinchilla
t "a fit that was refused for want of rows predicts nothing: 5, and why"
head -n 5 runs.csv >few.csv
run -q fit few.csv --law chinchilla --count-rule total -o few.json
rc_is 5
bad 5 "4 rows for 5 free parameters" predict few.json --flops 1e22
bad 5 "4 rows for 5 free parameters" predict few.json --flops 1e22 --force
t "a damaged run given by name is no report of nothing"
printf '\211HDF\r\n\032\n and nothing more' >damaged.h5
bad 3 "damaged.h5: " report damaged.h5 -o report
bad 3 "damaged.h5: " plot loss-curves damaged.h5 -o x.svg
same "$(ls -d report x.* 2>/dev/null)" "" "what is made"

t "learning rate and batch"
awk 'BEGIN { print "N,D,lr,batch_tokens,loss"; l2 = log(2); for (s = 0; s < 3; s++) for (k = 0; k < 3; k++) { n = 1e7 * 3^s; d = 2e8 * 4^k
    x = log(.9 * n^-.35 * d^.2); y = log(2 * d^.5)
    for (i = -3; i <= 3; i++) for (j = -3; j <= 3; j++) { u = (i + .2 * s) / 1; v = j - .3 * k
        printf "%.8e,%.8e,%.10e,%.10e,%.10f\n", n, d, exp(x + u * l2), exp(y + v * l2), 1.8 + 400 * n^-.35 + 1200 * d^-.35 + .02 * u * u - .012 * u * v + .008 * v * v + 1e-5 * sin(7 * i + 3 * j + s + 5 * k) } } }' >surface.csv
ok fit surface.csv --method lr-optimum --count-rule total --bootstrap 50 --optima optima.csv -o surface.json
has "over cells, per-cell"
has "9 of 9 cells count"
has "lr* = 0.9"
err_has "written: optima.csv"
same "$(wc -l <optima.csv)" 10 "lines of optima.csv"
ok fit optima.csv --law lr-power --count-rule total --bootstrap 0 --json
json '.params.q - .2 | fabs < 0.01' true
ok fit optima.csv --law batch-power --count-rule total --bootstrap 0 --json
json '.params.q - .5 | fabs < 1e-4' true
ok fit surface.csv --method lr-optimum --surface pooled --count-rule total --bootstrap 50 --json
json '.surface.how' pooled
json '.surface.laws[0].lr.N + .35 | fabs < 0.02' true
ok fit surface.csv --method lr-optimum --near-best 0.25% --count-rule total --bootstrap 50
has "exponents by the share"
awk 'BEGIN { print "width,N,D,lr,loss"; for (w = 64; w <= 1024; w *= 2) for (i = -3; i <= 3; i++)
    printf "%d,%d,2e8,%.10e,%.8f\n", w, 50 * w * w, .5 / w * 2^i * (1 + .02 * sin(w)), 3 + .02 * (i + .3) ^ 2 }' >widths.csv
ok fit widths.csv --method lr-optimum --bootstrap 50 --optima widths-optima.csv
same "$(sed -n '2p' widths-optima.csv | cut -d, -f1-4)" '"unstated",204800,64,2e+08' "an optimum of one batch"
ok fit widths-optima.csv --law lr-power-x --x N --count-rule total --bootstrap 0 --where "runs == 7" --json
json '.points.N | length' 5
json '.params.p + .5 | fabs < 0.02' true
bad 2 "known are per-cell, pooled" fit surface.csv --method lr-optimum --surface all
bad 2 "--near-best '0'" fit surface.csv --method lr-optimum --near-best 0
bad 2 "exclude each other" fit surface.csv --method lr-optimum --near-best 1% --surface pooled
bad 2 "belong to --method lr-optimum" fit surface.csv --law chinchilla --optima x.csv
bad 2 "is an input" fit surface.csv --method lr-optimum --optima surface.csv
run fit surface.csv --method lr-optimum --count-rule total --where "lr > 0.2"
rc_is 5
ok predict typed.json surface.json --flops 1e21 --json
json '.optimum.lr' null
finish
