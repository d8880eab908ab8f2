"""The species of Reactome: the three letters in its stable identifiers, and what else people call them."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gnnvcell.errors import ConfigError, FileFormatError, did_you_mean

STABLE_ID = re.compile(r"R-([A-Z]{3})-\d+(?:\.\d+)?")


@dataclass(frozen=True)
class ReactomeSpecies:
    """One species: ``HSA``, ``Homo sapiens``, NCBI taxon 9606, ``human``."""

    code: str
    name: str
    taxon: int
    common: str

    def spelled(self) -> tuple[str, ...]:
        """Every way to write it, in lower case."""
        return (self.code.lower(), self.name.lower(), str(self.taxon), self.common)


SPECIES: tuple[ReactomeSpecies, ...] = tuple(
    ReactomeSpecies(*row)
    for row in (
        ("HSA", "Homo sapiens", 9606, "human"),
        ("MMU", "Mus musculus", 10090, "mouse"),
        ("RNO", "Rattus norvegicus", 10116, "rat"),
        ("BTA", "Bos taurus", 9913, "cow"),
        ("SSC", "Sus scrofa", 9823, "pig"),
        ("CFA", "Canis familiaris", 9615, "dog"),
        ("GGA", "Gallus gallus", 9031, "chicken"),
        ("XTR", "Xenopus tropicalis", 8364, "frog"),
        ("DRE", "Danio rerio", 7955, "zebrafish"),
        ("DME", "Drosophila melanogaster", 7227, "fly"),
        ("CEL", "Caenorhabditis elegans", 6239, "worm"),
        ("DDI", "Dictyostelium discoideum", 44689, "slime mold"),
        ("SCE", "Saccharomyces cerevisiae", 4932, "yeast"),
        ("SPO", "Schizosaccharomyces pombe", 4896, "fission yeast"),
        ("PFA", "Plasmodium falciparum", 5833, "malaria parasite"),
        ("MTU", "Mycobacterium tuberculosis", 1773, "tubercle bacillus"),
    )
)


def find_species(text: str | int) -> ReactomeSpecies:
    """The species that a name ("homo_sapiens", "Homo sapiens", "human"), code ("HSA") or taxon (9606) means.

    Raises:
        ConfigError: Reactome has no such species.
    """
    wanted = re.sub(r"[\s_]+", " ", str(text).strip().lower())
    for species in SPECIES:
        if wanted in species.spelled():
            return species
    names = [
        name
        for species in SPECIES
        for name in (species.name.lower().replace(" ", "_"), species.code, str(species.taxon))
    ]
    raise ConfigError(f"reactome has no species {text!r}", remedy=did_you_mean(wanted.replace(" ", "_"), names))


def species_code(stable_id: str) -> str:
    """``HSA`` of ``R-HSA-109581`` or ``R-HSA-109581.2``; "" for anything else."""
    match = STABLE_ID.fullmatch(stable_id)
    return match.group(1) if match else ""


def require_species(path: object, species: ReactomeSpecies, codes: Iterable[str]) -> None:
    """Refuse a file that has nothing of a species.

    Raises:
        FileFormatError: naming the species that it has.
    """
    counts = Counter(codes)
    if counts[species.code]:
        return
    known = {one.code: one.name for one in SPECIES}
    found = ", ".join(f"{known.get(code, code)} ({n:,})" for code, n in counts.most_common(6) if code)
    raise FileFormatError(
        f"{path} has no pathways of {species.name}",
        expected=f"stable identifiers R-{species.code}-...",
        found=found or "no stable identifiers",
        remedy="set species to one of these, or give the file of the other species",
    )
