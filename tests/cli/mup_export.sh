#!/bin/sh
# muscale mup export: what is written, and what is refused. That it is right: test_mup_export, mup_export_torch.sh.
. "${MUSCALE_SRCDIR:-.}/tests/cli/lib.sh"
cat >c.yaml <<'END'
vocab: 64
d_model: 64
n_layer: 2
head_dim: 16
activation: swiglu
seq_len: 16
batch_tokens: 64
tokens: 1280
val_tokens: 64
lr: 0.01
weight_decay: 0.1
weight_decay_mode: coupled
d_ff: 128
END
group() { jq -r ".groups[] | select(.tensor == \"$1\") | $2" "$dir/groups.json" 2>/dev/null; }

t "a config without a base is its own"
dir=torch
ok mup export c.yaml --target width=256 --to torch-json -o torch
has "n_layer 2, "
same "$(ls torch | tr '\n' ' ')" "NOT_CARRIED.md groups.json model.json "
command -v jq >/dev/null || finish
same "$(jq -r '[.schema, .to, .parametrisation, .base.width, .target.width, .target.d_ff, .weight_decay_convention] | join(" ")' torch/groups.json)" \
    "muscale.mup-export/1 torch-json mup 64 256 512 adamw_coupled"
same "$(group attn.q '[.match, .class, .n_tensors, .lr, .lr_scale, .weight_decay, .weight_decay_independent] | join(" ")')" \
    '^blocks\.\d+\.attn\.q\.weight$ hidden 2 0.0025 0.25 0.4 0.001'
same "$(group head '[.lr, .init_std, .eps, .multiplier] | join(" ")')" "0.01 0.125 2.5e-09 0.25"
ok --json mup export c.yaml --target width=256 --to torch-json -o torch
same "$(printf %s "$out" | jq -cS .)" "$(jq -cS . torch/groups.json)" "what is printed and what is written"
t "independent decay is written as PyTorch takes it"
ok mup export c.yaml weight_decay_mode=independent --target width=256 --to torch-json -o torch
same "$(group attn.q '[.weight_decay, .weight_decay_independent] | join(" ")')" "40 0.1"
t "N finds the width"
ok --json mup export c.yaml --target N=1e6 --to torch-json -o n
json '.n_params_total / 1e6 | . > 0.9 and . < 1.1' true
ok --json mup export c.yaml --target N=1e6,depth=8 --to torch-json -o n
json '[.target.depth, (.n_params_total / 1e6 | . > 0.85 and . < 1.15)] | join(" ")' "8 true"
t "the base that the config names stays the base"
ok --json mup export c.yaml base_width=32 --target width=256,depth=4 --to torch-json -o n
json '[.base.width, .base.depth, .base.d_ff, (.groups[] | select(.tensor == "attn.q") | .lr_scale)] | join(" ")' "32 2 64 0.125"

t "megatron: its own rule where it holds, overrides for the rest"
dir=megatron
ok mup export c.yaml eps_rule=hidden --target width=256 --to megatron -o megatron
same "$(grep -c . megatron/megatron.args)" "$(grep -c '^--' megatron/megatron.args)" "one flag a line"
same "$(grep -e --mup-base-hidden-size -e '--lr ' -e --weight-decay megatron/megatron.args | tr '\n' ' ')" \
    "--mup-base-hidden-size 64 --lr 0.01 --weight-decay 0.4 "
check; grep -q 'name="\*output_layer.weight"): ParamGroupOverride(wd_mult=0.25)' megatron/NOT_CARRIED.md || fail "no wd_mult of the readout"
check; grep -q 'name="\*linear_fc2.weight"): ParamGroupOverride(wd_mult=1)' megatron/NOT_CARRIED.md || fail "fc2 needs no lr here"
check; grep -q 'Gains frozen at 1' megatron/NOT_CARRIED.md || fail "gains are not said to be frozen"
same "$(group attn.qkv '[.shape[0], (.parts | length), .frozen] | join(" ")')" "768 3 false"
same "$(group final.norm .frozen)" true
t "megatron: where its rule does not hold it overrides nothing"
ok mup export c.yaml parametrisation=completep base_depth=2 --target width=256,depth=8 --to megatron -o megatron
check; grep -qx -e '--mup-base-hidden-size 256' megatron/megatron.args || fail "its base is not the model"
check; grep -q 'linear_proj.weight"): ParamGroupOverride(max_lr=0.000625, ' megatron/NOT_CARRIED.md || fail "no lr of the folded branch"
check; grep -q '`attn.out`: x 0.25' megatron/NOT_CARRIED.md || fail "the folded multiplier is not said"
check; grep -qx -e '--clip-grad 0' megatron/megatron.args || fail "its clipping would weigh folded tensors wrongly"

t "every parameter of the target matches exactly one group, as often as it says"
each_once() { # NAME...: "one" when so, else what is wrong
    printf '%s\n' "$@" | jq -Rnr --slurpfile e "$dir/groups.json" '[inputs] as $names | $e[0].groups as $g
        | [$names[] | . as $n | select([$g[] | select(.match as $m | $n | test($m))] | length != 1)]
        + [$g[] | select(.match as $m | .n_tensors != ([$names[] | select(test($m))] | length)) | .tensor]
        | if length == 0 then "one" else join(" ") end'
}
hf() { # the names of a Llama-like model of two layers
    for l in 0 1; do
        for x in input_layernorm self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj post_attention_layernorm \
            mlp.gate_proj mlp.up_proj mlp.down_proj; do echo "model.layers.$l.$x.weight"; done
    done
    echo model.embed_tokens.weight; echo model.norm.weight
}
for target in hf-granite hf-minicpm; do
    dir=$target
    for gain in true false; do
        ok mup export c.yaml norm_gain=$gain --to $target -o $dir
        same "$(each_once $(hf) lm_head.weight)" one "$target"
        ok mup export c.yaml norm_gain=$gain tied_head=true --to $target -o $dir
        same "$(each_once $(hf))" one "$target, tied"
        same "$(each_once $(hf) model.layers.0.self_attn.q_norm.weight)" model.layers.0.self_attn.q_norm.weight "$target, one too many"
    done
done
megatron() { # NORM-BEFORE-ATTENTION NORM-BEFORE-MLP
    for l in 0 1; do
        for x in "$1" self_attention.linear_qkv.weight self_attention.q_layernorm.weight self_attention.k_layernorm.weight \
            self_attention.linear_proj.weight "$2" mlp.linear_fc1.weight mlp.linear_fc2.weight; do echo "module.module.decoder.layers.$l.$x"; done
    done
    echo module.module.embedding.word_embeddings.weight; echo module.module.decoder.final_layernorm.weight; echo module.module.output_layer.weight
}
dir=megatron
ok mup export c.yaml qk_norm=true --to megatron -o megatron
same "$(each_once $(megatron input_layernorm.weight pre_mlp_layernorm.weight))" one "megatron, local"
same "$(each_once $(megatron self_attention.linear_qkv.layer_norm_weight mlp.linear_fc1.layer_norm_weight))" one "megatron, Transformer Engine"

t "muscale: a config that train accepts, the same model as the table's"
ok -q mup export c.yaml --target width=128,depth=4 --to muscale -o ours
ok --json mup table ours/config.yaml
table=$(printf %s "$out" | jq -c '[.tensors[] | select(.tensor == "blocks.3.ffn.out" or .tensor == "head") | .lr, .eps, .init_std]')
ok -q --json mup export c.yaml --target width=128,depth=4 --to muscale -o ours
json '[.groups[] | select(.tensor == "ffn.out" or .tensor == "head") | .lr, .eps, .init_std] | tostring' "$table"
ok -q data gen -o data --source markov --vocab 64 --order 1 --tokens 4000 --seed 1
ok -q train ours/config.yaml data=data -o run
check; [ -e run/run.h5 ] || fail "the exported config did not train"

t "refused: what computes another function"
bad 3 "activation: gelu cannot be exported to hf-granite: its MLP is gated" mup export c.yaml activation=gelu --to hf-granite -o x
bad 3 "activation: gelu cannot be exported to megatron" mup export c.yaml activation=gelu --to megatron -o x
bad 3 "qk_norm: true cannot be exported to hf-minicpm" mup export c.yaml qk_norm=true --to hf-minicpm -o x
ok mup export c.yaml qk_norm=true --to megatron -o x
ok mup export c.yaml activation=gelu --to torch-json -o y
bad 3 "y: holds an export to torch-json; take another directory" mup export c.yaml --to megatron -o y
t "refused: bad input"
rm -rf x
bad 3 "--to: unknown export target 'megatorn'; did you mean 'megatron'?" mup export c.yaml --to megatorn -o x
bad 3 "there is: torch-json, hf-granite" mup export c.yaml --to onnx -o x
bad 3 "activation is no size: no rule of sizes covers" mup export c.yaml --target width=128,activation=gelu --to torch-json -o x
bad 3 "did you mean 'width'?" mup export c.yaml --target widht=128 --to torch-json -o x
bad 3 "N=abc is no number of parameters" mup export c.yaml --target N=abc --to torch-json -o x
bad 3 "give one" mup export c.yaml --target N=1e6,width=64 --to torch-json -o x
bad 3 "gives about N=10 parameters" mup export c.yaml --target N=10 --to torch-json -o x
bad 3 "is no key=value" mup export c.yaml --target 128 --to torch-json -o x
bad 3 "say so with base_head_dim=16" mup export c.yaml --target head_dim=32 --to torch-json -o x
bad 3 "tied_head: true is impossible with parametrisation mup-table3" mup export c.yaml tied_head=true parametrisation=mup-table3 --target width=128 --to torch-json -o x
bad 3 "not a multiple of head_dim" mup export c.yaml --target width=100 --to torch-json -o x
sed 's/swiglu/gelu/' c.yaml >gelu.yaml
bad 3 "activation: gelu in the base model, swiglu here, which no rule of sizes covers" mup export c.yaml --target width=128 --base gelu.yaml --to torch-json -o x
bad 3 "parametrisation sp has no base model" mup export c.yaml parametrisation=sp --base gelu.yaml --to torch-json -o x
bad 3 "--base: absent.yaml: cannot open" mup export c.yaml --base absent.yaml --to torch-json -o x
bad 2 "--to is missing" mup export c.yaml -o x
bad 2 "-o DIR is missing" mup export c.yaml --to torch-json
check; [ ! -e x ] || fail "a refused export wrote something"
ok mup export c.yaml base_head_dim=16 --target head_dim=32,width=128 --to torch-json -o x
t "evidence: none is null and says how to get it"
ok -q mup export c.yaml --target width=256 --to torch-json -o e
same "$(jq -c '[.evidence[] | .verdict]' e/groups.json)" "[null,null]"
same "$(jq -r '.evidence[] | .why' e/groups.json | grep -c 'no .* given; --')" 2
t "evidence: a check and a report that stand behind the lr"
model='"vocab": 64, "d_model": 64, "n_layer": 2, "head_dim": 16, "activation": "swiglu", "seq_len": 16, "batch_tokens": 64, "tokens": 1280,
 "val_tokens": 64, "lr": 0.01, "weight_decay": 0.1, "weight_decay_mode": "coupled", "d_ff": 128, "parametrisation": "mup", "base_width": 64'
cat >check.json <<END
{"schema": "muscale.mup-check/1", "parametrisation": "mup", "verdict": "undecided", "seeds": 4, "steps": 4, "lr": 0.01, "diverged": "",
 "config": {$model}, "axes": [{"axis": "width", "sizes": [32, 64, 128], "depth": 2, "rows": [
  {"place": "stream", "quantity": "dx", "verdict": "pass", "expected": 0.0, "slope": -0.2, "ci95": [-0.3, -0.1]},
  {"place": "blocks.0.ffn", "quantity": "dx", "verdict": "undecided", "expected": 0.0, "slope": 0.15, "ci95": [0.1, 0.3]},
  {"place": "blocks.1.ffn", "quantity": "dx", "verdict": "pass", "expected": 0.0, "slope": -0.25, "ci95": [-0.3, -0.2]},
  {"place": "logits", "quantity": "logits", "verdict": "pass", "zero": true}]}]}
END
cat >transfer.json <<END
{"schema": "muscale.mup-transfer/1", "beyond": 0.25, "panels": [
 {"axis": "width", "x": "init_std", "lines": [{"parametrisation": "mup", "verdict": "drifts", "groups": []}]},
 {"axis": "width", "x": "lr", "lines": [
  {"parametrisation": "sp", "fixed": "n_layer 2", "verdict": "drifts", "drift": -0.9, "drift_ci95": [-1.1, -0.7], "excluded_beyond": 1.1, "groups": []},
  {"parametrisation": "mup", "config": {$model, "schedule": "wsd"}, "fixed": "n_layer 2", "verdict": "excluded", "drift": 0.05, "drift_ci95": [-0.1, 0.2], "excluded_beyond": 0.2,
   "groups": [{"width": 32, "log2_lr_opt": -6.5, "penalty": {"nats": 0}}, {"width": 64, "log2_lr_opt": null, "penalty": null},
              {"width": 128, "log2_lr_opt": -6.25, "penalty": {"nats": 0.004, "ci95": [0.001, 0.01]}}]}]}]}
END
ok --json mup export c.yaml --target width=256 --to torch-json -o e --check check.json --transfer transfer.json
json '.evidence.coord_check.axes[0] | [.target_over_largest, .n_pass, .n_fail, .n_undecided, .slopes.dx.place] | join(" ")' "2 3 0 1 blocks.0.ffn"
json '.evidence.coord_check.sha256' "$(sha256sum check.json | cut -d' ' -f1)"
err_has "warning: coordinate check check.json: the verdict is undecided"
json '.evidence.lr_transfer | [.verdict, .lr, (.lines | length), .lines[0].drift, .lines[0].penalty_at_largest.nats] | join(" ")' "excluded 0.01 1 0.05 0.004"
json '.evidence.lr_transfer.lines[0].log2_lr_opt | [.["32"], .["64"], .["128"]] | tostring' "[-6.5,null,-6.25]"
json '.evidence.lr_transfer.lines[0].octaves_above_optimum | .["128"] * 1000 | round' -394
same "$(printf %s "$err" | grep -c 'octaves from')" 0 "0.4 octaves are no news"
ok mup export c.yaml lr=0.1 --target width=256 --to torch-json -o e --check check.json --transfer transfer.json
err_has "was made at lr 0.01, the export has 0.1; lr 0.1 lies 3.2 octaves from an optimum of transfer.json"
sed 's/"excluded", "drift": 0.05/"drifts", "drift": 0.4/' transfer.json >drifts.json
ok mup export c.yaml --target width=256 --to torch-json -o e --transfer drifts.json
err_has "drifts.json: the verdict on the learning rate is drifts"
t "evidence: of something else is refused"
rm -rf x
bad 3 "--check check.json: is a check of mup, the export is of completep" mup export c.yaml parametrisation=completep base_depth=2 base_width=64 --target width=128 --to torch-json -o x --check check.json
bad 3 "--transfer transfer.json: has no runs of completep over learning rates" mup export c.yaml parametrisation=completep base_depth=2 base_width=64 --target width=128 --to torch-json -o x --transfer transfer.json
bad 3 "--transfer transfer.json: of another model: base_width 64 there, 32 here; base_d_ff" mup export c.yaml base_width=32 --to torch-json -o x --transfer transfer.json
bad 3 "--transfer transfer.json: of another model: schedule wsd there, linear here" mup export c.yaml schedule=linear --to torch-json -o x --transfer transfer.json
bad 3 "--transfer transfer.json: of another model: weight_decay 0.1 there, 0.2 here" mup export c.yaml weight_decay=0.2 --to torch-json -o x --transfer transfer.json
tr '\n' ' ' <transfer.json | sed 's/"config": {[^}]*}, //' >old.json
bad 3 "--transfer old.json: does not say of which model it is" mup export c.yaml --to torch-json -o x --transfer old.json
bad 3 "muscale.mup-transfer/1" mup export c.yaml --target width=128 --to torch-json -o x --transfer check.json
bad 3 "absent.json" mup export c.yaml --target width=128 --to torch-json -o x --check absent.json
other() { # TEXT WORD...: the export of c.yaml with these keys is of another model than check.json
    says=$1
    shift
    bad 3 "--check check.json: $says; check the config that is exported" mup export c.yaml "$@" --to torch-json -o x --check check.json
}
other "of another model: base_width 64 there, 32 here; base_d_ff 128 there, 64 here" base_width=32
other "of another model: eps_rule exact there, hidden here" eps_rule=hidden
other "of another model: attention_scale rule there, sqrt here; zero_init none there, readout here" attention_scale=sqrt zero_init=readout
other "of another model: activation swiglu there, gelu here" activation=gelu
other "of another model: init_std 0 there, 0.05 here" init_std=0.05
other "of another model: weight_decay_mode coupled there, independent here" weight_decay_mode=independent
bad 3 "of another model: head_dim 16 there, 32 here" mup export c.yaml base_head_dim=16 --target head_dim=32,width=128 --to torch-json -o x --check check.json
sed 's/"lr": 0.01, "diverged"/"grow": "head_dim", &/' check.json >grown.json
ok mup export c.yaml base_head_dim=16 --target head_dim=32,width=128 --to torch-json -o w --check grown.json
ok mup export c.yaml weight_decay=0.2 seed=3 schedule=cosine --target width=512,depth=6,tokens=1e6,batch_tokens=128,seq_len=32 --to torch-json -o w --check check.json
tr '\n' ' ' <check.json | sed 's/"config": {[^}]*}, //' >old.json
bad 3 "--check old.json: does not say of which model it is" mup export c.yaml --to torch-json -o x --check old.json
sed 's/"d_model": 64/"d_modle": 64/' check.json >typo.json
bad 3 "--check typo.json: unknown key 'd_modle'" mup export c.yaml --to torch-json -o x --check typo.json
sed 's/"d_model": 64/"d_model": [64]/' check.json >list.json
bad 3 "--check list.json: d_model has no value" mup export c.yaml --to torch-json -o x --check list.json
sed 's/"d_model": 64/"d_model": 60/' check.json >sixty.json
bad 3 "--check sixty.json: d_model: 60" mup export c.yaml --to torch-json -o x --check sixty.json
echo "{\"schema\": \"muscale.mup-check/1\", \"parametrisation\": \"mup\", \"config\": {$model}, \"axes\": [7, {\"rows\": \"?\", \"sizes\": {}}]}" >odd.json
ok -q mup export c.yaml --target width=128 --to torch-json -o z --check odd.json
check; [ ! -e x ] || fail "a refused export wrote something"
t "an input is not replaced"
mkdir in
cp c.yaml in/config.yaml
bad 2 "is an input" mup export in/config.yaml --to muscale -o in
same "$(cat in/config.yaml)" "$(cat c.yaml)"
finish
