#!/bin/sh
# The emulated tests once more in other orders of threads and blocks: what the default order of `make check` may hide.
set -eu
bad=0
for t in $EMU_TESTS; do
    for order in ascending descending shuffled:1 shuffled:2 shuffled:3; do
        rc=0
        EMU_ORDER=$order "./$t" >"$t.order.log" 2>&1 || rc=$?
        case $rc in
        0 | 77) rm -f "$t.order.log" ;;
        *)
            echo "$t fails with EMU_ORDER=$order; see $t.order.log"
            bad=1
            break
            ;;
        esac
    done
done
exit $bad
