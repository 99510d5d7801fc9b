#!/bin/sh
# Can the checks of lib.sh fail? Each is given something wrong in a child, which must exit 1.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
t "lib.sh"
red() {
    check
    (failures=0 checks=0; eval "$1" >/dev/null; trap - EXIT; [ "$failures" -gt 0 ]) || fail "does not notice: $1"
}
green() {
    check
    (failures=0 checks=0; eval "$1" >/dev/null; trap - EXIT; [ "$failures" = 0 ]) || fail "fails wrongly: $1"
}
green 'ok --version'
green 'ok --version; has muscale; hasnt nonsense'
green 'bad 2 "unknown command" nonsense'
green 'ok --json --version; json .schema muscale.version/1'
red 'ok nonsense'
red 'bad 3 "unknown command" nonsense'
red 'bad 2 "something else" nonsense'
red 'bad 0 "" --version'
red 'ok --version; has nonsense'
red 'ok --version; hasnt muscale'
red 'run nonsense; rc_is 0'
red 'same a b'
command -v jq >/dev/null && red 'ok --json --version; json .schema else'
# `finish` without checks is red too
check
(checks=0; trap - EXIT; finish) >/dev/null && fail "an empty script passes"
t "unknown command, option and action: 2"
bad 2 "did you mean 'train'" trian
bad 2 "unknown option '--jsn'" --jsn data
bad 2 "--vocab" data gen --voacb 3
bad 2 "unknown action 'pakc'" data pakc
run
rc_is 2
ok help
ok --help
ok help data
has "muscale data pack -o corpus"
t "standard output that cannot be written is a failure"
if [ -w /dev/full ]; then
    rc=0
    "$muscale" help >/dev/full 2>"$scratch/.io/err" || rc=$?
    err=$(cat "$scratch/.io/err") out= last="help >/dev/full"
    rc_is 1
    err_has "cannot write"
fi
finish
