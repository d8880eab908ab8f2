"""Comparing graph sources: models x graphs x controls x seeds, kept as records."""

from gnnvcell.bench.run import run_bench
from gnnvcell.bench.sources import compare_sources, per_source_graphs
from gnnvcell.bench.suite import SuiteResult, run_suite
from gnnvcell.bench.suite_config import SuiteConfig, read_suite
from gnnvcell.bench.table import format_table, summarise

__all__ = [
    "SuiteConfig",
    "SuiteResult",
    "compare_sources",
    "format_table",
    "per_source_graphs",
    "read_suite",
    "run_bench",
    "run_suite",
    "summarise",
]
