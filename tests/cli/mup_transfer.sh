#!/bin/sh
# muscale mup transfer: trains what is missing, reports drift, penalty and verdict; SP beside muP on a source that takes a second.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
ok data gen -o source --source markov --vocab 16 --order 1 --tokens 20000 --seed 1
cat >s.yaml <<'END'
base: {data: source, n_layer: 1, head_dim: 8, seq_len: 16, batch_tokens: 128, tokens: 5120, val_tokens: 512, base_width: 8,
       weight_decay: 0, schedule: cosine, warmup_tokens: 640}
grid:
  d_model: [8, 16, 32]
  lr: logspace(0.00390625, 0.5, 8)
seeds: [0, 1]
sweeps:
  - {name: mup, base: {parametrisation: mup}}
  - {name: sp, base: {parametrisation: sp}}
END
t "bad usage, before anything is trained"
bad 2 "SPEC.yaml is missing" mup transfer -o c
bad 2 "-o CAMPAIGN is missing" mup transfer s.yaml
bad 2 "one argument too many" mup transfer s.yaml s.yaml -o c
bad 2 "above 0" mup transfer s.yaml -o c --beyond 0
bad 2 "40 to" mup transfer s.yaml -o c --bootstrap 3
bad 2 "did you mean '--beyond'" mup transfer s.yaml -o c --beyon 1
bad 2 "did you mean 'transfer'" mup trnsfer s.yaml
bad 3 "none.yaml" mup transfer none.yaml -o c
t "specs whose models are no family"
{
    sed '/^grid/,$d; s/head_dim: 8, //' s.yaml
    echo 'grid: {lr: [0.01, 0.02, 0.04]}'
} >family.yaml
{ cat family.yaml; echo 'zip: [{d_model: [8, 16], head_dim: [4, 8]}]'; } >heads.yaml
bad 3 "say so with base_head_dim 4" mup transfer heads.yaml -o c
{ cat family.yaml; echo 'zip: [{d_model: [8, 16], head_dim: [8, 8], activation: [gelu, swiglu]}]'; } >act.yaml
bad 3 "activation: gelu in the base model" mup transfer act.yaml -o c
sed 's/ base_width: 8,//' s.yaml >nobase.yaml
run mup transfer nobase.yaml -o c
rc_is 3
err_has "base_width: 0"
sed 's/logspace.*/[0.01]/' s.yaml >one.yaml
bad 3 "three values or more" mup transfer one.yaml -o c
check
[ ! -e c ] || fail "a refused spec made a campaign"
t "the sweep is trained once, the report says it all"
ok -q --json mup transfer s.yaml -o c --report t.json
json .schema muscale.mup-transfer/1
json '.panels | length' 1
json '.panels[0] | .axis + " " + .x' "width lr"
json '[.panels[0].lines[] | .parametrisation] | join(",")' mup,sp
json '[.panels[0].lines[] | .groups[] | .bracketed] | all' true
json '.panels[0].lines[0].groups | map(.width) | join(",")' 8,16,32
json '.panels[0].lines[1].verdict' drifts
json '[.panels[0].lines[].config | .parametrisation, .base_width, .vocab, .schedule] | join(",")' mup,8,16,cosine,sp,8,16,cosine
json '.panels[0].lines[1].drift < -0.6' true
json '.panels[0].lines[0].drift > .panels[0].lines[1].drift + 0.5' true
json '.panels[0].lines[0].verdict != "drifts"' true
json '[.panels[0].lines[].groups[0].penalty.nats] | join(",")' 0,0
json '.panels[0].lines | .[1].groups[2].penalty.nats > .[0].groups[2].penalty.nats' true
json '.panels[0].lines[1].rules | map(.text) | join(", ")' "constant, c C^p, c N^p"
json '.panels[0].nearer.constant.parametrisation + " " + .panels[0].nearer.law.parametrisation' "mup sp"
same "$(tr -d ' \n' <t.json | cksum)" "$(printf '%s' "$out" | tr -d ' \n' | cksum)" "--report and --json"
ok mup transfer s.yaml -o c
has "verdict: drifts"
has "octaves per doubling of the width"
has "nearer: "
hasnt "transfers"
ok mup transfer s.yaml -o c --no-run --beyond 3
has "verdict: drift beyond 3 octave/doubling excluded"
t "figure"
if command -v gnuplot >/dev/null; then
    ok plot lr-curves t.json -o t.svg
    has "lines: mean over seeds"
    check
    grep -q '^# lr width optimum sp$' t.tsv || fail "t.tsv lacks the optima"
    printf '{"schema":"muscale.mup-transfer/1"}' >empty.json
    bad 3 "holds no line" plot lr-curves empty.json -o e.svg
fi
t "an optimum on the edge of the grid: named, counted nowhere, exit 3"
sed 's/logspace.*/logspace(0.0625, 0.5, 4)/' s.yaml >edge.yaml
run -q mup transfer edge.yaml -o c --no-run
rc_is 3
same "$(printf '%s\n' "$err" | grep -c '^muscale: error: ')" 1 "error lines"
err_has "mup, width 16: lowest loss at the smallest lr of the grid (0.0625); extend the grid downwards"
has "not bracketed: lowest loss at the smallest lr of the grid"
run -q --json mup transfer edge.yaml -o c --no-run
rc_is 3
json '.panels[0].lines[1].groups[2].edge' -1
same "$(printf '%s' "$out" | grep -c '"schema"')" 1 "JSON objects"
t "unfinished runs are left out, and said"
sed 's/seeds: .*/seeds: [0, 1, 2]/' s.yaml >more.yaml
ok mup transfer more.yaml -o c --no-run
err_has "48 of 144 runs are not finished"
sed 's/logspace.*/logspace(0.0625, 0.5, 4)/' more.yaml >more_edge.yaml
run mup transfer more_edge.yaml -o c --no-run
err_has "not finished"
check
! contains "$err" "extend the grid" || fail "the grid is blamed for runs that are not there"
bad 3 "holds another sweep" mup transfer more.yaml -o c
bad 3 "No such" mup transfer s.yaml -o none --no-run
finish
