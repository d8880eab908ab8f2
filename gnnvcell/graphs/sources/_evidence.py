"""GO evidence codes: the groups people filter by, and the ECO terms that GPAD writes instead of them."""

from collections.abc import Iterable

from gnnvcell.errors import ConfigError, did_you_mean

# https://geneontology.org/docs/guide-go-evidence-codes/
GROUPS: dict[str, tuple[str, ...]] = {
    "experimental": ("EXP", "IDA", "IPI", "IMP", "IGI", "IEP", "HTP", "HDA", "HMP", "HGI", "HEP"),
    "high_throughput": ("HTP", "HDA", "HMP", "HGI", "HEP"),
    "phylogenetic": ("IBA", "IBD", "IKR", "IMR", "IRD"),
    "computational": ("ISS", "ISO", "ISA", "ISM", "IGC", "RCA"),
    "author": ("TAS", "NAS"),
    "curator": ("IC", "ND"),
    "electronic": ("IEA",),
    # What was learned by perturbing the gene or watching its expression: leave it out where a benchmark asks just that.
    "perturbation_derived": ("IMP", "IGI", "IEP", "HMP", "HGI", "HEP"),
}
CODES: frozenset[str] = frozenset(code for group in GROUPS.values() for code in group) | {"NR"}

# The default and the commonly used specific terms of the consortium's gaf-eco-mapping.txt.
ECO: dict[str, str] = {
    "ECO:0000269": "EXP",
    "ECO:0000314": "IDA",
    "ECO:0000353": "IPI",
    "ECO:0000021": "IPI",
    "ECO:0000315": "IMP",
    "ECO:0000316": "IGI",
    "ECO:0000270": "IEP",
    "ECO:0006056": "HTP",
    "ECO:0007005": "HDA",
    "ECO:0007001": "HMP",
    "ECO:0007003": "HGI",
    "ECO:0007007": "HEP",
    "ECO:0000318": "IBA",
    "ECO:0000319": "IBD",
    "ECO:0000320": "IKR",
    "ECO:0000321": "IRD",
    "ECO:0000250": "ISS",
    "ECO:0000031": "ISS",
    "ECO:0000266": "ISO",
    "ECO:0000247": "ISA",
    "ECO:0000255": "ISM",
    "ECO:0000317": "IGC",
    "ECO:0000354": "IGC",
    "ECO:0000245": "RCA",
    "ECO:0000304": "TAS",
    "ECO:0000303": "NAS",
    "ECO:0000305": "IC",
    "ECO:0000307": "ND",
    "ECO:0000501": "IEA",
    "ECO:0007669": "IEA",
    "ECO:0000256": "IEA",
    "ECO:0000259": "IEA",
    "ECO:0000265": "IEA",
    "ECO:0000249": "IEA",
    "ECO:0000363": "IEA",
    "ECO:0007322": "IEA",
    "ECO:0000037": "NR",
}


def expand(names: Iterable[str]) -> frozenset[str]:
    """The evidence codes that a list of codes and groups stands for.

    Raises:
        ConfigError: a name that is neither a code nor a group.
    """
    codes: set[str] = set()
    for name in names:
        if name.lower() in GROUPS:
            codes.update(GROUPS[name.lower()])
        elif name.upper() in CODES:
            codes.add(name.upper())
        else:
            raise ConfigError(
                f"{name!r} is no GO evidence code and no group of them", remedy=did_you_mean(name, [*CODES, *GROUPS])
            )
    return frozenset(codes)
