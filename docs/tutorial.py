# %% [markdown]
# # From your own files to a prediction
#
# A gene graph is built from knowledge files, a screen is read, checked and split, models are fitted, and the result
# is read: scores against a degree-matched graph, intervals, what the graph has no evidence for, why one prediction is
# what it is, and which gene to knock down for a wanted effect.
#
# The files are simulated, so that the notebook runs anywhere in about a minute: a planted regulatory graph, cells
# measured under knock-downs, and the databases' view of that graph, with edges missing and made up. They have the
# databases' own formats: put STRING's, GO's and Reactome's files in their place and your `.h5ad` in place of
# `cells.h5ad`, and the rest stays as it is.

# %% [markdown]
# ## 1. The files
#
# On the command line:
#
# ```
# gnnvcell data simulate --out world --set world.genes=300 world.modules=10 world.targets=150 \
#     world.control_cells=1000 silent=0
# ```

# %%
# %matplotlib inline
import numpy as np
import pandas as pd

from gnnvcell.data.simulator import ScreenConfig, SimulatorConfig, simulate_screen

config = ScreenConfig(world=SimulatorConfig(genes=300, modules=10, targets=150, control_cells=1000), silent=0.0)
world = simulate_screen("world", config, progress=False)
print("\n".join(sorted(path.name for path in world.glob("*.*"))))

# %%
for line in (world / "ReactomePathways.gmt").read_text().splitlines()[:3]:
    print(line[:100], "...")

# %% [markdown]
# ## 2. The graph
#
# A recipe names the sources: a dict, as here, or a TOML file, such as the one that the simulator wrote (which has
# scGPT's edges too). [Your own graph](own_graph.md) says more. Pairs of STRING are kept from confidence 0.4 on.
#
# ```
# gnnvcell graph build world/recipe.toml --out world/graph
# gnnvcell graph info world/graph
# gnnvcell graph plot world/graph --out plots
# ```

# %%
import gnnvcell

graph = gnnvcell.graphs.build(
    {
        "string_db": {"type": "string", "args": {"confidence": 0.4}},
        "gene_ontology": {"type": "go", "args": {"namespace": "biological_process"}},
        "reactome": {"type": "reactome", "args": {"species": "homo_sapiens"}},
    },
    source_dir=world,
    progress=False,
)
graph.save("world/graph")
info = graph.info()
info.table[["source", "src_type", "dst_type", "edges", "gene_coverage", "degree_median", "degree_max"]]

# %% [markdown]
# Each source is a relation of its own: `graph.graph` is the DGL heterograph. Look at the degrees: in most databases a
# few well-studied genes have most of the edges, and a model can score by that alone. This is what the control graphs
# of section 5 are for.

# %%
from gnnvcell.graphs.plot import degree_distributions

degree_distributions(graph)

# %% [markdown]
# The manifest says what became of every line that was read: nothing is dropped in silence.

# %%
print(graph.manifest.report())

# %% [markdown]
# ## 3. The screen
#
# `Cells` finds the columns of an AnnData by their usual names ([your own data](own_data.md) says how to name others).
# `check_cells` looks at everything once, as does
#
# ```
# gnnvcell data check world/cells.h5ad --graph world/graph
# ```

# %%
from gnnvcell.data import Cells
from gnnvcell.data.check import check_cells

cells = Cells.open(world / "cells.h5ad")
report = check_cells(cells, graph.vocab, progress=False)
print(report)

# %% [markdown]
# ## 4. Split, and take effects
#
# What is held out is perturbations, not cells: the question is what a knock-down does that nobody made. The effect of
# a knock-down is its mean log1p expression less that of the control cells of the same batches.
#
# ```
# gnnvcell data split world/cells.h5ad --strategy perturbation --out split.toml
# ```

# %%
from gnnvcell.data import cell_effects
from gnnvcell.data.splits import Conditions, by_perturbation

split = by_perturbation(Conditions.of_cells(cells, dataset="screen"), fractions=(0.64, 0.16, 0.20), seed=0)
effects = split.apply_to_effects(cell_effects(cells))
print(split.summary())
print(effects)

# %% [markdown]
# ## 5. Fit, predict, score
#
# `UnseenEffect` keeps the truth to itself: a model gets the training effects and the names to predict. Every model is
# also fitted on a *rewired* graph, where each gene keeps its number of edges and loses its neighbours. What it scores
# there does not come from knowing who is linked to whom.

# %%
from gnnvcell.graphs.controls import rewired
from gnnvcell.models import MODELS
from gnnvcell.tasks import UnseenEffect

task = UnseenEffect(effects)
inputs = task.inputs()
graphs = {"real": graph, "rewired": rewired(graph, seed=0)}
models = {}
rows = []
for name in ("no_change", "perturbation_mean", "knn", "ridge", "propagation"):
    for kind in graphs if MODELS.get(name).uses_graph else ["real"]:
        models[name, kind] = MODELS.get(name)().fit(inputs.train, graphs[kind], seed=0)
        scores = task.evaluate(models[name, kind].predict(inputs.perturbations))
        rows.append({"model": name, "graph": kind, **scores.metrics})
table = pd.DataFrame(rows).set_index(["model", "graph"])
table[["centred_pearson_delta", "pearson_delta", "mse_delta", "pds_cosine", "amplitude_ratio"]].round(3)

# %% [markdown]
# How to read it ([metrics](metrics.md) has every score):
#
# - `centred_pearson_delta` asks for what a knock-down does *beyond* what knock-downs do in common. Compare the models
#   with each other and the real graph with the rewired one; 0 is not its floor: `no_change`, less the mean effect, is
#   minus that mean, and correlates with effects that are weaker than it.
# - `mse_delta` beside `no_change` says whether a prediction is better than none, in size too.
# - `pds_cosine` is .5 where a prediction is no nearer to its own perturbation than to the others.
# - `amplitude_ratio` below 1: predictions are too small. Averages over neighbours are.
#
# One rewired graph and one split show the way; for a claim repeat both (`--seeds 5`), and take intervals over
# perturbations: `gnnvcell bench` does.

# %%
from gnnvcell.metrics import targets_left_out
from gnnvcell.report.effect_charts import strongest_effects_chart

model = models["propagation", "real"]
truth = effects.of_split("test")
prediction = model.predict(truth.perturbations)
scores = task.evaluate(prediction).per_perturbation
scored = truth.measured & targets_left_out(truth.perturbations, truth.genes)
strongest_effects_chart(
    prediction.values,
    truth.values,
    scored,
    truth.perturbations,
    truth.genes,
    scores=scores.loc[truth.perturbations, "pearson_delta"].to_numpy(),
    width=9.0,
)

# %% [markdown]
# ## 6. How sure?
#
# `support` is how much measured evidence the graph brings to a perturbation. A gene without edges has none, and its
# prediction is the mean effect, drawn towards nothing: better not to make it. Intervals take their widths from errors
# on the validation perturbations, which the model has not seen either. For a trained model on the command line:
#
# ```
# gnnvcell predict runs/st screen.h5ad --output effects --intervals 0.9 --calibrate val.h5ad --min-support 1 \
#     --out effects.h5ad
# ```

# %%
from gnnvcell.metrics import interval_coverage
from gnnvcell.models import calibrate, predicted_effects

calibrated = calibrate(model, effects.of_split("val"))
found = predicted_effects(calibrated, truth.perturbations, level=0.9, min_support=1e-6)
kept = ~found.abstained
coverage = interval_coverage(found.lower[kept], found.upper[kept], truth.values[kept], scored[kept])
abstained = found.perturbations[found.abstained].tolist()
print(f"true effects inside intervals of 0.9: {coverage.mean():.3f}")
print(f"abstained, for want of support in the graph: {', '.join(abstained)}")

# %%
strata = pd.cut(scores["support"], [-1, 0, scores["support"].median(), np.inf], labels=["none", "less", "more"])
shown = ["pearson_delta", "centred_pearson_delta", "pds_cosine"]
by_support = scores.groupby(strata, observed=True)[shown].mean().round(3)
by_support

# %% [markdown]
# The row without support shows the trap again: `pearson_delta` says that nothing was known, and the centred score,
# which a shrunken mean effect gets for being weak, says otherwise.

# %% [markdown]
# ## 7. Why?
#
# Take the knock-down that is predicted best and a gene for which that came true, delete edges of the graph and
# predict again, without fitting anew: the paths whose deletion takes the prediction away carry it. Deleted together
# they are held against as many random edges at the same distance. kNN is explained here, because its prediction is a
# sum over measured neighbours; propagation goes the same way, and spreads over more paths.
#
# ```
# gnnvcell screen explain knn --data world/cells.h5ad --graph world/graph --hold-out GEN0162 --target GEN0162 \
#     --gene GEN0263 --out why
# ```

# %%
from gnnvcell.report.explain_charts import explanation_chart
from gnnvcell.screens.explain import ExplainConfig, explain

target = str(scores["pearson_delta"].idxmax())
knn = models["knn", "real"]
values, true = knn.predict([target]).values[0], truth.values[truth.perturbations == target][0]
came_true = np.where(values * true > 0, np.minimum(np.abs(values), np.abs(true)), 0.0)
gene = str(truth.genes[came_true.argmax()])
why = explain(knn, target, gene, config=ExplainConfig(tested=20, beam=3))
print(f"{gene} under {target}: predicted {why.predicted:+.2f}, true {true[came_true.argmax()]:+.2f}")
together, random = why.fidelity["effect"], why.fidelity["random_mean"]
print(f"the paths deleted together take away {together:+.2f}, random ones {random:+.2f}")
why.paths[["path", "end", "relations", "carried", "share"]].round(3)

# %%
explanation_chart(why, width=9.0)

# %% [markdown]
# ## 8. Which gene?
#
# The other way round: a change of expression is wanted, and the gene is asked for. The goal here is the measured
# effect of that same held-out knock-down, whose name the screen should give. The gallery is every gene of the screen;
# the model has seen none of the held-out ones.

# %%
from gnnvcell.report.screen_charts import target_chart
from gnnvcell.screens.goal import Goal
from gnnvcell.screens.target import target_screen

screen = target_screen(model, Goal.of_effect(truth, target), truth.genes)
rank = int(screen.table.set_index("perturbation").loc[target, "rank"])
print(f"{target} is number {rank} of {len(screen.table)} candidates; {len(screen.abstained)} have no support")
screen.table[["rank", "perturbation", "score", "size", "support"]].head(8).round(3)

# %%
target_chart(screen.table, goal=f"effect of {target}", width=9.0)

# %% [markdown]
# Genes that act together look alike to the graph and to the cell: a partner in the same complex, as section 7 shows
# one, scores like the gene itself. And this knock-down was chosen because it is predicted best; over all held-out
# ones:

# %%
ranks = []
for name in scores.index[scores["support"] > 0]:
    order = target_screen(model, Goal.of_effect(truth, name), truth.genes).table
    ranks.append(int(order.set_index("perturbation").loc[name, "rank"]))
ranks = np.array(ranks)
print(f"median rank {np.median(ranks):.0f} of {len(screen.table)}; among the first ten: {np.mean(ranks <= 10):.0%}")

# %% [markdown]
# ## Where to go from here
#
# - [Your own graph](own_graph.md), [your own data](own_data.md), [your own model](own_model.md).
# - [What each score means](metrics.md), and [screens on real cells](screens/target.md).
# - [All documents](README.md).
