#!/bin/bash
# A campaign through a real Slurm of two nodes on this machine: an array of 8, at most 4 at a time. One node loses its power, a
# worker is killed, a job of a higher partition pushes tasks aside. Afterwards the collecting job has run, and every run is
# there once, with the bits of the same campaign left alone. SKIP (77) where Slurm is not installed.
set -u
M=${MUSCALE_BIN:?run through make}
. "${MUSCALE_SRCDIR:-.}/tests/slurm/cluster.sh"
. "${MUSCALE_SRCDIR:-.}/tests/slurm/campaign.sh"
why=$(cluster_missing)
[ -z "$why" ] || { echo "SKIP: $why"; exit 77; }
here=$(mktemp -d /tmp/muscale-slurm.XXXXXX) || exit 1
trap 'cluster_stop; rm -rf "$here"' EXIT
trap 'exit 99' HUP INT TERM
cd "$here" || exit 1
export OPENBLAS_NUM_THREADS=1
campaign="$here/a campaign" # a space: the scripts quote it

small_spec 8 960000
cluster_start "$here/slurm" 2 2 || fail "the cluster does not come up"
$M -q sweep submit spec.yaml -o "$campaign" --slurm --array-parallelism 4 || fail "submit"

wait_for 60 found_on "$campaign" n1 || fail "no worker on n1"
cluster_kill n1
node_start n1
wait_for 60 kill_on "$campaign" n2 || fail "no worker on n2"
wait_for 30 found_on "$campaign" n2 || fail "no second worker on n2"
for try in 1 2 3; do # until it comes while tasks are at work
    rm -f high.out
    sbatch -p high -N 2 -n 4 -o high.out --wrap 'echo high' >/dev/null || fail "the job of the higher partition"
    wait_for 60 test -s high.out || fail "the job of the higher partition does not run"
    [ "$(logs 'exit 143 with work left: requeued')" = 0 ] || break
    wait_for 20 found_on "$campaign" 'n[12]' || break
done

$M -q sweep run spec.yaml -o calm -j 1 >/dev/null || fail "the undisturbed campaign" # while Slurm waits
wait_for 120 queue_empty || fail "the queue is not empty"
same_campaign calm "$campaign" 8
[ "$(logs 'exit 137 with work left: requeued')" -ge 1 ] || fail "no killed worker was started again"
[ "$(logs 'exit 143 with work left: requeued')" -ge 1 ] || fail "no preempted task checkpointed and came again ($try tries)"
[ "$(logs 'holds 8 runs (8 done')" = 1 ] || fail "the collecting job did not see 8 runs: $(cat "$campaign"/slurm/log/collect*)"
echo "slurm smoke: node lost, worker killed, tasks preempted; 8 runs, each once, bit-identical"
