#!/bin/sh
# muscale doctor: the shape of its answer; what it measures is the machine's business.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
t "text"
ok doctor
for word in gsl hdf5 libyaml jansson gnuplot "level " "sgemm" "GFLOP/s" "GB free"; do has "$word"; done
t "json"
ok --json doctor
json .schema muscale.doctor/1
json '.measured.sgemm_gflops > 0.1 and .measured.copy_gb_per_s > 0.1' true
json '.cpu.cores >= 1' true
json '.libraries | has("gsl") and has("hdf5") and has("jansson")' true
json '(.cuda.devices | length > 0) or (.cuda.why | length > 0)' true
json '.disk.free_gb > 0' true
t "a program that is missing or fails is not found"
GNUPLOT=/nowhere/gnuplot; export GNUPLOT
ok --json doctor
json .gnuplot null
json '.hints | map(select(contains("gnuplot-nox"))) | length' 1
GNUPLOT=false
ok --json doctor
json .gnuplot null
printf '#!/bin/sh\necho "gnuplot 9.9 $1"\necho more\n' >fake && chmod +x fake
GNUPLOT=./fake
ok --json doctor
json .gnuplot "9.9 --version"
t "no arguments"
bad 2 "unexpected 'all'" doctor all
finish
