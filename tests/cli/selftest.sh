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
ok data --help
has "muscale data pack -o corpus"
ok data pack -h
has "--val-fraction"

t "global options stand before the command, behind it, or behind its action"
mkdir d
for words in "--json data info d" "data --json info d" "data info --json d" "data info d --json"; do
    run $words
    rc_is 3
    json .schema muscale.error/1
done
ok -q data --color=never -h
bad 2 "--color=blue" data --color=blue info d

t "--json: one object whatever happens"
for words in --json "nonsense --json" "train --nonsense --json" "data --json" "mup --json"; do
    run $words
    rc_is 2
    json .schema muscale.error/1
    json .exit 2
done
ok --json help
json .schema muscale.help/1
json '.commands | map(select(.name == "fit")) | length' 1
ok help --json fit
json .command fit
ok fit --help --json
json '.examples[0] | startswith("muscale fit")' true
run --json data info "$(printf 'caf\351 \303\251 \360\237\230')"
rc_is 3
json .message "caf? é ???: no such file or directory; \`muscale data pack -o DIR FILE...\` makes token data"

t "a standard stream that is closed is not a file of ours"
ok -q data gen -o m --source markov --vocab 4 --tokens 4000
printf 'data: m\nd_model: 16\nhead_dim: 8\nn_layer: 1\nseq_len: 16\nbatch_tokens: 64\ntokens: 640\nval_tokens: 64\nlr: 0.01\nparametrisation: sp\n' >t.yaml
last="train with closed streams" out='' err=''
rc=0; "$muscale" train t.yaml -o r2 >o 2>&- || rc=$?
rc_is 0
rc=0; "$muscale" train t.yaml -o r1 >&- 2>e || rc=$?
err=$(cat e)
rc_is 1
err_has "standard output: cannot write"
rc=0; "$muscale" train t.yaml -o r0 <&- >&- 2>&- || rc=$?
rc_is 1
for k in 0 1 2; do ok train t.yaml -o r$k; err_has "nothing to do"; done
t "standard output that cannot be written is a failure"
if [ -w /dev/full ]; then
    rc=0
    "$muscale" help >/dev/full 2>"$scratch/.io/err" || rc=$?
    err=$(cat "$scratch/.io/err") out= last="help >/dev/full"
    rc_is 1
    err_has "cannot write"
fi
finish
