"""``gnnvcell train``: train a model of cells, or adapt a trained one to a new context."""

import argparse

EPILOG = """
settings (a.b=c overrides any of them):
  [data]    split = "split.toml" (of cell-load), or cells = "screen.h5ad" and validation = "other.h5ad"
  [model]   preset = "tiny", "small", "base", "large" or "esm"; encoders = ["graph"], hidden_dim, layers, set_size ...
            or name = "jepa", preset = "v0.2", "v0.3" or "graph"; genes, width, layers, set_size ..., and the settings
            of training of each stage: [model.pretrain], [model.action], [model.decode] max_steps, optimizer.lr ...
  graph     = "folder of a saved graph" or "recipe.toml"
  [features] esm = "embeddings.pt"; compound = "fingerprints.npz"
  [fit]     max_steps, val_every, patience, accumulate, precision, ema, devices, num_nodes, strategy, seed ...
  init_from = "RUN/checkpoints/best.ckpt": begin with its weights, matched by name
  [tuning]  run = "RUN", and adapters = {layers = ["transformer.*"], rank = 8} or freeze = ["transformer"]

a JEPA is trained in three stages, in one command or one by one into the same RUN:
  gnnvcell train jepa.toml --out RUN --stage pretrain; gnnvcell train jepa.toml --out RUN --stage action decode
Skipped on purpose, stages make controls (model.skip=[pretrain,action]), as labels dealt out anew do
(model.shuffle_labels=true). Its gene sets are those of the graph, or gene_sets = "sets.gmt".

several processes: fit.devices=4 starts four on this machine; fit.strategy=fsdp shares the weights out among GPUs. On a
SLURM cluster each task of srun is a process (benchmarks/cluster/slurm.sbatch); SIGTERM saves the run, and the same
command with --resume goes on with it.

sweeps: one command is one run, so any launcher of commands will do; GNU parallel is the plainest:
  parallel -j 2 gnnvcell train base.toml model.hidden_dim={1} fit.seed={2} --out runs/h{1}-s{2} ::: 128 256 ::: 0 1 2
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    verb = subparsers.add_parser(
        "train",
        help="train a model of cells: state transition, JEPA",
        description="Train a model from a TOML file of settings. Interrupted, the same command with --resume goes on, "
        "and ends with the bits of a run that was not.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("config", metavar="CONFIG", help="settings (.toml)")
    verb.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings that go before those of the file")
    verb.add_argument(
        "--out", required=True, metavar="RUN", help="run.json, checkpoints/, metrics.csv, tensorboard/, model/"
    )
    verb.add_argument("--stage", nargs="+", metavar="STAGE", help="of a JEPA: pretrain, action, decode (default: all)")
    verb.add_argument("--resume", action="store_true", help="go on with the run in RUN; begin it where there is none")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    verb.set_defaults(run=run_train)


def run_train(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell train``."""
    from gnnvcell.config import apply_overrides, read_toml
    from gnnvcell.fitting.processes import is_first
    from gnnvcell.training import TrainConfig, train

    values = apply_overrides(read_toml(arguments.config), arguments.settings)
    config = TrainConfig.parse(values, where=arguments.config)
    result = train(
        config, arguments.out, stages=arguments.stage, resume=arguments.resume, progress=not arguments.quiet
    )
    if is_first():
        print(result)
    return 0
