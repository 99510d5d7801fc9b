#!/bin/sh
# shared.sh NM OBJCOPY OBJECT [races]: a kernel's object keeps its static __shared__ arrays in .bss. Renamed, the layer finds that
# section and spoils it before each block (block.cpp), so nothing else may stand there; and each array must be fenced by
# ASan, which it is not where the linker may merge copies: in a template kernel that is not static.
set -eu
nm=$1 objcopy=$2 object=$3
bad=$($nm "$object" | sed -n 's/^[0-9a-f]* [uVv] \(_ZZ.*\)/\1/p' | grep -v '^_ZZN*K*St' || true)
if [ -n "$bad" ]; then
    echo "$object: ASan cannot fence these __shared__ arrays; make the kernel static:" $bad >&2
    rm -f "$object"
    exit 1
fi
bad=$($nm -f sysv "$object" | sed -n 's/^\([^ |]*\) *|.*|\.bss$/\1/p' | grep -v -e '^_ZZ' -e '^__odr_asan' -e '^\.bss' || true)
if [ -n "$bad" ]; then
    echo "$object: a file with kernels has mutable data of its own:" $bad >&2
    rm -f "$object"
    exit 1
fi
redefine=
if [ "${4:-}" = races ]; then # compiled for ThreadSanitizer, whose calls at each access go to races.cpp
    for f in $($nm -u "$object" | sed -n 's/^ *U __tsan_//p'); do redefine="$redefine --redefine-sym __tsan_$f=emu_tsan_$f"; done
fi
# shellcheck disable=SC2086 # options
$objcopy --rename-section .bss=emu_shared $redefine "$object"
