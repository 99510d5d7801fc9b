#!/bin/sh
# The direction of the house: a folder may include only what stands to its right in DESIGN's list.
#   check_includes.sh [--self-test]
set -eu
src=${MUSCALE_SRCDIR:-$(cd "$(dirname "$0")/.." && pwd)}

allowed() {
    case $1 in
    base) echo "base" ;;
    kernels) echo "base kernels" ;;
    mup) echo "base mup" ;;
    trainer) echo "base kernels mup trainer" ;;
    fit) echo "base fit" ;;
    plots) echo "base fit plots" ;;
    sweeps) echo "base kernels mup trainer sweeps" ;;
    cli) echo "base kernels mup trainer fit plots sweeps cli" ;;
    esac
}

check() { # ROOT: prints each wrong arrow
    for from in base kernels mup trainer fit plots sweeps cli; do
        [ -d "$1/$from" ] || continue
        grep -Hno '#include "[a-z]*/' "$1/$from"/*.c "$1/$from"/*.h "$1/$from"/*.cu "$1/$from"/*.cuh 2>/dev/null | while IFS= read -r line; do
            to=${line##*\"}
            to=${to%/}
            case " $(allowed "$from") " in *" $to "*) ;; *) echo "${line#"$1"/}: $from must not know $to" ;; esac
        done
    done
}

wrong=$(check "$src")
[ -z "$wrong" ] || { echo "$wrong"; exit 1; }

# The check can fail: a planted arrow is found.
plant=$(mktemp -d)
trap 'rm -rf "$plant"' EXIT
mkdir -p "$plant/fit"
echo '#include "trainer/train.h"' >"$plant/fit/x.c"
[ -n "$(check "$plant")" ] || { echo "the planted arrow fit -> trainer was not found"; exit 1; }
echo "directions hold"
