#!/bin/sh
# A few seconds of each driver, for check-long. 77: no clang with libFuzzer here.
src=${MUSCALE_SRCDIR:-.}
sh "$src/tests/fuzz/have_clang.sh" "${FUZZ_CC:-clang}" || { echo "SKIP: no clang with libFuzzer"; exit 77; }
exec make -s -C "$(dirname "${MUSCALE_BIN:?set MUSCALE_BIN to the muscale program}")" fuzz FUZZ_RUNS=-1 FUZZ_SECONDS=5
