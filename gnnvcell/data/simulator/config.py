"""Every knob of the planted world, with its unit."""

from pydantic import Field, model_validator

from gnnvcell.config import Config
from gnnvcell.errors import ConfigError


class KnowledgeConfig(Config):
    """How the databases see the planted world: what they miss, what they make up, and whom they favour.

    Args:
        missed_edges: share of true interactions that STRING does not have, before the hub bias.
        false_edges: made-up STRING interactions, as a share of the true ones that it has.
        hub_bias: exponent of a gene's popularity in what is known of it; 0 treats all genes alike. Popular genes lose
            fewer true interactions and gain most false ones, as well-studied genes do.
        missed_annotations: share of true GO annotations and pathway memberships that are missing, before the hub bias.
        false_annotations: wrong annotations, as a share of the true ones.
        isolated: share of genes that no database knows anything about, apart from their name.
        embedding_noise: standard deviation of the noise in the scGPT-like gene embeddings, whose signal has unit
            variance per dimension.
        embedding_neighbours: neighbours of each gene in the scGPT-like edge table.
        traps: whether the files hold what real ones hold and readers stumble over: previous symbols, accessions in a
            symbol column, NOT annotations, obsolete and alternative terms, other species, proteins without a gene.
    """

    missed_edges: float = Field(default=0.35, ge=0, lt=1)
    false_edges: float = Field(default=0.35, ge=0)
    hub_bias: float = Field(default=0.5, ge=0)
    missed_annotations: float = Field(default=0.25, ge=0, lt=1)
    false_annotations: float = Field(default=0.15, ge=0)
    isolated: float = Field(default=0.06, ge=0, lt=1)
    embedding_noise: float = Field(default=1.5, ge=0)
    embedding_neighbours: int = Field(default=10, ge=1)
    traps: bool = True


class SimulatorConfig(Config):
    """The planted world's size, wiring and measurement. The same configuration gives the same bits.

    Args:
        seed: seed of everything random. Each part of the world has its own stream, so a knob of the measurement does
            not change the wiring.
        line: name of the simulated cell line.
        genes: number of genes, all of them read out.
        modules: number of modules; every gene is in one.
        complexes_per_module: sets of genes in a module that act together.
        hubs_per_module: regulators in a module, which the module's complexes act on.
        hub_regulation: mean number of genes that a hub regulates; the numbers are heavy-tailed.
        complex_regulation: mean number of genes that a complex regulates beside hubs.
        own_regulation: mean number of genes that a gene regulates by itself, unlike its complex.
        gain: largest total effect that one round of regulation may pass on, in (0, 1): below 1 the steady state exists.
        saturation: largest log fold change of a gene that was not knocked down (natural log).
        targets: number of genes knocked down.
        null_targets: share of the targets that regulate nothing, so that only they themselves change.
        residual: mean expression left after a knock-down, as a share of the control (CRISPRi leaves some).
        cells_per_target: cells of each knock-down.
        control_cells: cells with a non-targeting guide.
        batches: sequencing batches; controls and knock-downs are spread over all of them.
        batch_effect: standard deviation of a gene's batch effect (natural log).
        program_noise: standard deviation of a module's activity between unperturbed cells (natural log); it is what
            makes genes of a module co-expressed.
        dispersion: negative-binomial dispersion (variance = mean + dispersion * mean^2).
        mean_depth: mean total count of a cell.
        depth_spread: standard deviation of the log of a cell's total count.
        fdr: Benjamini-Hochberg level below which a gene is called differentially expressed.
        test_share: share of the knock-downs that are held out as test perturbations.
        knowledge: how the databases see the world.
    """

    seed: int = Field(default=0, ge=0)
    line: str = Field(default="sim", min_length=1, pattern=r"^[A-Za-z0-9_]+$")
    genes: int = Field(default=600, ge=40, le=9999)
    modules: int = Field(default=24, ge=2)
    complexes_per_module: int = Field(default=3, ge=1)
    hubs_per_module: int = Field(default=2, ge=1)
    hub_regulation: float = Field(default=40.0, gt=0)
    complex_regulation: float = Field(default=15.0, ge=0)
    own_regulation: float = Field(default=2.0, ge=0)
    gain: float = Field(default=0.6, gt=0, lt=1)
    saturation: float = Field(default=1.5, gt=0)
    targets: int = Field(default=300, ge=4)
    null_targets: float = Field(default=0.1, ge=0, lt=1)
    residual: float = Field(default=0.2, gt=0, lt=1)
    cells_per_target: int = Field(default=40, ge=5)
    control_cells: int = Field(default=1500, ge=20)
    batches: int = Field(default=3, ge=1)
    batch_effect: float = Field(default=0.1, ge=0)
    program_noise: float = Field(default=0.15, ge=0)
    dispersion: float = Field(default=0.1, gt=0)
    mean_depth: float = Field(default=6000.0, gt=0)
    depth_spread: float = Field(default=0.35, ge=0)
    fdr: float = Field(default=0.05, gt=0, lt=1)
    test_share: float = Field(default=0.25, gt=0, lt=1)
    knowledge: KnowledgeConfig = KnowledgeConfig()

    @model_validator(mode="after")
    def _sizes_fit(self) -> "SimulatorConfig":
        needed = 3 * self.complexes_per_module + self.hubs_per_module
        if self.genes // self.modules < needed:
            raise ConfigError(
                f"the modules are too small: {self.genes} genes in {self.modules} modules",
                expected=f"at least {needed} genes a module: three per complex, and {self.hubs_per_module} hubs",
                remedy="more genes, fewer modules, or fewer complexes_per_module",
            )
        if self.targets > self.genes:
            raise ConfigError(
                f"more targets than genes: targets={self.targets}, genes={self.genes}", remedy="lower targets"
            )
        if not 1 <= round(self.targets * self.test_share) < self.targets:
            raise ConfigError(
                f"test_share={self.test_share} of {self.targets} targets leaves nothing to test or to train on",
                remedy="choose a share that holds out at least one target and not all",
            )
        if self.knowledge.embedding_neighbours >= self.genes:
            raise ConfigError(
                f"knowledge.embedding_neighbours={self.knowledge.embedding_neighbours} with {self.genes} genes",
                expected="fewer neighbours than genes",
            )
        return self

    @classmethod
    def example(cls) -> "SimulatorConfig":
        """The small world of ``graphs/example`` and of the demo."""
        return cls(genes=300, modules=10, targets=150, control_cells=1000, test_share=0.3)
