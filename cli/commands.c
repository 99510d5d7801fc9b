#include "cli/commands.h"

const cli_command cli_commands[] = {
    {"data", cmd_data, "pack text into token shards, look at token files, make a source of known entropy",
     "  muscale data pack -o corpus notes.txt\n"
     "  spm_encode --output_format=id < notes.txt | muscale data pack --tokenizer ids -o corpus -\n"
     "  muscale data info corpus\n"
     "  muscale data gen -o markov --source markov --vocab 64 --order 1 --tokens 2000000 --seed 1\n",
     "data pack -o DIR [--tokenizer byte|ids] [--val-fraction F] [--vocab V] [--bytes-per-token X] FILE...|-\n"
     "data info PATH [--dtype u8|u16|u32]\n"
     "data gen -o DIR --source markov --vocab V --order K --tokens T --seed S"},
    {"train", cmd_train, "train one model",
     "  muscale train run.yaml -o runs/first\n"
     "  muscale train run.yaml lr=2e-3 tokens=1e6 -o runs/second\n"
     "  muscale train run.yaml -o runs/first --resume\n",
     "train CONFIG.yaml [key=value ...] -o RUNDIR [--resume] [--prediction PREDICTION.json] [--threads N]"},
    {"sweep", cmd_sweep, "plan, run, watch, retry and collect a grid of runs",
     "  muscale sweep plan sweep.yaml\n"
     "  muscale sweep plan sweep.yaml lr=1e-3,3e-4 seed=0,1          (overrides: a value, several, range(), logspace())\n"
     "  muscale sweep run sweep.yaml -o campaign -j 2      (again: finished runs are skipped, the others resumed)\n"
     "  muscale sweep plan sweep.yaml --device cuda        (banks, streams, memory; elsewhere: --memory 80)\n"
     "  muscale sweep run sweep.yaml -o campaign --device cuda\n"
     "  muscale sweep run sweep.yaml -o campaign --early-stop hyperband\n"
     "  muscale sweep submit sweep.yaml -o campaign --slurm --timeout-min 60 --dry-run    (shows the job script)\n"
     "  muscale sweep status campaign\n"
     "  muscale sweep watch campaign                       (until everything is settled)\n"
     "  muscale sweep retry campaign                       (what failed or is missing; --diverged too; --dry-run says what)\n"
     "  muscale sweep collect campaign --csv runs.csv      (fit reads it as it reads the campaign)\n",
     "sweep plan SPEC.yaml [key=v1,v2 ...] [-j N] [--device cpu|cuda] [--max-bank R] [--streams K] [--memory GIB] [--no-trunks] [--early-stop RULE] [--flops-rate F | --no-calibrate]\n"
     "sweep run SPEC.yaml [key=v1,v2 ...] -o CAMPAIGN [-j N] [--device cpu|cuda] [--max-bank R] [--streams K] [--memory GIB] [--no-trunks] [--early-stop RULE] [--fail-fast[=k]] [--amend]\n"
     "sweep submit SPEC.yaml [key=v1,v2 ...] -o CAMPAIGN --slurm [--dry-run] [--timeout-min M] [--cpus-per-task N] [--gpus-per-node N] "
     "[--array-parallelism N] [--max-num-timeout N] [--signal-delay-s S] [--runs-per-task N] [--partition P] [--account A] [--sbatch=OPTION ...] [--amend]\n"
     "sweep work CAMPAIGN --task K [--submission N] [--help-others] [-j N]\n"
     "sweep status CAMPAIGN [-v]\n"
     "sweep watch CAMPAIGN [--every S]\n"
     "sweep retry CAMPAIGN [--failed] [--missing] [--diverged] [--dry-run] [-j N] [--device cpu|cuda] [--max-bank R] [--streams K] [--memory GIB] [--fail-fast[=k]]\n"
     "sweep collect CAMPAIGN [--csv FILE|-] [--jsonl FILE|-]"},
    {"fit", cmd_fit, "fit a scaling law, with intervals and a verdict",
     "  muscale fit campaign --law chinchilla -o fit.json\n"
     "  muscale fit runs.csv --col N=params --col D=tokens --col loss=val_loss --law chinchilla\n"
     "  muscale fit campaign --method lr-optimum -o lr.json\n",
     "fit INPUT... --law LAW [--x COL] [--col NAME=COLUMN ...] [--where EXPR] [--count-rule RULE] [--flops-rule RULE] [-o FIT.json] ...\n"
     "fit INPUT... --method isoflop|envelope|lr-optimum [--col ...] [--where EXPR] [-o FIT.json]\n"
     "fit --list-laws"},
    {"predict", cmd_predict, "predict the large run: size, tokens, loss, learning rate, per-tensor table",
     "  muscale predict fit.json lr.json --flops 1e15 --config base.yaml --write-config target.yaml\n"
     "  muscale predict fit.json lr.json --config target.yaml -o prediction.json\n"
     "  muscale predict fit.json --loss 2.1\n",
     "predict FIT.json... --flops C | --params N | --tokens D | --loss L [--config BASE.yaml [key=value ...]] [--force] [-o FILE]\n"
     "predict FIT.json... --config TARGET.yaml [key=value ...] [--force] [-o FILE]"},
    {"score", cmd_score, "score a written prediction against the run it was made for",
     "  muscale train target.yaml --prediction prediction.json -o runs/target\n"
     "  muscale score prediction.json runs/target --naive campaign\n"
     "  muscale score prediction.json runs/target --lr-base runs/short --lr-check runs/half --lr-check runs/double\n",
     "score PREDICTION.json RUN [--naive CAMPAIGN|FIT.json] [--lr-check RUN ...] [--lr-base RUN] [-o FILE]"},
    {"mup", cmd_mup, "per-tensor hyperparameters of a config, and whether they hold",
     "  muscale mup table run.yaml\n"
     "  muscale mup table run.yaml d_model=512\n"
     "  muscale mup table big.yaml --base width=256,depth=4\n"
     "  muscale mup table big.yaml --base small.yaml parametrisation=completep\n"
     "  muscale mup check run.yaml\n"
     "  muscale mup check run.yaml parametrisation=completep base_depth=2 --widths 64,128,256 --depths 2,4,8,16\n"
     "  muscale mup transfer sweep.yaml -o campaign\n"
     "  muscale --json mup transfer sweep.yaml -o campaign --no-run --beyond 0.15 >transfer.json\n"
     "  muscale mup export small.yaml --target N=7e9,depth=32 --to hf-granite -o big\n"
     "  muscale mup export small.yaml --target width=4096,depth=32 --to megatron -o big\n",
     "mup table CONFIG.yaml [key=value ...] [--base BASE.yaml|width=W,depth=L,head_dim=D,d_ff=F,batch_tokens=B,tokens=T]\n"
     "mup check CONFIG.yaml [key=value ...] [--widths W1,W2,W3,...] [--depths L1,L2,L3,...] [--seeds K] [--steps K] [--device D] "
     "[--grow heads|head_dim]\n"
     "mup transfer SPEC.yaml -o CAMPAIGN [--no-run] [--beyond X] [--bootstrap K] [--seed S] [--report FILE.json] [-j N] "
     "[--device cpu|cuda] [--amend]\n"
     "mup export CONFIG.yaml [key=value ...] [--target N=...|width=W,depth=L,...] [--base BASE.yaml] --to TARGET -o DIR"},
    {"plot", cmd_plot, "draw one figure",
     "  muscale plot loss-curves campaign -o curves.svg\n"
     "  muscale plot lr-curves lr.json -o lr.pdf\n"
     "  muscale plot prediction fit.json prediction.json score.json -o prediction.png\n"
     "  muscale plot isoflop runs.csv -o isoflop.txt --where \"N > 1e5\"\n",
     "plot KIND INPUT... -o FILE.{svg,pdf,png,txt} [--where EXPR]\nplot --list"},
    {"report", cmd_report, "one self-contained HTML page with figures and tables",
     "  muscale report campaign fit.json lr.json prediction.json score.json -o report\n",
     "report CAMPAIGN|FIT.json|PREDICTION.json|SCORE.json... -o DIR [--where EXPR]"},
    {"doctor", cmd_doctor, "what is installed, which devices, measured peak matmul and bandwidth",
     "  muscale doctor\n",
     "doctor"},
};
const size_t cli_n_commands = sizeof cli_commands / sizeof *cli_commands;
