"""PerturbationEncoder: what was done to a cell, as a vector: entity, mode and strength."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnnvcell.errors import ConfigError, ModelError, did_you_mean
from gnnvcell.nn.perturbation_batch import COMPOUND, GENE, MODES, UNITS, PerturbationBatch
from gnnvcell.perturbation import Mode

_CONTROL = MODES.index(Mode.CONTROL)


class PerturbationEncoder(nn.Module):
    """Encodes genes knocked out, down or up, combinations of them, drugs with a dose, and controls.

    For a target t of perturbation p, with the feature sets s of its kind (gene or compound)::

        e_t = mean_s [ LayerNorm(MLP_s(x_st)) where s has features of t, else learned vector u_s ]
        h_t = e_t + m_mode(p) + a_p,     a_p = MLP(strength_p) where it is known, else a learned vector,
                                       and nothing without ``strengths``
        z_t = h_t + MLP([h_t])
        z_p = sum_t z_t, or sum_t softmax_t(w . tanh(V z_t)) z_t;     the learned vector m_control for a control

    m are learned embeddings of the modes CRISPRi, CRISPRa, KO, drug, control and unknown. Strength is the log10 of a
    dose in uM, the log2 of a fold, or a fraction, each an input of its own. The order of targets has no effect. With
    "sum" a combination is exactly the sum of its targets' encodings; with "attention" it is a weighted mean, so that a
    combination is as long as a single.

    Features are arguments of ``forward``, so that an embedding which a graph encoder has just computed can be one of
    them, and gradients reach the graph. A target without features (not among the genes, or masked in all sets) gets
    learned vectors, never zeros, and is counted by ``missing``.

    Args:
        out_feats: width d of an encoding.
        gene_features: name of a feature set of genes to its width, such as {"esm": 5120, "graph": 256}.
        compound_features: the same of compounds, such as {"morgan": 2048}.
        hidden: width of hidden layers.
        depth: number of linear layers of each projection of features, at least 1.
        pooling: "sum" or "attention".
        dropout: of hidden units, while training.
        hide: share of targets that are taken for missing in a feature set, while training. It is how the vectors u_s of
            missing targets are learned where training has none: as what a perturbation does that nothing is known of.
        strengths: whether strengths are encoded; an encoder that never saw any has nothing to say of them.

    Shapes: features (genes, width) or (compounds, width), present (genes,) or (compounds,); result (perturbations, d).

    Raises:
        ConfigError: sizes that are not positive, no features at all, a name for two sets, an unknown pooling, or a
            share outside of [0, 1).
        ModelError: on ``forward``: feature sets missing or unknown, of another size than the batch's genes or
            compounds, values that are not finite where present, a batch with a kind of target that the encoder has
            no features for, or with strengths where the encoder was made without.

    Example:
        >>> from gnnvcell.perturbation import Perturbation
        >>> encoder = PerturbationEncoder(8, gene_features={"esm": 4})
        >>> given = [Perturbation.parse("MYC+TP53"), Perturbation.parse("ctrl")]
        >>> batch = PerturbationBatch.of(given, genes=["MYC", "TP53"])
        >>> encoder(batch, {"esm": torch.rand(2, 4)}).shape
        torch.Size([2, 8])
    """

    def __init__(
        self,
        out_feats: int,
        *,
        gene_features: Mapping[str, int] | None = None,
        compound_features: Mapping[str, int] | None = None,
        hidden: int = 256,
        depth: int = 2,
        pooling: Literal["sum", "attention"] = "sum",
        dropout: float = 0.0,
        hide: float = 0.0,
        strengths: bool = True,
    ) -> None:
        super().__init__()
        self._widths = {GENE: dict(gene_features or {}), COMPOUND: dict(compound_features or {})}
        sets = self._widths[GENE] | self._widths[COMPOUND]
        _check(out_feats, hidden, depth, pooling, self._widths, hide)
        self.out_feats, self.pooling, self.hide = out_feats, pooling, hide
        self.project = nn.ModuleDict(
            {name: _projection(width, hidden, out_feats, depth, dropout) for name, width in sets.items()}
        )
        self.absent = nn.ParameterDict({name: _vector(out_feats) for name in sets})
        self.mode = nn.Embedding(len(MODES), out_feats)
        self.strength = self.no_strength = None
        if strengths:
            self.strength = nn.Sequential(nn.Linear(len(UNITS), hidden), nn.SiLU(), nn.Linear(hidden, out_feats))
            self.no_strength = _vector(out_feats)
        self.mix = nn.Sequential(
            nn.LayerNorm(out_feats),
            nn.Linear(out_feats, hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, out_feats),
        )
        self.attention = (
            nn.Sequential(nn.Linear(out_feats, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False))
            if pooling == "attention"
            else None
        )

    def forward(
        self,
        batch: PerturbationBatch,
        features: Mapping[str, Float[Tensor, "_ _"]],
        present: Mapping[str, Bool[Tensor, " _"]] | None = None,
    ) -> Float[Tensor, "perturbations out_feats"]:
        """Encode a batch.

        Args:
            batch: the perturbations, on the encoder's device.
            features: each feature set, in the order of the batch's genes or compounds.
            present: which rows of a set hold something; all of a set that is left out.
        """
        masks = dict(present or {})
        self._require_fitting(batch, features, masks)
        entity = torch.zeros(len(batch.target), self.out_feats, device=self.mode.weight.device)
        for kind, of_kind in ((GENE, ~batch.is_compound), (COMPOUND, batch.is_compound)):
            rows = of_kind.nonzero()[:, 0]
            if len(rows):
                found = [self._entity(name, batch.target[rows], features[name], masks) for name in self._widths[kind]]
                entity = entity.index_copy(0, rows, torch.stack(found).mean(dim=0))
        mode = self.mode(batch.mode)
        how = mode
        if self.strength is not None and self.no_strength is not None:
            how = mode + torch.where(batch.has_strength[:, None], self.strength(batch.strength), self.no_strength)
        encoded = entity + how[batch.owner]
        pooled = self._pool(encoded + self.mix(encoded), batch.owner, len(batch))
        return torch.where((batch.mode == _CONTROL)[:, None], mode, pooled)

    def missing(
        self, batch: PerturbationBatch, present: Mapping[str, Bool[Tensor, " _"]] | None = None
    ) -> dict[str, int]:
        """Feature set to how many targets of the batch have no features in it, and get its learned vector."""
        masks = dict(present or {})
        return {
            name: int((~_present(batch.target[batch.is_compound == (kind == COMPOUND)], masks.get(name))).sum())
            for kind, widths in self._widths.items()
            for name in widths
        }

    def _entity(self, name: str, target: Tensor, features: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        """(targets, d) of one feature set; only rows that hold something are projected."""
        there = _present(target, masks.get(name))
        if self.training and self.hide > 0:
            there = there & (torch.rand(len(target), device=target.device) >= self.hide)
        rows = there.nonzero()[:, 0]
        given = features[target[rows]]
        if not bool(torch.isfinite(given).all()):
            raise ModelError(
                f"features {name!r} are not finite where they are said to be present",
                remedy=f"mark these rows as missing: present={{{name!r}: torch.isfinite(features).all(dim=1)}}",
            )
        absent = self.absent[name].expand(len(target), -1)
        return absent.index_copy(0, rows, self.project[name](given))

    def _pool(self, encoded: Tensor, owner: Tensor, count: int) -> Tensor:
        """(perturbations, d) sums over the targets, weighted with attention."""
        if self.attention is not None:
            encoded = encoded * _softmax(self.attention(encoded)[:, 0], owner, count)[:, None]
        return encoded.new_zeros(count, self.out_feats).index_add(0, owner, encoded)

    def _require_fitting(
        self, batch: PerturbationBatch, features: Mapping[str, Tensor], masks: Mapping[str, Tensor]
    ) -> None:
        if self.strength is None and bool(batch.has_strength.any()):
            raise ModelError(
                "the encoder was made without strengths, and the batch has some",
                expected="perturbations without a dose, as in training",
                remedy="leave the amount out (A|KO in place of A|KO@0.5), or train on data with doses",
            )
        counts = {GENE: batch.genes, COMPOUND: batch.compounds}
        used = {GENE: bool((~batch.is_compound).any()), COMPOUND: bool(batch.is_compound.any())}
        for kind, widths in self._widths.items():
            if used[kind] and not widths:
                raise ModelError(
                    f"the batch has targets of the kind {kind}, and the encoder has no features of {kind}s",
                    remedy=f"make it with {kind}_features=, or leave these perturbations out",
                )
            for name, width in widths.items():
                self._require_set(name, (counts[kind], width), features.get(name), masks.get(name), used[kind])
        known = self._widths[GENE] | self._widths[COMPOUND]
        for name in (*features, *masks):
            if name not in known:
                raise ModelError(f"the encoder has no feature set {name!r}", remedy=did_you_mean(name, known))

    def _require_set(
        self, name: str, shape: tuple[int, int], given: Tensor | None, mask: Tensor | None, used: bool
    ) -> None:
        if given is None and not used:
            return
        found = "nothing" if given is None else str(tuple(given.shape))
        if given is None or tuple(given.shape) != shape or (mask is not None and tuple(mask.shape) != shape[:1]):
            raise ModelError(
                f"the features {name!r} do not fit the batch",
                expected=f"{shape}, and {shape[:1]} marks of what is present",
                found=found + ("" if mask is None else f", and {tuple(mask.shape)} marks"),
                remedy="make features and batch from the same genes (or compounds)",
            )


def _present(target: Tensor, mask: Tensor | None) -> Tensor:
    """Which targets have a row that holds something."""
    known = target >= 0
    return known if mask is None else known & mask.to(target.device)[target.clamp_min(0)]


def _softmax(score: Tensor, owner: Tensor, count: int) -> Tensor:
    """Softmax over the targets of each perturbation."""
    highest = score.new_full((count,), -torch.inf).scatter_reduce(0, owner, score.detach(), "amax")
    weight = (score - highest[owner]).exp()
    return weight / weight.new_zeros(count).index_add(0, owner, weight)[owner]


def _projection(width: int, hidden: int, out_feats: int, depth: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, out_feats), nn.LayerNorm(out_feats))


def _vector(width: int) -> nn.Parameter:
    """A learned vector; of the scale that the projections end with."""
    return nn.Parameter(torch.randn(width))


def _check(
    out_feats: int, hidden: int, depth: int, pooling: str, widths: Mapping[str, Mapping[str, int]], hide: float
) -> None:
    sizes = {"out_feats": out_feats, "hidden": hidden, "depth": depth} | dict(widths[GENE]) | dict(widths[COMPOUND])
    bad = {name: size for name, size in sizes.items() if size < 1}
    if bad:
        raise ConfigError(f"sizes of the perturbation encoder are not positive: {bad}", expected="1 or more")
    if not 0 <= hide < 1:
        raise ConfigError(f"a share of {hide} of the targets cannot be hidden", expected="0 or more, below 1")
    if pooling not in ("sum", "attention"):
        raise ConfigError(f"unknown pooling {pooling!r}", remedy=did_you_mean(pooling, ("sum", "attention")))
    if not widths[GENE] and not widths[COMPOUND]:
        raise ConfigError("the perturbation encoder has no features", expected="gene_features or compound_features")
    shared = sorted(widths[GENE].keys() & widths[COMPOUND].keys())
    if shared:
        raise ConfigError(
            f"{shared[0]!r} is a feature set of genes and one of compounds", remedy="give each set its own name"
        )
