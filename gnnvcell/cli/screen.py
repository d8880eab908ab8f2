"""``gnnvcell screen``: in-silico experiments with a model. One file per verb: ``screen_<verb>.py``."""

import argparse
import importlib

VERBS = ("target", "combo", "safety", "genome", "explain")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb group."""
    group = subparsers.add_parser("screen", help="in-silico experiments: targets, combinations, safety, genomes, paths")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        importlib.import_module(f"gnnvcell.cli.screen_{name}").add_verb(verbs)
