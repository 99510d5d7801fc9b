# The quickstart's last screen, from its JSON results.
def sig(n): if . == null then "-" elif . == 0 then "0"
    else . as $x | (if $x < 0 then -$x else $x end) as $a | ($a | log10 | floor) as $e
    | if $e >= 5 or $e < -4 then ($x / pow(10; $e) * pow(10; n - 1) | round / pow(10; n - 1) | tostring) + "e" + ($e | tostring)
      else ($x * pow(10; n - 1 - $e) | round / pow(10; n - 1 - $e) | tostring) end end;
def range(n): if . == null then "no interval" else "[" + (.[0] | sig(n)) + ", " + (.[1] | sig(n)) + "]" end;
def signed: if . == null then "-" else (if . >= 0 then "+" else "" end) + (. * 10000 | round / 10000 | tostring) end;
def parameter($f; $k): "\($k) \($f.params[$k] | if . == null then "not identified" else sig(3) end)"
    + (if $f.params[$k] == null then "" else " \($f.ci95[$k] | range(3))" end);
$fit[0] as $f | $p[0] as $pred | $s[0] as $score | $o[0].optimum as $opt | ($pred.target // $pred.optimum) as $t |
"law          L = E + A/N^alpha + B/D^beta, \($f.n_points) runs: \(["E", "alpha", "beta"] | map(parameter($f; .)) | join(", "))",
"             verdict \($f.trust.verdict)\(if $f.trust.verdict == "ok" then "" else ": " + ([$f.trust.reasons[].code] | unique | join(", ")) end)"
    + (if $f.trust.verdict == "refuse" then "; what follows was asked for with --force" else "" end),
($lr[0].trend[] | "lr*          \(if .parametrisation == "mup" then "muP" else "SP " end) drifts \(.p | signed) \(.ci95.p | range(2)) octaves per doubling of the width"),
"target       N \($t.N | sig(3)), D \($t.D | sig(3)), C \($pred.optimum.C | sig(3)): \($pred.optimum.tokens_per_param | sig(3)) tokens per parameter"
    + " (the law's optimum at this C: N \($opt.N | sig(2)), \($opt.tokens_per_param | sig(2)) per parameter)",
"predicted    \($score.loss.predicted | sig(5)) nats/token, 95 % for one run \($score.loss.pi95 | range(5)), half-width \($score.loss.half_width | sig(3)); lr \($score.lr.predicted | sig(3)) \($score.lr.ci95 | range(3))",
"measured     \($score.loss.measured | sig(5)) +- \($score.loss.measured_se | sig(2)): \(if $score.loss.hit then "HIT" else "MISS" end), error \($score.loss.error | signed); naive predictor (best of the sweep) \($score.naive.error | signed)",
(if $score.lr_penalty then "penalty      " + ([$score.lr_penalty[] | "\(.factor) x lr: \(.loss_minus_base | signed)"] | join(", ")) + " nats (short runs at the target's width)" else empty end),
"report       \($report)"
