#!/bin/sh
# What only a device can show, for `make gpu-check` (from the build directory) and ./gpu-check of a bundle. One line PASS,
# FAIL or SKIP for each; exit 0, 1 when one failed, 77 without a device. GPU_ROOT: where muscale, tests/gpu and bench are.
#   gpu_check.sh [kernels] [step] [processes] [train] [sanitizer]     all, or those named
set -u
root=${GPU_ROOT:-$(pwd)}
muscale=$root/muscale bin=$root/tests/gpu
export OPENBLAS_NUM_THREADS=1
passed=0 failed=0 skipped=0

say() { # VERDICT NAME [REMARK]
    case $1 in PASS) passed=$((passed + 1)) ;; FAIL) failed=$((failed + 1)) ;; SKIP) skipped=$((skipped + 1)) ;; esac
    echo "$1: $2${3:+ ($3)}"
}

if [ ! -x "$bin/gpu_present" ]; then
    echo "SKIP: this build has no CUDA; configure where nvcc is"
    exit 77
fi
device=$("$bin/gpu_present")
rc=$?
if [ $rc != 0 ]; then
    echo "SKIP: $device"
    [ $rc = 77 ] && exit 77
    exit 1
fi
echo "device: $device"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
wanted=" ${*:-kernels step processes train sanitizer} "
want() { case $wanted in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# --- every kernel against its definition on the CPU, fp32 and bf16 -------------------------------------------------
kernels() {
    found=0
    for t in "$bin"/cuda_*; do
        [ -x "$t" ] && [ ! -d "$t" ] || continue
        case $t in *.o | *.c) continue ;; esac
        found=1
        name="kernels: ${t##*/}"
        # One process at a time: each makes a context of its own, and a verdict should not depend on who shares the memory.
        "$t" -j1 >"$work/log" 2>&1
        rc=$?
        # Criterion did not find its tests; or all were skipped, and there is a device: they must not be.
        [ $rc = 0 ] && grep -q 'Tested: *0 ' "$work/log" && rc="0 of no tests"
        case $rc in
        0) 
            n=$(sed -n 's/.*Tested: *\([0-9]*\).*/\1/p' "$work/log" | tail -n 1)
            say PASS "$name" "$n tests" ;;
        *) tail -n 60 "$work/log"; say FAIL "$name" "exit $rc" ;;
        esac
    done
    [ $found = 1 ] || say FAIL "kernels" "built without Criterion: no kernel was compared; install it (Debian: libcriterion-dev) and configure again, or bring muscale-gpu.tar.xz from a machine that has it"
}

# --- whole steps: ten-step curves against the CPU, banks of 1, 2, 7, 32, two runs, moved between backends, ... -------
step() {
    "$bin/gpu_step" >"$work/log" 2>&1
    rc=$?
    grep -v -e '^PASS' -e '^FAIL' "$work/log"
    grep -e '^PASS' -e '^FAIL' "$work/log" >"$work/verdicts"
    while read -r verdict name; do say "${verdict%:}" "$name"; done <"$work/verdicts"
    [ $rc = 0 ] || [ $rc = 1 ] || say FAIL "step" "exit $rc"
    [ -s "$work/verdicts" ] || say FAIL "step" "no verdict"
}

# --- two processes, the same bits -----------------------------------------------------------------------------------
processes() {
    "$bin/gpu_step" --bits >"$work/a" 2>&1 && "$bin/gpu_step" --bits >"$work/b" 2>&1
    if [ $? = 0 ] && [ -s "$work/a" ] && cmp -s "$work/a" "$work/b"; then say PASS "two processes, the same bits"
    else cat "$work/a" "$work/b"; say FAIL "two processes, the same bits"; fi
}

# --- muscale train: resumed = undisturbed; moved between cpu and cuda ----------------------------------------------
run() { # DIR BACKEND [OPTION...]: trains; the log is kept for the verdict
    d=$1 b=$2
    shift 2
    "$muscale" train "$work/t.yaml" backend="$b" "$@" -o "$d" >"$work/log" 2>&1
}
cut_back() { # FROM TO: as if TO's run had been killed after the checkpoint of step 20
    cp -r "$1" "$2" && rm -f "$2/run.h5" "$2/ckpt.40" &&
        grep -v '"event":"end"\|"step":2[1-9]\|"step":3[0-9]\|"step":40' "$1/journal.jsonl" >"$2/journal.jsonl"
}
rows() { grep '"k":"train"\|"k":"val"' "$1/journal.jsonl" | sed 's/,"step_ms".*//; s/,"wall_s".*//; s/^.*"k":/"k":/'; } # without times
final_loss() { sed -n 's/.*"final_val_loss":\([0-9.eE+-]*\).*/\1/p' "$1/journal.jsonl" | tail -n 1; }
close() { # A B TOL: relative
    awk -v a="$1" -v b="$2" -v t="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a > 0 && b > 0 && d <= t * b) }'
}
verdict() { # NAME CONDITION...
    name=$1
    shift
    if "$@"; then say PASS "$name"; else tail -n 20 "$work/log"; say FAIL "$name"; fi
}
train() {
    "$muscale" -q data gen -o "$work/d" --source markov --vocab 16 --order 1 --tokens 40000 --seed 1 || { say FAIL "train: data gen"; return; }
    cat >"$work/t.yaml" <<END
data: $work/d
d_model: 32
n_layer: 2
head_dim: 16
seq_len: 32
parametrisation: sp
lr: 0.01
batch_tokens: 256
tokens: 10240
warmup_tokens: 512
val_tokens: 512
val_every: 10
log_every: 1
ckpt_every: 20
threads: 1
END
    run "$work/cpu" cpu || { cat "$work/log"; say FAIL "train: on the CPU"; return; }
    for dev in cuda-fp32 cuda; do
        # Final validation loss against the CPU's: gpu_step.c says why so far after ten steps; forty steps, four times that.
        case $dev in cuda) tol=0.02 ;; *) tol=0.0004 ;; esac
        run "$work/$dev" $dev || { cat "$work/log"; say FAIL "train: $dev"; continue; }
        verdict "train: $dev ends within $tol of the CPU's validation loss" close "$(final_loss "$work/$dev")" "$(final_loss "$work/cpu")" $tol
        run "$work/$dev.again" $dev
        verdict "train: $dev twice, the same checkpoint" cmp "$work/$dev/ckpt.40" "$work/$dev.again/ckpt.40"
        (MUSCALE_CUDA_SYNC=1; export MUSCALE_CUDA_SYNC; run "$work/$dev.each" $dev)
        verdict "train: $dev with a step under way while rows are written, the checkpoint of one after the other" \
            cmp "$work/$dev/ckpt.40" "$work/$dev.each/ckpt.40"
        rows "$work/$dev" >"$work/rows" && rows "$work/$dev.each" >"$work/rows.each"
        verdict "train: $dev, and its rows" cmp "$work/rows" "$work/rows.each"
        cut_back "$work/$dev" "$work/$dev.cut" && run "$work/$dev.cut" $dev --resume
        verdict "train: $dev resumed is as never stopped" cmp "$work/$dev/ckpt.40" "$work/$dev.cut/ckpt.40"
        cut_back "$work/cpu" "$work/to.$dev" && run "$work/to.$dev" $dev --resume
        verdict "train: cpu, then $dev" close "$(final_loss "$work/to.$dev")" "$(final_loss "$work/cpu")" $tol
        cut_back "$work/$dev" "$work/from.$dev" && run "$work/from.$dev" cpu --resume
        verdict "train: $dev, then cpu" close "$(final_loss "$work/from.$dev")" "$(final_loss "$work/cpu")" $tol
    done
}

# --- compute-sanitizer: the smallest models, one with T = 320 and heads of 64; attention's and tiles' own tests --------
# Criterion runs each test in a process of its own: all of them are targets.
sanitize() { # NAME COMMAND...
    name=$1
    shift
    "$tool" --tool $mode --target-processes all --error-exitcode 9 "$@" >"$work/log" 2>&1
    rc=$?
    # A child's finding must not hide behind its parent's status.
    grep -q -E '(ERROR SUMMARY: [1-9]|RACECHECK SUMMARY: [1-9])' "$work/log" && [ $rc = 0 ] && rc="0, with findings"
    [ "$rc" = 0 ] && ! grep -q SUMMARY "$work/log" && rc="0, without a summary"
    [ "$rc" = 0 ] && grep -q 'Tested: *0 ' "$work/log" && rc="0 of no tests"
    if [ "$rc" = 0 ]; then say PASS "$name"
    elif grep -q -i -e 'device not supported' -e 'not supported on this' -e 'unable to find injection' "$work/log"; then
        say SKIP "$name" "it refuses this device"
    else
        tail -n 60 "$work/log"
        say FAIL "$name" "exit $rc"
    fi
}
sanitizer() {
    tool=
    for t in compute-sanitizer /usr/local/cuda/bin/compute-sanitizer /usr/local/cuda/compute-sanitizer/compute-sanitizer; do
        if command -v "$t" >/dev/null 2>&1; then tool=$t; break; fi
    done
    if [ -z "$tool" ]; then
        say SKIP "compute-sanitizer" "not installed"
        return
    fi
    for mode in memcheck racecheck; do
        sanitize "compute-sanitizer $mode: steps" "$bin/gpu_step" --smallest
        for t in cuda_attention cuda_tile; do
            if [ -x "$bin/$t" ]; then sanitize "compute-sanitizer $mode: $t" "$bin/$t" -j1
            else say SKIP "compute-sanitizer $mode: $t" "built without Criterion"; fi
        done
    done
}

for part in kernels step processes train sanitizer; do want $part && $part; done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
