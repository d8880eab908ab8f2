"""From predicted effects to single cells that scorers of cells accept."""

from gnnvcell.data.emission.emit import EmissionConfig, emit_cells, emit_to

__all__ = ["EmissionConfig", "emit_cells", "emit_to"]
