"""Comparing graph sources: models x graphs x controls x seeds, kept as records."""

from gnnvcell.bench.run import BenchResult, run_bench
from gnnvcell.bench.sources import compare_sources, per_source_graphs
from gnnvcell.bench.table import format_table, summarise

__all__ = ["BenchResult", "compare_sources", "format_table", "per_source_graphs", "run_bench", "summarise"]
