"""Every AnnData, batch and graph key. Nothing else spells one."""

# --- graph: node types
GENE = "gene"
GO_TERM = "go_term"
PATHWAY = "pathway"

# --- graph: edge and node data
WEIGHT = "weight"  # (edges,) float32, > 0: strength of the edge
SIGN = "sign"  # (edges,) int8 in {-1, 0, +1}: direction of the effect, 0 where unknown
REVERSE_PREFIX = "rev_"  # relation name of the reverse of a directed relation

# --- effect tables: obs is perturbations, var is readout genes
PERTURBATION = "perturbation"  # (perturbations,) str: the perturbation's name, "A+B" for several targets
SPLIT = "split"  # (perturbations,) str: train, val or test
CONTEXT = "context"  # (perturbations,) str: cell line or cell type
MASK = "measured"  # layer (perturbations, genes) bool: whether the pair was measured
EFFECT_KIND = "effect_kind"  # uns: "de", "direction" or "delta"
CONTROL_EXPRESSION = "control_expression"  # varm (genes, contexts) float32: mean log1p expression of control cells
CONTROL_CONTEXTS = "control_contexts"  # uns (contexts,) str: the columns of control_expression

# --- cells: obs
CONTROL = "control"  # the perturbation label of unperturbed cells in EffectTable and simulator files
BATCH = "batch"  # (cells,) str: sequencing batch
CELL_TYPE = "cell_type"  # (cells,) str
TARGET_GENE = "target_gene"  # (cells,) str: perturbation label in single-cell files
NON_TARGETING = "non-targeting"  # the control label of single-cell files
