#!/bin/sh
# have_clang.sh COMPILER: succeeds when it is there and brings libFuzzer (Debian: clang and libclang-rt-14-dev).
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
echo 'int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n); int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { return p && n > 1 ? 0 : 0; }' >"$dir/x.c"
${1:-clang} -fsanitize=fuzzer,address,undefined "$dir/x.c" -o "$dir/x" >/dev/null 2>&1
