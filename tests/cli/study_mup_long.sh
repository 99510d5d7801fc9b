#!/bin/sh
# The ten-minute version of the study: on real text the optimum moves with the width under SP, and muP is told apart from it.
#   study_mup_long.sh [OUTDIR]
set -eu
top=${MUSCALE_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
out=${1:-$(mktemp -d)}
mkdir -p "$out"
SHORT=1 "$top/examples/study_mup.sh" "$out" >"$out/study.log" 2>&1 || {
    tail -n 20 "$out/study.log"
    echo "the study failed; its log is $out/study.log"
    exit 1
}
report=$out/study_mup_short.json
jq -r '.panels[0].lines[] | "\(.parametrisation): drift \(.drift) \(.drift_ci95), \(.verdict); penalty at the widest \(.groups | last | .penalty.nats)"' "$report"
jq -e '.panels[0].lines as $l | ($l[] | select(.parametrisation == "mup")) as $mup | ($l[] | select(.parametrisation == "sp")) as $sp |
    ([$mup, $sp | .groups[].bracketed] | all) and $sp.verdict == "drifts" and $mup.verdict != "drifts"
    and $mup.drift_ci95[0] > $sp.drift_ci95[1] and ($sp.groups | last | .penalty.nats) > ($mup.groups | last | .penalty.nats)' "$report" >/dev/null || {
    echo "muP and SP are not told apart; $report"
    exit 1
}
