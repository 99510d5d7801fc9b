#!/bin/sh
# muscale mup transfer over depth, from the spec to the verdict which rule predicts the deepest model: the runs' losses are
# written here, so that the answer is known. completep has a rule for depth, mup has none and stands for the laws.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
command -v jq >/dev/null || exit 77
ok data gen -o source --source markov --vocab 16 --order 1 --tokens 20000 --seed 1
cat >s.yaml <<'END'
base: {data: source, d_model: 8, head_dim: 8, seq_len: 16, batch_tokens: 128, tokens: 5120, val_tokens: 512, base_width: 8,
       base_depth: 1, weight_decay: 0, schedule: cosine, warmup_tokens: 640}
grid:
  n_layer: [1, 2, 4, 8]
  lr: logspace(0.00390625, 0.5, 15)
seeds: [0, 1, 2]
sweeps:
  - {name: completep, base: {parametrisation: completep}}
  - {name: mup, base: {parametrisation: mup}}
END
ok --json sweep plan s.yaml
printf '%s' "$out" | jq -r '.runs[] | [.id, .name, .n_params_total] | @tsv' >runs.tsv
# runs CONSTANT LAW BEND: the optimum of completep moves by CONSTANT octaves a doubling of the depth, that of mup by LAW, and
# by BEND more at the largest depth. Valleys are steeper on the right; a seed lifts its curve, and something small is left over.
runs() {
    awk -F '\t' -v constant="$1" -v law="$2" -v bend="$3" 'BEGIN { OFS = ","; print "run,status,lr,width,depth,loss,N,D,C,seed" }
        { split($2, a, /[ =,:]+/); depth = a[3]; x = log(a[5]) / log(2); g = log(depth) / log(2)
          d = x + 4.3 - (a[1] == "mup" ? law * g + bend * (depth == 8) : constant * g)
          loss = 2.5 - 0.1 * g + (d < 0 ? 0.05 : 0.08) * d * d + 0.02 * a[7] + 0.004 * sin(37 * x + 11 * a[7] + 5 * g)
          print $1, "done", a[5], 8, depth, loss, $3, 5120, 6 * $3 * 5120, a[7] }' runs.tsv >c.csv
}
t "the constant of the rule against a law that bends where it does not see it"
runs 0 -0.4 -1
ok --json mup transfer s.yaml -o c.csv --no-run
json '.panels[0] | .axis + " " + .x' "depth lr"
json '.panels[0].lines[0] | .parametrisation + " " + .verdict' "completep excluded"
json '.panels[0].lines[1] | .parametrisation + " " + .verdict' "mup drifts"
json '.panels[0].nearer | .constant.parametrisation + " " + .law.parametrisation' "completep mup"
json '.panels[0].nearer | .share_constant_nearer > 0.99 and .share_constant_cheaper > 0.99' true
json '.panels[0].nearer | (.constant.error_octaves | fabs) < 0.06 and .law.error_octaves > 0.85 and .law.error_octaves < 1.1' true
json '.panels[0].nearer | .law.excess_nats > 0.04 and .law.excess_nats < 0.08 and .law.left_out_octaves < 0.1' true
json '[.panels[0].lines[].groups[] | .sd_noise > 0 and .sd_grid > 0 and .sd < 0.05] | all' true
ok mup transfer s.yaml -o c.csv --no-run
has "nearer: constant under completep (100 % of the resamples)"
has "cheaper: constant under completep (100 % of the resamples)"
t "the other way round: a rule that does not hold, a law that does"
runs 0.3 -0.4 0
ok mup transfer s.yaml -o c.csv --no-run
has "nearer: c C^p of mup (100 % of the resamples)"
has "cheaper: c C^p of mup (100 % of the resamples)"
t "both hold: undecided"
runs 0 -0.4 0
ok mup transfer s.yaml -o c.csv --no-run
has "nearer: undecided"
finish
