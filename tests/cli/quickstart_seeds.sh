#!/bin/sh
# The quickstart's prediction over several seeds (other initial weights, another order of the text): hits and median half-width.
# A miss is a result, so the verdict is only whether every quickstart ran to its score; the calibration of the interval is judged by
# tests/fit/test_calibration. The learning-rate sweep is trained once and shared.
#   quickstart_seeds.sh [SEEDS [OUTDIR]]       default 10 seeds
set -eu
seeds=${1:-10}
top=${MUSCALE_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
out=${2:-$(mktemp -d)}
mkdir -p "$out"
for s in $(seq 1 "$seeds"); do
    dir=$out/seed-$s
    if [ "$s" -gt 1 ] && [ ! -d "$dir" ]; then
        mkdir -p "$dir"
        cp -r "$out/seed-1/corpus" "$out/seed-1/lr" "$dir/"
    fi
    SEED=$s SKIP_PENALTY=1 "$top/quickstart" "$dir" >"$out/seed-$s.log" 2>&1 || {
        tail -n 20 "$out/seed-$s.log"
        echo "seed $s: the quickstart failed; its log is $out/seed-$s.log"
        exit 1
    }
    jq -r --arg s "$s" '"seed \($s): \(if .loss.hit then "hit " else "MISS" end)  predicted \(.loss.predicted)  [\(.loss.pi95[0]), \(.loss.pi95[1])]  measured \(.loss.measured)  naive error \(.naive.error)"' "$dir/score.json"
done
cat "$out"/seed-*/score.json | jq -s -r '"\(map(select(.loss.hit)) | length) hits of \(length); median half-width \(map(.loss.half_width) | sort | .[(length / 2 | floor)]) nats; median |error| \(map(.loss.error | fabs) | sort | .[(length / 2 | floor)]), of the naive predictor \(map(.naive.error | fabs) | sort | .[(length / 2 | floor)])"'
