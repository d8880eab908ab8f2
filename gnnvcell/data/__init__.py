"""Measured effects and cells: reading, checking, splitting, simulating."""

from gnnvcell.data.cells import Cells
from gnnvcell.data.effects import Context, EffectTable
from gnnvcell.data.fields import FieldsConfig
from gnnvcell.data.pseudobulk import cell_effects, control_context

__all__ = ["Cells", "Context", "EffectTable", "FieldsConfig", "cell_effects", "control_context"]
