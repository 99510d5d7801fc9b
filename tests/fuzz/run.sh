#!/bin/sh
# run.sh SOURCE-FOLDER PROGRAM-FOLDER RUNS SECONDS NAME...: each driver over its seeds and over what earlier runs found.
# SECONDS 0: no limit. What breaks a driver is left in the program folder; put it among the seeds once it is repaired.
set -eu
src=$1 bin=$2 runs=$3 seconds=$4
shift 4
failed=
for name; do
    corpus=$bin/corpus/$name
    mkdir -p "$corpus"
    set -- "$corpus"
    [ -d "$src/seeds/$name" ] && set -- "$@" "$src/seeds/$name"
    [ -f "$src/$name.dict" ] && set -- "$@" "-dict=$src/$name.dict"
    rc=0
    "$bin/fuzz_$name" -runs="$runs" -max_total_time="$seconds" -max_len=4096 -timeout=25 -rss_limit_mb=2048 -seed="${SEED:-1}" \
        -print_final_stats=1 -artifact_prefix="$bin/$name-" "$@" >"$bin/$name.log" 2>&1 || rc=$?
    if [ "$rc" = 0 ]; then echo "fuzz_$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$bin/$name.log") runs, clean"
    else
        failed="$failed $name"
        echo "fuzz_$name: exit $rc; see $bin/$name.log"
        grep -E 'ERROR|broken promise|runtime error|SUMMARY|Test unit written' "$bin/$name.log" || tail -n 5 "$bin/$name.log"
    fi
done
[ -z "$failed" ]
