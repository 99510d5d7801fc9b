#!/bin/bash
# muscale sweep submit --slurm, and work, with an sbatch and a scontrol that only write down what they are told; then the job script
# itself with a worker that ends as we like. The real Slurm: tests/slurm/.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
OPENBLAS_NUM_THREADS=1; export OPENBLAS_NUM_THREADS
mkdir bin
cat >bin/sbatch <<'END'
#!/bin/sh
[ ! -e refuse ] || { echo "sbatch: error: Batch job submission failed: Invalid account" >&2; exit 1; }
echo "sbatch $*" >>calls
n=$(grep -c ^sbatch calls)
echo "$((100 + n));one"
[ "$n" != "$(cat stop_at 2>/dev/null)" ] || touch refuse
END
cat >bin/scontrol <<'END'
#!/bin/sh
case "$*" in
"show config") echo "ClusterName             = one"; echo "MaxArraySize            = $(cat largest 2>/dev/null || echo 1001)" ;;
*) echo "scontrol $*" >>calls ;;
esac
END
chmod +x bin/*
plain=$PATH
PATH=$scratch/bin:$PATH
unset SLURM_JOB_ID SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_RESTART_COUNT

ok -q data gen -o d --source markov --vocab 16 --order 1 --tokens 20000 --seed 1
cat >s.yaml <<'END'
base: {data: d, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, base_width: 16, batch_tokens: 64, tokens: 640, val_tokens: 256}
grid: {lr: [1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3, 64e-3, 128e-3]}
slurm: {timeout_min: 30, array_parallelism: 2, runs_per_task: 1, partition: low, sbatch: [--mem=4G]}
END

t "usage"
bad 2 "--slurm is missing" sweep submit s.yaml -o c
bad 2 "-o CAMPAIGN is missing" sweep submit s.yaml --slurm
bad 2 "--signal-delay-s: 0" sweep submit s.yaml -o c --slurm --signal-delay-s 0
bad 2 "--sbatch: '--requeue'" sweep submit s.yaml -o c --slurm --sbatch=--requeue
bad 3 "would come before a task" sweep submit s.yaml -o c --slurm --timeout-min 2
bad 3 "a quote, backslash" sweep submit s.yaml -o "c'c" --slurm
bad 3 "no campaign" sweep work c --task 0
same "$(ls -d c c\'c 2>/dev/null)" "" "nothing is made"

t "a dry run shows the script and makes nothing"
ok sweep submit s.yaml -o c --slurm --dry-run --account gpu --sbatch=--qos=x --timeout-min 45
for line in "#SBATCH --time=45" "#SBATCH --account=gpu" "#SBATCH --partition=low" "#SBATCH --mem=4G" "#SBATCH --qos=x" "#SBATCH --requeue" \
    "#SBATCH --open-mode=append" "#SBATCH --signal=B:USR1@120" "#SBATCH --output=\"$scratch/c/slurm/log/%A_%a.out\"" \
    "sbatch --array=0-7%2 '$scratch/c'/slurm/array.sh 0"; do has "$line"; done
hasnt gpus-per-node
same "$(ls -d c calls 2>/dev/null)" "" "nothing is made or submitted"

t "arrays of at most MaxArraySize, one after another where they are throttled, then the collecting job"
echo 3 >largest
ok sweep submit s.yaml -o c --slurm
has "8 runs in 8 tasks: job 101 [0-2%2], job 102 [0-2%2], job 103 [0-1%2]; then job 104 collects"
same "$(cat calls)" "sbatch --parsable --array=0-2%2 $scratch/c/slurm/array.sh 0
sbatch --parsable --array=0-2%2 --dependency=afterany:101 $scratch/c/slurm/array.sh 3
sbatch --parsable --array=0-1%2 --dependency=afterany:102 $scratch/c/slurm/array.sh 6
sbatch --parsable --dependency=afterany:101:102:103 $scratch/c/slurm/collect.sh"
ok sweep status c
has "Slurm: jobs 101, 102, 103, collect 104"
rm calls largest
ok --json sweep submit s.yaml -o c --slurm --array-parallelism 100
json '.submission, .n_tasks, .arrays[0].array, .arrays[0].job, .collect' "2
8
0-7
101
102"
same "$(ls c/slurm)" "array.1.sh
array.sh
collect.1.sh
collect.sh
log
submission-1.json
submission-2.json" "earlier scripts stay"

t "a task trains its own runs, others only when asked; what is done ends at once and is submitted no more"
ok sweep work c --task 2
has "1 done, 0 diverged, 0 failed, 7 not finished"
ok sweep work c --submission 1 --task 2
same "$(grep -l '"status":"done"' c/runs/*/journal.jsonl | wc -l)" 1 "finished runs"
ok sweep submit s.yaml -o c --slurm --dry-run
err_has "1 of 8 runs are finished already"
err_has "7 runs in 7 tasks"
bad 3 "tasks 0 to 7, no 8" sweep work c --task 8
bad 3 "no submission 9" sweep work c --submission 9 --task 0
bad 2 "--task K is missing" sweep work c
ok sweep work c --task 0 --help-others
has "8 runs: 8 done"
ok sweep submit s.yaml -o c --slurm
has "all 8 runs are finished; nothing to submit"

t "sbatch refuses, or is not there: its words, the campaign whole"
touch refuse
bad 1 "sbatch refuses: sbatch: error: Batch job submission failed: Invalid account; the campaign is whole, 0 of 1 arrays" sweep submit s.yaml -o e --slurm
rm -f refuse calls
echo 4 >largest
echo 1 >stop_at
bad 1 "1 of 2 arrays are queued" sweep submit s.yaml -o e --slurm
rm -f refuse stop_at largest
ok sweep status e
has "Slurm: jobs 101"
mkdir tools # all that this needs, and no sbatch, whatever is installed here
for tool in cat grep head sed; do ln -s "$(command -v $tool)" tools/; done
PATH=$scratch/tools
bad 1 "sbatch: cannot be started: No such file or directory; is Slurm installed here?" sweep submit s.yaml -o e --slurm
PATH=$scratch/bin:$plain
echo 0 >largest
bad 1 "no job arrays" sweep submit s.yaml -o e --slurm
rm largest
ok -q sweep run s.yaml -o e

t "the job script"
cat >worker <<'END'
#!/bin/bash
echo "$*" >worker.args
trap 'echo USR1 >>worker.log; exit 143' USR1
case $(cat how) in
wait) touch ready; sleep 30 & wait ;;
kill) kill -9 $$ ;;
*) exit "$(cat how)" ;;
esac
END
chmod +x worker
sed "s|^'$muscale'|./worker|" c/slurm/array.sh >job.sh
job() { # HOW RESTARTS [SIGNAL...]: rc and calls
    rm -f calls ready worker.log
    echo "$1" >how
    SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=2 SLURM_RESTART_COUNT=$2 bash job.sh 3 >job.out 2>&1 &
    pid=$!
    shift 2
    for signal; do
        for _ in $(seq 100); do [ ! -e ready ] || break; sleep 0.02; done
        kill "-$signal" $pid
    done
    rc=0
    wait $pid || rc=$?
    last="job.sh: $(cat job.out)"
    asked=$(cat calls 2>/dev/null)
}
again="scontrol requeue 7_2"
job 0 ''; rc_is 0; same "$asked" "" "done: nothing is asked"
same "$(cat worker.args)" "sweep work $scratch/c --submission 2 --task 5 -j 1" "the worker's task is the array's first plus its index"
job 4 ''; rc_is 4; same "$asked" "" "failed runs: not started again"
job kill ''; rc_is 0; same "$asked" "$again" "killed: started again"
job kill 2; rc_is 0; same "$asked" "$again" "third start"
job kill 3; rc_is 137; same "$asked" "" "max_num_timeout"
job wait 0 USR1; rc_is 0; same "$asked" "$again" "warned: checkpoint, started again"
same "$(cat worker.log)" USR1 "the worker is told once"
job wait 0 USR1 USR1; same "$asked" "$again" "warned twice"
same "$(cat worker.log)" USR1 "the worker is told once"
job wait 0 TERM; rc_is 143; same "$asked" "" "cancelled: Slurm's choice"
same "$(cat worker.log)" USR1 "and the worker has checkpointed"
job wait 3 USR1 TERM; rc_is 143; same "$asked" "" "no more restarts: Slurm ends it"
finish
