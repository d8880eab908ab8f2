"""What was asked for and what was found, as a table."""

from collections.abc import Sequence

from gnnvcell.bench.targets import Verdict
from gnnvcell.report.html import DataTable, section, tables_block


def targets_section(verdicts: Sequence[Verdict]) -> list[str]:
    """A table of all targets; nothing where none were given."""
    if not verdicts:
        return []
    rows = [[str(one.target), one.found or "–", one.state] for one in verdicts]
    return [section("Targets", tables_block([DataTable("", ("asked for", "found, 95% interval", "state"), rows)]))]
