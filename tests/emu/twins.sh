#!/bin/sh
# Negative twins: each line of twins.list breaks one kernel, and the test it names must then fail.
#   FILE<TAB>sed expression<TAB>test program[<TAB>words]        (program: of tests/kernels/, if it names no folder)
# FILE is a .cu, or a header of kernels/: then every .cu that includes it is built anew; or a .c, of what drives them. Words: `quick`: also in `make check`
# (the others in check-long); `filter=PATTERN`: Criterion's --filter, to run only the tests that look. A twin is compiled
# and linked in front of the sound kernels. Run in the build folder; EMU_TWINS=all, or a pattern of FILE.
set -eu
src=${MUSCALE_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
list=${EMU_TWINS_LIST:-$src/tests/emu/twins.list}
which=${EMU_TWINS:-quick}
out=tests/emu/twins
unset MAKEFLAGS MFLAGS MAKELEVEL EMU_LOG

users() { # HEADER: the .cu files that include it, through others too
    seen=" $1 "
    todo=$1
    while [ -n "$todo" ]; do
        next=
        for h in $todo; do
            for f in $(cd "$src" && grep -lF "#include \"$h\"" kernels/*.cu kernels/*.cuh kernels/*.h tests/kernels/*.cu 2>/dev/null || true); do
                case $seen in *" $f "*) continue ;; esac
                seen="$seen$f "
                case $f in *.cu) echo "$f" ;; *) next="$next $f" ;; esac
            done
        done
        todo=$next
    done
}

twin() { # NUMBER FILE SED PROGRAM WORDS: prints a line when the twin is not caught
    dir=$out/$1
    rm -rf "$dir"
    mkdir -p "$dir/$(dirname "$2")"
    sed -e "$3" "$src/$2" >"$dir/$2"
    if cmp -s "$src/$2" "$dir/$2"; then echo "$2: '$3' changes nothing"; return 0; fi
    case $2 in *.cu | *.c) units=$2 ;; *) units=$(users "$2") ;; esac
    [ -n "$units" ] || { echo "$2: no .cu includes it"; return 0; }
    objects=
    for u in $units; do
        from=$src/$u
        [ "$u" = "$2" ] && from=$dir/$u
        how=twin-object
        case $u in *.c) how=twin-object-c ;; esac
        object=$dir/$(basename "${u%.c*}").o
        objects="$objects $object"
        ${MAKE:-make} -s $how WARN_CXXFLAGS=-w WARN_CFLAGS=-w TWIN_SOURCE="$from" TWIN_OBJECT="$object" TWIN_DIR="$dir" >"$dir/log" 2>&1 || {
            echo "$2: '$3': the twin does not compile; see $dir/log"
            return 0
        }
    done
    ${MAKE:-make} -s twin-program TWIN_OBJECTS="${objects# }" TWIN_DIR="$dir" TWIN_TEST="$4" TWIN_PROGRAM="$dir/twin" >"$dir/log" 2>&1 || {
        echo "$2: '$3': the twin does not link; see $dir/log"
        return 0
    }
    filter=
    for w in $5; do case $w in filter=*) filter="--filter ${w#filter=}" ;; esac; done
    rc=0
    # shellcheck disable=SC2086 # two words or none
    timeout 120 "$dir/twin" $filter >"$dir/log" 2>&1 || rc=$?
    case $rc in
    0) echo "$2: '$3' is not noticed by $4 $filter" ;;
    77) echo "$2: '$3': $4 $filter is skipped" ;;
    *) if grep -q 'Tested: 0 ' "$dir/log"; then echo "$2: '$3': $4 $filter runs no test"; else rm -rf "$dir"; fi ;;
    esac
}

if [ "${1:-}" = one ]; then
    shift
    twin "$@"
    exit 0
fi

mkdir -p "$out"
: >"$out/bad"
n=0
ran=0
tab=$(printf '\t')
while IFS=$tab read -r file expression program words; do
    case $file in '' | '#'*) continue ;; esac
    n=$((n + 1))
    case $which in
    all) ;;
    quick) case " $words " in *" quick "*) ;; *) continue ;; esac ;;
    *) case $file in $which) ;; *) continue ;; esac ;;
    esac
    case $program in */*) ;; *) program=tests/kernels/$program ;; esac
    [ -x "$program" ] || { echo "$program is not built" >>"$out/bad"; continue; }
    ran=$((ran + 1))
    printf '%s\0%s\0%s\0%s\0%s\0' "$n" "$file" "$expression" "$program" "$words"
    echo $ran >"$out/ran"
done <"$list" | xargs -0 -r -n 5 -P "${EMU_TWINS_JOBS:-2}" "$0" one >>"$out/bad"
if [ -s "$out/bad" ]; then
    cat "$out/bad"
    exit 1
fi
echo "$(cat "$out/ran" 2>/dev/null || echo 0) twins, all noticed"
