"""``gnnvcell info``: versions, hardware and kernels of this installation."""

import argparse


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    verb = subparsers.add_parser(
        "info",
        help="versions, hardware, kernels",
        description="What this installation is made of; put it into bug reports and beside measured numbers.",
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run_info)


def run_info(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell info``."""
    import json

    from gnnvcell.ops import format_table
    from gnnvcell.ops.dispatch import TABLE
    from gnnvcell.report.installation import describe_installation

    found = describe_installation()
    if arguments.json:
        table = [{"operation": r.operation, "device": r.device, "kernel": r.kernel, "others": r.others} for r in TABLE]
        print(json.dumps({**found, "kernel table": table}, indent=1))
    else:
        width = max(map(len, found))
        for name, value in found.items():
            print(f"{name:<{width}}  {value}")
        print(f"\n{format_table()}")
    return 0
