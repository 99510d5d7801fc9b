#!/bin/sh
# muscale mup table, mup check.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
cat >c.yaml <<'END'
vocab: 256
d_model: 256
n_layer: 3
base_width: 64
tokens: 1e6
lr: 0.004
weight_decay: 0.1
weight_decay_mode: coupled
END
t "table 8 at m = 4"
ok mup table c.yaml
has "blocks.0-2.attn.q"
has "m = 4"
has "std m^-1/2, lr m^-1, eps m^-1, decay m"
ok --json mup table c.yaml
json .schema muscale.mup-table/1
json .ratios.width 4
json '.tensors | length' 20
json '.tensors[] | select(.tensor == "blocks.2.ffn.out") | [.fan_in, .init_std, .lr, .lr_scale, .weight_decay] | join(" ")' "1024 0.03125 0.001 0.25 0.4"
json '.tensors[] | select(.tensor == "head") | [.role, .init_std, .multiplier, .lr, .weight_decay] | join(" ")' "readout 0.125 0.25 0.004 0.1"
json '.tensors[] | select(.tensor == "embed") | [.init_std, .lr] | join(" ")' "1 0.004"
json .model.logit_mult 0.25
t "at the base width mup is sp, bit for bit"
ok --json mup table c.yaml d_model=64
json '.tensors | map(del(.factors, .sources)) | tostring | @base64' "$(
    "$muscale" --json mup table c.yaml d_model=64 parametrisation=sp | jq -r '.tensors | map(del(.factors, .sources)) | tostring | @base64' 2>/dev/null)"
json '.tensors[1].init_std' 0.125
t "each factor says who says so"
ok mup table c.yaml
has "hidden    lr    m^-1                         = 0.25      Yang et al. 2022, arXiv:2203.03466, Table 8"
has "hidden    decay m                            = 4         Wang & Aitchison 2024, arXiv:2405.13698"
has "eps_rule exact, weight_decay_mode coupled, decay_rule m"
ok --json mup table c.yaml
json '.tensors[] | select(.tensor == "head") | .sources | map(.quantity + " " + .factor) | join(", ")' "mult m^-1, eps m^-1"
json '.tensors[] | select(.tensor == "head") | [.weight_decay_coupled, .weight_decay_independent, .lr_effective, .gradient_theta] | join(" ")' \
    "0.1 0.0004 0.001 1"
json '[.choices.eps_rule, .choices.attention_scale, .choices["clip_norm over"]] | join(" ")' "exact aligned g"
t "the same net in another form: effective values agree, the others do not"
eight=$("$muscale" -q --json mup table c.yaml | jq -c '.tensors | map([.tensor, .init_std_effective, .lr_effective, .weight_decay_independent])' 2>/dev/null)
ok -q --json mup table c.yaml parametrisation=mup-table3
json '.tensors | map([.tensor, .init_std_effective, .lr_effective, .weight_decay_independent]) | tostring' "$eight"
json '.tensors[] | select(.tensor == "head") | [.init_std, .multiplier, .lr, .eps, .weight_decay, .gradient_theta] | join(" ")' "0.03125 1 0.001 1e-08 0.4 4"
t "options are printed and in force"
ok mup table c.yaml parametrisation=completep base_depth=1 depth_alpha=0.5 eps_rule=blocks decay_rule=constant zero_init=query embed_lr_rule=sqrt
has "depth_alpha 0.5"
has "m_L^-1/2"
has "eps_rule blocks"
has "zero_init, as"
has "embed_lr_rule sqrt: Blake"
hasnt "decay m "
ok --json mup table c.yaml parametrisation=u-mup lr=1
json '.tensors[] | select(.tensor == "embed") | [.init_std, .lr] | join(" ")' "1 0.0625"
json '.model.residual_mult * .model.residual_mult * 3 | . * 1e9 | round' 1000000000
err_has "rounded"
t "a base: words or a config"
ok --json mup table c.yaml --base width=32,depth=1,d_ff=64 parametrisation=completep
json '[.base.width, .base.depth, .base.head_dim, .base.d_ff] | join(" ")' "32 1 32 64"
json '[.ratios.width, .ratios.depth, .ratios.d_ff] | join(" ")' "8 3 16"
json '.tensors[] | select(.tensor == "blocks.0.ffn.out") | .lr_scale' 0.0625
sed 's/^d_model: .*/d_model: 64/; s/^n_layer: .*/n_layer: 1/; /^base_width/d; s/1e6/5e5/' c.yaml >base.yaml
echo 'parametrisation: sp' >>base.yaml
ok --json mup table c.yaml --base base.yaml
json '[.base.width, .base.depth, .base.d_ff] | join(" ")' "64 1 256"
err_has "tokens: 500000 in the base, 1000000 here"
err_has "n_layer: 1 in the base, 3 here"
mkdir width=1
cp base.yaml width=1/base.yaml
ok mup table c.yaml --base width=1/base.yaml
has "base width 64"
ok --json mup table c.yaml --base width=32,depth=1,tokens=1e5,batch_tokens=1024 parametrisation=complete-dp beta2=0.99
json '.betas.beta2 * 1000 | round' 998
ok mup table c.yaml d_model=32
err_has "below base_width 64"
t "what a rule forbids, what no rule covers"
bad 3 "activation: swiglu in the base model" mup table c.yaml --base width=64,activation=swiglu
bad 3 "lr: 0.002 in the base model" mup table c.yaml --base width=64,lr=0.002
bad 3 "--base: unknown key 'widht'; did you mean 'width'?" mup table c.yaml --base widht=64
bad 3 "--base: absent.yaml: cannot open" mup table c.yaml --base absent.yaml
bad 3 "did you mean 'head_dim'" mup table c.yaml --base width=64,haed_dim=8
bad 3 "base model: d_model: 48 is not a multiple of head_dim" mup table c.yaml --base width=48
bad 3 "say which: base_head_dim" mup table c.yaml base_width=48
sed 's/^d_model: .*/d_model: 64/; s/^base_width/head_dim: 16\nbase_width/' c.yaml >heads.yaml
bad 3 "say so with base_head_dim 16" mup table c.yaml --base heads.yaml
ok mup table c.yaml --base heads.yaml base_head_dim=16
bad 3 "cannot open" mup table c.yaml --base none.yaml
bad 3 "base_depth: 0, but parametrisation 'completep'" mup table c.yaml parametrisation=completep
bad 3 "base_batch_tokens: 0" mup table c.yaml parametrisation=complete-dp base_depth=1
bad 3 "tied_head: true is impossible with parametrisation mup-table3" mup table c.yaml parametrisation=mup-table3 tied_head=true
bad 3 "tied_head: true is impossible with parametrisation u-mup" mup table c.yaml parametrisation=u-mup tied_head=true
bad 3 "forbids it" mup table c.yaml parametrisation=complete-dp --base width=512,depth=1
bad 3 "beta1" mup table c.yaml parametrisation=complete-dp --base width=64,depth=1,batch_tokens=256,tokens=2e6
bad 3 "branch_init: gpt2" mup table c.yaml parametrisation=completep base_depth=1 branch_init=gpt2
bad 3 "'most' is none of exact, hidden, blocks, none" mup table c.yaml eps_rule=most
bad 2 "did you mean '--base'" mup table c.yaml --bsae width=64
t "every rule trains"
ok data gen -o source --source markov --vocab 16 --order 1 --tokens 20000 --seed 1
cat >tiny.yaml <<'END'
data: source
d_model: 32
n_layer: 2
head_dim: 8
seq_len: 16
batch_tokens: 128
tokens: 2560
val_tokens: 512
base_width: 16
base_depth: 1
base_batch_tokens: 64
base_tokens: 1280
lr: 0.01
END
for rule in sp mup mup-table3 completep depth-mup u-mup complete-dp; do
    lr=0.01
    [ $rule != u-mup ] || lr=0.5
    ok --json train tiny.yaml parametrisation=$rule lr=$lr -o run-$rule
    json '.status' done
done
t "the coordinate check: mup passes, sp fails with exit 1"
cat >check.yaml <<'END'
vocab: 64
d_model: 32
n_layer: 2
head_dim: 16
seq_len: 16
batch_tokens: 64
tokens: 640
val_tokens: 64
base_width: 32
lr: 0.005
END
ok --json mup check check.yaml --widths 32,64,96,192
json .schema muscale.mup-check/1
json .verdict pass
json '.axes[0].sizes | join(",")' 32,64,96,192
json '[.axes[0].rows[] | select(.quantity == "dU.h")] | length' 1
json '.axes[0].rows[] | select(.quantity == "logits") | .values | map(length) | join(",")' 4,4,4,4
json '.axes[0].trace | map(.place) | join(",")' embed,attn,ffn,stream,logits
json '.axes[0].trace[0] | [(.x | length), (.x[0] | length)] | join(" ")' "5 4"
json '[.grow, .seq_len, .config.base_width, .config.vocab, .config.eps_rule, .config.d_ff, .provenance.argv[-1]] | join(" ")' \
    "heads 16 32 64 exact 128 32,64,96,192"
json '.provenance.version' "$("$muscale" --version | sed 's/.* //')"
printf '%s\n' "$out" >made.json
ok --json mup export check.yaml --target width=384 --to torch-json -o big --check made.json
json '[.evidence.coord_check | .verdict, .lr, .axes[0].target_over_largest, .axes[0].slopes["dU.h"].place] | join(" ")' "pass 0.005 2 logits"
json '.evidence.coord_check.version' "$(jq -r .provenance.version made.json 2>/dev/null)"
bad 3 "--check made.json: of another model: eps_rule exact there, none here; check" mup export check.yaml eps_rule=none --to torch-json -o no --check made.json
run mup check check.yaml --widths 32,64,128 parametrisation=sp
same "$rc" 1 "exit of sp"
has "verdict: fail"
has "fails: dx of "
has "; look at learning rates of hidden matrices"
ok mup check check.yaml --depths 2,4,8 --seeds 3 parametrisation=completep base_depth=2
has "over depth 2, 4, 8 at width 32"
hasnt "over width"
run -v mup check check.yaml --widths 32,64,128
has "blocks.0.attn.q "
has "blocks.1.attn.q "
ok mup check check.yaml --widths 32,64,128 --grow head_dim --seeds 3
run mup check check.yaml --widths 32,64,128 lr=1e30
same "$rc" 1 "exit of a divergence"
has "verdict: fail: width 32, depth 2, seed 1: not finite after step"
has "; at a smaller lr the slopes say why"
bad 3 "width 40" mup check check.yaml --widths 32,40,128
bad 3 "a slope needs at least 3" mup check check.yaml --widths 32,64
bad 3 "64 after 64" mup check check.yaml --widths 32,64,64
bad 3 "base_width: 0" mup check check.yaml base_width=0
bad 3 "base_depth: 0" mup check check.yaml parametrisation=completep
bad 2 "'6x4' is no whole number" mup check check.yaml --widths 32,6x4,128
bad 2 "'' is no whole number" mup check check.yaml --widths 32,,128
bad 2 "seeds: 2" mup check check.yaml --seeds 2
bad 3 "at least a factor of 4" mup check check.yaml --widths 32,48,64
bad 2 "steps: 0" mup check check.yaml --steps 0
bad 2 "none of heads, head_dim" mup check check.yaml --grow width
bad 2 "CONFIG.yaml is missing" mup check
t "bad input"
bad 3 "base_width: 0, but parametrisation 'mup'" mup table c.yaml base_width=0
bad 3 "'mupp' is none of sp, mup" mup table c.yaml parametrisation=mupp
bad 3 "d_model" mup table c.yaml d_model=100
bad 3 "missing.yaml: cannot open" mup table missing.yaml
t "configs are strict: file, line, column, remedy"
reject() { # LINE PLACE TEXT: c.yaml with one line more
    { cat c.yaml; printf '%b\n' "$1"; } >x.yaml
    bad 3 "$3" mup table x.yaml
    err_has "x.yaml:$2"
}
reject 'lr: 1' 9:1 "duplicate key 'lr' (first on line 6)"
reject 'd_modle: 1' 9:1 "did you mean 'd_model'"
reject 'eps: &e 1e-8' 9:6 "anchors"
reject 'eps: *e' 9:6 "aliases"
reject 'eps: 1e-5x' 9:6 "1e-5x"
reject 'val_tokens: 2_000' 9:13 "2_000"
reject 'eps: nan' 9:6 "nan"
reject 'eps: 1e999' 9:6 "1e999"
reject 'eps: "1e-8"' 9:6 "eps"
bad 3 "did you mean 'd_model'" mup table c.yaml d_modle=1
bad 3 "1e999" mup table c.yaml eps=1e999
bad 2 "CONFIG.yaml is missing" mup table
bad 2 "no key=value" mup table c.yaml other.yaml
bad 2 "did you mean 'table'" mup tabel c.yaml
finish
