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
CELLS = "cells"  # (perturbations,) int: number of cells that an effect is the mean of
MASK = "measured"  # layer (perturbations, genes) bool: whether the pair was measured
EFFECT_KIND = "effect_kind"  # uns: "de", "direction" or "delta"
CONTROL_EXPRESSION = "control_expression"  # varm (genes, contexts) float32: mean log1p expression of control cells
CONTROL_CONTEXTS = "control_contexts"  # uns (contexts,) str: the columns of control_expression

# --- cells: obs
CONTROL = "control"  # the perturbation label of unperturbed cells in EffectTable and simulator files
BATCH = "batch"  # (cells,) str: sequencing batch
CELL_TYPE = "cell_type"  # (cells,) str
TARGET_GENE = "target_gene"  # (cells,) str: perturbation label in single-cell files
GUIDE = "guide"  # (cells,) str: guide that a cell was found to have
NON_TARGETING = "non-targeting"  # the control label of single-cell files

# --- preprocessed cells
X_HVG = "X_hvg"  # obsm (cells, highly variable genes) float32: their columns of X, dense, in the order of var
LOG_TOTAL = "log_total_counts"  # obs (cells,) float32: log1p of all counts of a cell, before genes were chosen
COUNTS = "counts"  # layer (cells, genes) float32: counts as they were
HIGHLY_VARIABLE = "highly_variable"  # var (genes,) bool: the columns of X_HVG
MEANS = "means"  # var (genes,) float64: log1p of the mean of normalised counts (scanpy's)
DISPERSIONS = "dispersions"  # var (genes,) float64: log of variance / mean (scanpy's)
DISPERSIONS_NORM = "dispersions_norm"  # var (genes,) float64: z-score of the dispersion among genes of like mean
HVG = "hvg"  # uns: {"flavor": ...}, as scanpy writes it
HVG_NAMES = "hvg_names"  # uns (highly variable genes,) str: the columns of X_HVG
LOG1P = "log1p"  # uns: {}: X holds natural logarithms, as scanpy writes it
PREPROCESS = "preprocess"  # uns: settings, and what was dropped

# --- cell sets: what a batch holds
PERTURBED_CELLS = "perturbed"  # (sets, cells, genes) float32: expression of perturbed cells
CONTROL_CELLS = "control"  # (sets, cells, genes) float32: expression of matched control cells
CELL_MASK = "mask"  # (sets, cells) bool: False where a cell was drawn again to fill its set
EMISSION = "emission"  # uns: how predicted cells were made
CELL_ROWS = "rows"  # (sets, cells) int64: rows of the perturbed cells
CONTROL_ROWS = "control_rows"  # (sets, cells) int64: rows of the control cells

# --- cell sentences: what a batch of the state embedding holds; genes are places in the model's vocabulary
SENTENCE_GENES = "sentence_genes"  # (cells, length) int64: genes of each cell's sentence, highest expression first
SENTENCE_EXPRESSION = "sentence_expression"  # (cells, length) float32: their expression, log1p
SENTENCE_MASK = "sentence_mask"  # (cells, length) bool: True for genes, False for padding
READ_DEPTH = "read_depth"  # (cells, 1) float32: log1p of total counts, or of the number of detected genes
DATASET = "dataset"  # (cells,) int64: which dataset a cell is from, -1 where the model does not know it
OWN_GENES = "own_genes"  # (cells, own) int64: genes that are decoded of each cell
OWN_EXPRESSION = "own_expression"  # (cells, own) float32: their expression, log1p
OWN_MASK = "own_mask"  # (cells, own) bool: False where a cell has fewer genes
SHARED_GENES = "shared_genes"  # (shared,) int64: genes that are decoded of all cells
SHARED_EXPRESSION = "shared_expression"  # (cells, shared) float32: their expression, log1p
X_STATE = "X_state"  # obsm (cells, d) float32: cell embeddings of the state embedding model

# --- batches of models over cell sets, beside those of the sets
CONDITIONS = "conditions"  # PerturbationBatch of the sets: what was done to each
FIELD = "field"  # (sets, genes + 1) float32: effect predicted by a model that did not see it, and log(1 + support)
GENE_WEIGHTS = "gene_weights"  # (sets, genes) float32: weight of each gene in the loss of a set
PERTURBED_EMBEDDING = "perturbed_embedding"  # (sets, cells, d) float32: embeddings of the perturbed cells
CONTROL_EMBEDDING = "control_embedding"  # (sets, cells, d) float32: embeddings of the control cells
PERTURBED_LOG_TOTAL = "perturbed_log_total"  # (sets, cells) float32: log1p of all counts of the perturbed cells
CONTROL_MEAN = "control_mean"  # (sets, genes) float32: mean expression of all controls that match the set
CONTROL_LOG_TOTAL = "control_log_total"  # (sets, cells) float32: log1p of all counts of the control cells
PREDICTION = "prediction"  # uns: a row for each predicted perturbation: support, share of the network, expected loss

# --- genome screens: an AnnData store whose obs are perturbations and whose var are genes
SUPPORT = "support"  # obs (perturbations,) float32 >= 0: evidence that the graph brought to each prediction
SPREAD = "spread"  # layer (perturbations, genes): standard deviation of the error, as the model knows it
GENOME_SCREEN = "genome_screen"  # uns: what the screen was made with, and "done", (chunks,) uint8: 1 once written

# --- predicted effects: an AnnData whose obs are perturbations (with SUPPORT) and whose var are genes (layer SPREAD)
LOWER = "lower"  # layer (perturbations, genes) float32: lower end of each effect's interval
UPPER = "upper"  # layer (perturbations, genes) float32: upper end of each effect's interval
ABSTAINED = "abstained"  # obs (perturbations,) bool: too little support in the graph: named, not predicted
ERROR_BOUND = "error_bound"  # obs (perturbations,) float32: what the root mean squared error over genes stays below
INTERVALS = "intervals"  # uns: level, what it promises ("over") and number of calibration perturbations
MIN_SUPPORT = "min_support"  # uns: support below which a prediction is abstained from
