"""``gnnvcell evaluate``: score predicted cells against real ones, by our scores and by the official scorers."""

import argparse
from typing import Any

SCORERS = ("ours", "vcc2025", "vcc2026")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the verb."""
    from gnnvcell.cli.fields import add_field_arguments

    verb = subparsers.add_parser(
        "evaluate",
        help="score predicted cells against real ones, also by the official scorers",
        description="Score PRED against REAL: tables, CSV, JSON, figures and the page evaluate.html in OUT. Genes, "
        "perturbations and cell types are brought together by name; effects are taken against the real controls. "
        "The official scorers need: pip install 'gnnvcell[eval]'.",
    )
    verb.add_argument("predicted", metavar="PRED", help="predicted cells (.h5ad, .zarr), counts or log1p-normalised")
    verb.add_argument("real", metavar="REAL", help="real cells, with controls in every batch")
    verb.add_argument("--out", required=True, metavar="DIR", help="folder of all results")
    verb.add_argument(
        "--scorer",
        nargs="+",
        choices=SCORERS,
        default=["ours"],
        metavar="SCORER",
        help="ours (default), vcc2025 (cell-eval), vcc2026 (cell-eval2, integer counts); several may be given",
    )
    verb.add_argument("--no-page", action="store_true", help="no figures and no page: faster")
    verb.add_argument("--json", action="store_true", help="print JSON instead of tables")
    verb.add_argument("--quiet", action="store_true", help="no progress, no tables")
    _add_fields(verb, add_field_arguments)
    _add_reference(verb.add_argument_group("mean effect, ceiling and strata (ours)"))
    _add_tests(verb.add_argument_group("differential expression and official scorers"))
    verb.set_defaults(run=run_evaluate)


def _add_fields(verb: argparse.ArgumentParser, add_field_arguments: Any) -> None:
    add_field_arguments(verb)
    for name, metavar, what in (
        ("perturbation", "COLUMN", "obs column of perturbations"),
        ("control", "LABEL", "label of control cells"),
        ("layer", "NAME", "layer of the values"),
    ):
        verb.add_argument(f"--pred-{name}", metavar=metavar, help=f"{what} in PRED, where it differs from REAL")


def _add_reference(group: Any) -> None:
    group.add_argument("--train", metavar="FILE", help="training cells: their mean effect is the centre and the floor")
    group.add_argument(
        "--split",
        metavar="FILE",
        help="split of REAL (TOML, CSV): its training perturbations give the mean effect, the held-out ones are scored",
    )
    group.add_argument(
        "--part", choices=("val", "test"), default="test", help="part of --split that is scored (default: test)"
    )
    group.add_argument("--dataset", metavar="NAME", help="name of REAL in --split, where it has several data sets")
    group.add_argument("--support", metavar="CSV", help="columns perturbation, support: graph evidence, for the strata")
    group.add_argument(
        "--graph", metavar="DIR", help="saved gene graph: support is how many training perturbations it links to"
    )
    group.add_argument(
        "--uncertainty",
        metavar="FILE",
        help="effects of the same prediction (gnnvcell predict --output effects): scores their intervals and spreads",
    )
    group.add_argument("--splits", type=int, default=5, metavar="N", help="split halves, for the ceiling (default: 5)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the split halves (default: 0)")
    group.add_argument(
        "--controls",
        choices=("shared", "halves"),
        default="shared",
        help="shared (default): prediction and truth against the same control cells, as the official scorers do; "
        "halves: against disjoint halves of them, so that chance in the controls does not correlate",
    )
    group.add_argument(
        "--convention",
        choices=("ours", "cell-eval"),
        default="ours",
        help="ours (default): a perturbation's own targets are left out; cell-eval: as cell-eval 0.8 does",
    )


def _add_tests(group: Any) -> None:
    group.add_argument("--no-de", action="store_true", help="ours: leave differential expression out")
    group.add_argument("--de-real", metavar="FILE", help="given differential expression of REAL (CSV, Parquet)")
    group.add_argument("--de-pred", metavar="FILE", help="the same of PRED")
    group.add_argument(
        "--cache", metavar="DIR", help="what is known of REAL, for the next prediction (default: OUT/cache)"
    )
    group.add_argument("--no-baseline", action="store_true", help="official: no baseline, so no scaled score; faster")
    group.add_argument(
        "--profile", default="vcc", metavar="NAME", help="vcc2025: vcc (default), minimal, full, de, anndata"
    )
    group.add_argument("--backend", default="pdex", metavar="NAME", help="vcc2026: pdex (default), scanpy, gpudge")
    group.add_argument("--threads", type=int, default=1, metavar="N", help="threads of the tests (default: 1)")


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Run ``gnnvcell evaluate``."""
    import json
    import sys

    from gnnvcell.cli.fields import fields_of
    from gnnvcell.report.evaluation import EvaluationConfig, evaluate_files
    from gnnvcell.report.evaluation_tables import as_json, score_text
    from gnnvcell.report.uncertainty_section import uncertainty_text

    fields = fields_of(arguments)
    changes = {name: getattr(arguments, f"pred_{name}") for name in ("perturbation", "control", "layer")}
    found = evaluate_files(
        arguments.predicted,
        arguments.real,
        arguments.out,
        fields=fields,
        predicted_fields=fields.model_copy(update={name: value for name, value in changes.items() if value}),
        config=EvaluationConfig.parse(_settings(arguments), where="evaluate"),
        extras={"command": " ".join(["gnnvcell", *sys.argv[1:]])},
        progress=not arguments.quiet,
    )
    if arguments.json:
        print(json.dumps(as_json(found.ours, found.official, found.uncertainty), indent=1))
    elif not arguments.quiet:
        print(score_text(found.ours, found.official))
        if found.uncertainty is not None:
            print(f"\n{uncertainty_text(found.uncertainty)}")
        print(f"\nscores.json and CSV files: {arguments.out}" + (f"\npage: {found.page}" if found.page else ""))
    return 0


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "scorers": arguments.scorer,
        "page": not arguments.no_page,
        **{name: getattr(arguments, name) for name in ("train", "split", "part", "dataset", "support", "graph")},
        **{name: getattr(arguments, name) for name in ("de_real", "de_pred", "cache", "uncertainty")},
        "ours": {
            "splits": arguments.splits,
            "seed": arguments.seed,
            "controls": arguments.controls,
            "convention": arguments.convention,
            "differential": not arguments.no_de,
            "threads": arguments.threads,
        },
        "vcc2025": {
            "profile": arguments.profile,
            "baseline": not arguments.no_baseline,
            "threads": arguments.threads,
        },
        "vcc2026": {
            "backend": arguments.backend,
            "baseline": not arguments.no_baseline,
            "seed": arguments.seed,
            "threads": arguments.threads,
        },
    }
