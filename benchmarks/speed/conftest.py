"""Prints the table of contests after the benchmarks, and keeps it where ``--engine-table`` says."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the benchmarks share ``contest`` and ``power_law``


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engine-table", default=None, help="also write the table of contests to this file")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    from contest import RESULTS, format_results  # pyright: ignore[reportMissingImports]

    if not RESULTS:
        return
    table = format_results(RESULTS)
    terminalreporter.write_sep("-", "contests, ratios in one process")
    terminalreporter.write_line(table)
    target = config.getoption("--engine-table")
    if target:
        Path(target).write_text(table + "\n")
