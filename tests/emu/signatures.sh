#!/bin/sh
# The layer's headers say what NVIDIA's say: signatures.cpp compiles with either, and the bf16 arithmetic of both gives the same
# bits. Skipped where there is no CUDA.
set -eu
src=${MUSCALE_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
[ -x "$nvcc" ] || { echo "no nvcc: skipped"; exit 77; }
include=$(dirname "$(dirname "$(readlink -f "$nvcc")")")/include
[ -f "$include/cuda_runtime_api.h" ] || { echo "no headers beside $nvcc: skipped"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for which in ours theirs; do
    case $which in ours) path="-I$src/tests/emu" ;; *) path="-isystem $include" ;; esac
    # shellcheck disable=SC2086 # compiler and path are words
    ${CXX:-g++} -std=c++17 -O1 -Wall -Wextra -Werror -Wno-unused-variable -Wno-unused-const-variable -Wno-unused-function $path \
        -I"$src" -c -o "$work/$which.o" "$src/tests/emu/signatures.cpp"
    # only the arithmetic runs: what the tables of functions point to may stay undefined
    ${CXX:-g++} -o "$work/$which" "$work/$which.o" -Wl,--unresolved-symbols=ignore-all -no-pie 2>/dev/null ||
        ${CXX:-g++} -o "$work/$which" "$work/$which.o" -Wl,--unresolved-symbols=ignore-all
    "$work/$which" >"$work/$which.bits"
done
cmp "$work/ours.bits" "$work/theirs.bits" || { echo "bf16: the bits of the layer are not NVIDIA's"; exit 1; }
# and it can fail
for wrong in cudaMemset=cudaMemcpy cublasLtDestroy=cublasLtCreate; do
    if ${CXX:-g++} -std=c++17 -fsyntax-only -I"$src/tests/emu" -I"$src" "-D$wrong" "$src/tests/emu/signatures.cpp" 2>/dev/null; then
        echo "a wrong signature compiles: $wrong"
        exit 1
    fi
done
