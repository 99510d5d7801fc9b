#!/bin/sh
# Does the floor of a fitted law find the entropy of a source that is known exactly? Draws a Markov source, trains
# examples/markov.yaml on it, fits L = E + A/N^alpha + B/D^beta and compares E with the source's entropy rate.
#   examples/markov.sh [OUTDIR]        (default markov-out; THREADS=N to use other than 2 cores)
# Can be run again and again: finished runs are not trained twice. What came out: doc/experiments.md.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/scripts/setup.sh"
. "$top/scripts/experiment.sh"
begin "${1:-markov-out}"
cd "$out" # the spec says `data: source`

step "the source"
[ -f source/meta.json ] || "$m" -q data gen -o source --source markov --vocab 64 --order 1 --tokens 10000000 --seed 1 --val-fraction 0.1
"$m" data info source
h=$("$m" --json data info source | jq .entropy_rate)

step "runs: five sizes, seven lengths"
"$m" sweep run "$top/examples/markov.yaml" -o campaign -j "$threads"

step "the law"
verdict "$m" fit campaign --law chinchilla --profile -o fit.json

step "report"
"$m" -q report campaign fit.json -o report

step "summary"
se=$(cat campaign/runs/*/journal.jsonl | jq -s '[.[] | select(.k == "val")] | min_by(.loss).loss_se')
jq -r --argjson h "$h" --argjson se "$se" 'def r: . * 1e5 | round / 1e5;
    "entropy    \($h | r) nats per token, exactly; of the validation part known to +- \($se | r) (one standard error)",
    "fitted     E \(.raw.E // .params.E | r), 95 % \(if .ci95.E then "[\(.ci95.E[0] | r), \(.ci95.E[1] | r)]" else "not identified" end); verdict \(.trust.verdict)",
    (if .ci95.E == null then "           no interval"
     elif .ci95.E[0] <= $h and $h <= .ci95.E[1] then "           the interval contains the entropy rate"
     else "           the interval MISSES the entropy rate by \([.ci95.E[0] - $h, $h - .ci95.E[1]] | max | r) nats" end),
    "lowest     \(.points.loss | min | r), \((.points.loss | min) - $h | r) above the entropy rate; \(.n_points) runs"' fit.json
say "report     $out/report/report.html"
