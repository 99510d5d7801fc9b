#!/bin/bash
# 100 kill -9 of workers under a real Slurm, and now and then a node that loses its power or a job that pushes tasks aside: every
# campaign that gets through has every run once, with the bits of the same campaign left alone.
#   long.sh [KILLS [RUNS]]      100 kills, 60 runs (one per task); CRED_EXPIRE=120: Slurm's own wait before a restart
set -u
M=${MUSCALE_BIN:?run through make check-slurm-long}
. "${MUSCALE_SRCDIR:-.}/tests/slurm/cluster.sh"
. "${MUSCALE_SRCDIR:-.}/tests/slurm/campaign.sh"
kills=${1:-100} runs=${2:-60}
why=$(cluster_missing)
[ -z "$why" ] || { echo "SKIP: $why"; exit 77; }
here=$(mktemp -d /tmp/muscale-slurm.XXXXXX) || exit 1
trap 'cluster_stop; rm -rf "$here"' EXIT
trap 'exit 99' HUP INT TERM
cd "$here" || exit 1
export OPENBLAS_NUM_THREADS=1

small_spec "$runs" 960000
$M -q sweep run spec.yaml -o calm >/dev/null || fail "the undisturbed campaign"
cluster_start "$here/slurm" 2 4 || fail "the cluster does not come up"

any_worker() { # the numbers of all workers of the campaign
    sed -n 's/^{"host":"[^"]*","pid":\([0-9]*\),.*/\1/p' "$campaign"/runs/*/owner 2>/dev/null | shuf -n 1
}

killed=0 nodes=0 pushed=0 campaigns=0 resumed=0 requeued=0
while [ $killed -lt "$kills" ]; do
    campaign=$here/rough$campaigns
    $M -q sweep submit spec.yaml -o "$campaign" --slurm --max-num-timeout 1000 || fail "submit"
    while ! queue_empty; do
        sleep "0.$((RANDOM % 8 + 1))"
        [ $killed -lt "$kills" ] || continue
        pid=$(any_worker)
        [ -n "$pid" ] || continue
        kill -9 "$pid" 2>/dev/null || continue
        killed=$((killed + 1))
        case $((killed % 25)) in
        10) cluster_kill n1; node_start n1; nodes=$((nodes + 1)) ;;
        20) sbatch -p high -N 2 -n 8 -o high.out --wrap true >/dev/null && pushed=$((pushed + 1)) ;;
        esac
    done
    same_campaign calm "$campaign" "$runs"
    [ "$(logs "holds $runs runs ($runs done")" = 1 ] || fail "the collecting job did not see all runs"
    resumed=$((resumed + $(cat "$campaign"/runs/*/journal.jsonl | grep -c '"event":"resume"')))
    requeued=$((requeued + $(logs 'with work left: requeued')))
    campaigns=$((campaigns + 1))
    echo "campaign $campaigns: $killed kills so far"
done
[ $resumed -gt 0 ] && [ $requeued -gt 0 ] || fail "nothing was ever resumed or requeued"
set -- calm/runs/*/ # the comparison can fail: another run has other bits
cmp -s "$1$last" "$2$last" && fail "two different runs have equal weights"
echo "slurm long: $killed workers killed, $nodes nodes lost, $pushed preemptions; $requeued requeues by the script, $resumed resumes;" \
    "$campaigns campaigns of $runs tasks, every run once, bit-identical"
