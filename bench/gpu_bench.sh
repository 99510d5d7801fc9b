#!/bin/sh
# make gpu-bench, and ./gpu-bench of a bundle: the peers where python3 has them, then the table of speeds, on one device in
# the same minutes. JSON lines first, the Markdown table last. Exit 77 without a device; with --strict 1 when a row misses.
#   gpu_bench.sh [--no-peers] [what bench/gpu_bench takes]
set -u
root=${GPU_ROOT:-$(pwd)}
peers=${GPU_PEERS:-$(dirname "$0")/peers}
if [ ! -x "$root/bench/gpu_bench" ]; then
    echo "SKIP: this build has no CUDA; configure where nvcc is"
    exit 77
fi
device=$("$root/tests/gpu/gpu_present")
rc=$?
if [ $rc != 0 ]; then
    echo "SKIP: $device"
    exit $rc
fi
ask=1
case ${1:-} in --no-peers) ask=0; shift ;; --ops | --trace | --count) ask=0 ;; esac
if [ $ask = 0 ]; then
    exec "$root/bench/gpu_bench" "$@"
fi
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for peer in torch_step jax_step; do
    # Its own libraries, not this folder's: the loader's path as it was before.
    LD_LIBRARY_PATH=${GPU_LIBRARY_PATH-${LD_LIBRARY_PATH-}} python3 "$peers/$peer.py" 2>"$lines.err" | tee -a "$lines"
    [ -s "$lines.err" ] && tail -n 3 "$lines.err" >&2
    rm -f "$lines.err"
done
"$root/bench/gpu_bench" --peers "$lines" "$@"
