#!/bin/sh
# The emulated tests once more, with kernels whose every access to memory is watched for races (races.cpp). In the build folder.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL EMU_LOG
dir=tests/emu/races
make=${MAKE:-make}
$make -s -j2 races-objects >"$dir.log" 2>&1 || { cat "$dir.log"; exit 1; }
bad=0
for t in $EMU_TESTS; do
    name=$dir/$(basename "$t")
    $make -s twin-program TWIN_DIR=$dir TWIN_OBJECTS="$(echo $dir/*.o)" TWIN_TEST="$t" TWIN_PROGRAM="$name" >"$dir.log" 2>&1 || { cat "$dir.log"; exit 1; }
    rc=0
    "$name" ${EMU_FILTER:+--filter "$EMU_FILTER"} >"$name.log" 2>&1 || rc=$?
    case $rc in
    0 | 77) rm -f "$name.log" ;;
    *)
        echo "$t: see $name.log"
        grep -m 3 '^emu: \|\[FAIL\]\|\[CRIT\]' "$name.log" || true
        bad=1
        ;;
    esac
done
exit $bad
