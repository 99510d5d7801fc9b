#!/bin/sh
# How often is it worth repeating a pool of unique tokens? Trains examples/epochs.yaml on real text, fits the data-constrained
# law, predicts the best number of epochs for a budget, then trains and scores epoch counts that were left out.
#   examples/epochs.sh [OUTDIR]        (default epochs-out; THREADS=N to use other than 2 cores)
# Can be run again and again: finished runs are not trained twice. What came out, and where the law fails: doc/experiments.md.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/scripts/setup.sh"
. "$top/scripts/experiment.sh"
begin "${1:-epochs-out}"
cd "$out" # the specs say `data: corpus`
pool=131073
held_out=$top/examples/epochs_held_out.yaml

step "text, shuffled so that its first $((pool - 1)) bytes are a fair sample"
shuffled_corpus

step "runs: the pool for 1 to 64 epochs, and fresh data"
"$m" sweep run "$top/examples/epochs.yaml" -o campaign -j "$threads"

step "stage 1: what fresh tokens are worth (exponents tied, as Muennighoff et al. do)"
verdict "$m" fit campaign --law chinchilla --tie alpha=beta --where "U != $pool or D < $pool" -o fresh.json

step "stage 2 on all rows, to see where the law ends"
verdict "$m" -q fit campaign --law data-constrained --fix-from fresh.json --bootstrap 0 -o all.json
"$m" -q plot residuals all.json -o all-residuals.svg
# Measured loss falls and then rises again with the epochs; the law can only level off. Its domain: up to the lowest row.
jq -r --argjson U $pool '[.points | [.N, .D, .U, .loss, .fitted] | transpose[]] | map(select(.[2] == $U)) | group_by(.[0])[] | sort_by(.[1]) |
    (min_by(.[3])[1]) as $turn | .[] | [.[0], (.[1] / ($U - 1) | round), .[3], .[4], (if .[1] > $turn then "beyond the lowest" else "" end)] | @tsv' \
    all.json | awk -F '\t' 'BEGIN { print "        N  epochs  measured   law       measured - law" } { printf "%9d  %6d  %8.4f  %8.4f  %+8.4f  %s\n", $1, $2, $3, $4, $3 - $4, $5 }' | tee turning.txt
domain=$(jq -r --argjson U $pool '[.points | [.N, .D, .U, .loss] | transpose[]] | map(select(.[2] == $U)) | group_by(.[0]) |
    map(min_by(.[3]) | "(N == \(.[0]) and D <= \(.[1]))") | "U != \($U) or " + join(" or ")' all.json)

step "stage 2 on the rows up to there"
verdict "$m" fit campaign --law data-constrained --fix-from fresh.json --where "$domain" -o both.json
if jq -e '.params.R_N_star == null' both.json >/dev/null; then
    say "R_N* is not identified: excess parameters count in full (R_N* = 1e12), R_D* alone is fitted"
    set -- --fix R_N_star=1e12
else set --; fi
refused=
verdict "$m" fit campaign --law data-constrained --fix-from fresh.json "$@" --where "$domain" -o fit.json
say "everything fitted at once:"
rc=0
"$m" fit campaign --law data-constrained --tie alpha=beta "$@" --where "$domain" -o one-stage.json || rc=$?
case $rc in 0 | 5) ;; *) exit $rc ;; esac

step "the best number of epochs, and the runs left out, predicted before they are trained"
budget=$(jq -n '6 * 40960 * 3145728') # width 32 for 24 epochs
# shellcheck disable=SC2086
"$m" predict fit.json --flops "$budget" --unique-tokens $pool --config "$held_out" $refused -o best.json
# WIDTH TOKENS LR: 24 epochs at the three sizes; then the budget spent on other sizes, at 12, 7.5 and 3.6 epochs
while read -r width tokens lr; do
    name=$width-$tokens
    set -- "$held_out" "d_model=$width" "tokens=$tokens" "lr=$lr"
    if [ ! -d "run-$name" ]; then # once the run exists its prediction stays as it was written
        # shellcheck disable=SC2086
        "$m" -q predict fit.json --config "$@" $refused -o "prediction-$name.json" >/dev/null
    fi
    "$m" -q train "$@" --prediction "prediction-$name.json" -o "run-$name" --resume --threads "$threads" >/dev/null
    "$m" -q score "prediction-$name.json" "run-$name" -o "score-$name.json" >/dev/null
done <<END
32 3145728 0.00365
64 3145728 0.00365
96 3145728 0.00365
48 1613312 0.00431
64 983040 0.00488
96 476672 0.00585
END

step "report"
"$m" -q report campaign fit.json prediction-32-3145728.json score-32-3145728.json -o report

step "summary"
jq -n -r --argjson U $pool --slurpfile f fit.json --slurpfile one one-stage.json --slurpfile b best.json 'def r(n): . * pow(10; n) | round / pow(10; n);
    def ci(n): if . == null then "no interval" else "[\(.[0] | if . then r(n) else "-" end), \(.[1] | if . then r(n) else "-" end)]" end;
    "law        R_D* \($f[0].params.R_D_star | r(1)) \($f[0].ci95.R_D_star | ci(1)) in two stages; \($one[0].params.R_D_star | if . then r(1) else "not identified" end) \($one[0].ci95.R_D_star | ci(1)) in one; \($f[0].n_points) rows, verdict \($f[0].trust.verdict)",
    "best       at \($b[0].optimum.C | r(0)) FLOPs: \($b[0].optimum.epochs | r(1)) epochs \($b[0].ci95.epochs | ci(1)), N \($b[0].optimum.N | r(0)), \($b[0].optimum.loss | r(3)) nats"'
say "held out   width  epochs      FLOPs  predicted  95 % for one run      measured"
for s in score-*.json; do
    name=${s#score-}
    jq -r --slurpfile p "prediction-$name" --argjson U $pool '[$p[0].target.config.d_model, $p[0].target.D / ($U - 1), $p[0].target.C, .loss.predicted, .loss.pi95[0], .loss.pi95[1], .loss.measured, (if .loss.hit then "hit" else "MISS" end)] | @tsv' "$s"
done | sort -n -k3,3 -k1,1 | awk '{ printf "           %5d  %6.1f  %9.3g  %9.4f  [%.4f, %.4f]  %9.4f  %s\n", $1, $2, $3, $4, $5, $6, $7, $8 }'
say "report     $out/report/report.html"
