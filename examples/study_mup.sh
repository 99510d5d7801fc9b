#!/bin/sh
# Does the best learning rate stay where it is when models grow? Trains examples/study_mup.yaml on real text (widths 32 to 256
# under muP and SP, depths 2 to 16 under completep and muP), reports drift and penalty with intervals, draws the U-curves.
#   examples/study_mup.sh [OUTDIR]     (default study-mup-out; THREADS=N to use other than 2 cores, SHORT=1 for the ten-minute
#                                       version: widths 32 to 128, half the tokens)
# Can be run again and again: finished runs are not trained twice, interrupted ones go on. What came out: doc/mup.md,
# section 10.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/scripts/setup.sh"
. "$top/scripts/experiment.sh"
begin "${1:-study-mup-out}"
cd "$out" # the specs say `data: corpus`
study=study_mup${SHORT:+_short}

step "text, shuffled so that its validation part is a fair sample"
shuffled_corpus

step "runs, optima, drift"
rm -f "$study.json"
rc=0
"$m" mup transfer "$top/examples/$study.yaml" -o "$study" -j "$threads" --beyond 0.15 --report "$study.json" >"$study.txt" || rc=$?
cat "$study.txt"
# 3: an optimum on the edge of the grid; 4: some runs failed; the report is there and says which
case $rc in 0) ;; 3 | 4) [ -s "$study.json" ] || exit $rc ;; *) exit $rc ;; esac

step "figure"
"$m" -q plot lr-curves "$study.json" -o "$study.svg"
"$m" -q plot lr-curves "$study.json" -o "$study.png"

step "summary"
jq -r 'def r(n): . * pow(10; n) | round / pow(10; n); def ci(n): if . == null then "no interval" else "[\(.[0] | r(n)), \(.[1] // 0 | r(n))]" end;
    .panels[] | .axis as $a | .lines[] | (.groups | last) as $g | .trend[0].noise.seed_sd as $sd |
    "\(.parametrisation) over \($a): drift \(if .drift then .drift | r(3) else "-" end) \(.drift_ci95 | ci(3)) octaves per doubling; zero-shot penalty at \($a) \($g.width) \(if $g.penalty.nats then $g.penalty.nats | r(4) else $g.penalty.why end) \($g.penalty.ci95 | ci(4)) nats, seeds differ by \(if $sd then $sd | r(4) else "-" end); \(.verdict)"' \
    "$study.json"
say "report     $out/$study.txt, $out/$study.json"
say "figure     $out/$study.svg"
exit $rc
