#!/bin/sh
# The house rules that grep can see. Direction: a folder may include only what stands to its right in HACKING's list. Below cli/
# nobody prints, exits or writes a file through stdio (memory streams are fine); h5_probe's child is the one exception.
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

# Calls that only cli/ may make (snprintf and fprintf to a memory stream do not match).
forbidden='(^|[^_[:alnum:]>.])(exit|abort|printf|puts|putchar|perror|fopen|freopen|fdopen|fwrite|system|popen|setlocale|strtok|rand|srand)[[:space:]]*\('

calls() { # ROOT: prints each forbidden call, comments left out
    for from in base kernels mup trainer fit plots sweeps; do
        [ -d "$1/$from" ] || continue
        find "$1/$from" -name '*.[ch]' -exec grep -HnE "$forbidden|fprintf[[:space:]]*\\((stdout|stderr)" {} + |
            grep -vE '^[^:]*:[0-9]*:[[:space:]]*(/?\*|//)|format\(printf' | while IFS= read -r line; do
            echo "${line#"$1"/}: only cli/ may do this"
        done
    done
}

wrong=$(check "$src"; calls "$src")
[ -z "$wrong" ] || { echo "$wrong"; exit 1; }

# The check can fail: a planted arrow and a planted exit are found.
plant=$(mktemp -d)
trap 'rm -rf "$plant"' EXIT
mkdir -p "$plant/fit"
echo '#include "trainer/train.h"' >"$plant/fit/x.c"
[ -n "$(check "$plant")" ] || { echo "the planted arrow fit -> trainer was not found"; exit 1; }
echo 'void f(void) { exit(1); }' >"$plant/fit/y.c"
[ -n "$(calls "$plant")" ] || { echo "the planted exit in fit was not found"; exit 1; }
echo "directions hold; only cli prints and exits"
