# shellcheck shell=bash
# The campaigns of the Slurm tests; to be sourced behind cluster.sh. M is the program, campaign the folder at work.
campaign=
fail() { echo "${0##*/}: $*" >&2; [ -z "${cluster:-}" ] || { squeue; tail -n 5 "$cluster"/log/*; tail -n 3 "$campaign"/slurm/log/*; } >&2 2>/dev/null; exit 1; }

small_spec() { # RUNS TOKENS: checkpoints so often that a killed worker loses little
    $M -q data gen -o source --source markov --vocab 16 --order 1 --tokens 60000 --seed 3 >/dev/null || fail "data gen"
    cat >spec.yaml <<SPEC
base: {data: source, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, batch_tokens: 64, val_tokens: 512, base_width: 16,
       log_every: 50, ckpt_every: 200, val_every: 5000, tokens: $2}
grid: {lr: [1e-3, 4e-3], seed: "range(0, $(($1 / 2)), 1)"}
slurm: {runs_per_task: 1}
SPEC
    last=ckpt.$(($2 / 64))
}

# Rows of a journal: the last record of each step, without times and checksum.
rows() {
    sed -n 's/.*"k":"\(train\|val\)","step":\([0-9]*\),\(.*\)/\1 \2 \3/p' "$1" | sed 's/,"step_ms".*//; s/,"crc".*//' |
        awk '{ last[$1 " " $2] = $0 } END { for (k in last) print last[k] }' | sort -k1,1 -k2,2n
}

ids_in_table() { # CAMPAIGN: the runs of campaign.h5
    h5dump -y -w 0 -d /runs/run "$1/campaign.h5" | grep -o '"[0-9a-f]\{16\}"' | tr -d '"'
}

# Every run of CALM is in ROUGH exactly once, ended once, with the same weights, moments and rows.
same_campaign() { # CALM ROUGH RUNS
    compared=0
    [ "$(ids_in_table "$2")" = "$(ids_in_table "$1")" ] || fail "the tables list other runs"
    [ "$(ids_in_table "$2" | sort -u | wc -l)" = "$3" ] || fail "not every run stands once in the table"
    for d in "$1"/runs/*/; do
        id=$(basename "$d")
        cmp "$d$last" "$2/runs/$id/$last" || fail "run $id: the final checkpoint differs"
        rows "$d/journal.jsonl" >rows.calm
        rows "$2/runs/$id/journal.jsonl" | cmp - rows.calm || fail "run $id: rows differ"
        [ "$(grep -c '"event":"end","status":"done"' "$2/runs/$id/journal.jsonl")" = 1 ] || fail "run $id has not ended once"
        [ ! -e "$2/runs/$id/owner" ] || fail "run $id is still owned"
        compared=$((compared + 1))
    done
    [ $compared = "$3" ] || fail "$compared runs compared, not $3"
}

# A process that owns a run on a node and has a checkpoint of it: its number, nothing when there is none.
worker_on() { # CAMPAIGN NODE
    for d in "$1"/runs/*/; do
        set -- "$1" "$2" "$d"/ckpt.*
        [ ! -e "$d/owner" ] || [ ! -e "$3" ] || sed -n "s/^{\"host\":\"$2\",\"pid\":\([0-9]*\),.*/\1/p" "$d/owner" 2>/dev/null
    done | head -n 1
}
found_on() { [ -n "$(worker_on "$1" "$2")" ]; }
kill_on() { kill -9 "$(worker_on "$1" "$2")"; } # fails when it has come to its end meanwhile
logs() { cat "$campaign"/slurm/log/* 2>/dev/null | grep -c "$1"; }
queue_empty() { [ -z "$(squeue -h)" ]; }
