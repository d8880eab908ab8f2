"""``gnnvcell data``: check, describe, preprocess, split and simulate cells. One file per verb: ``data_<verb>.py``."""

import argparse
import importlib

VERBS = ("check", "stats", "preprocess", "split", "simulate", "emit")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb group."""
    group = subparsers.add_parser("data", help="check, describe, preprocess, split, simulate, emit cells")
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in VERBS:
        importlib.import_module(f"gnnvcell.cli.data_{name}").add_verb(verbs)
