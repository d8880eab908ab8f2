"""Errors a user can meet. Each says what was expected, what was found and what to do."""

import difflib
from collections.abc import Iterable


class GnnvcellError(Exception):
    """Base of every error that the library raises on purpose.

    Args:
        problem: one sentence that names the offending value.
        expected: what would have been right.
        found: what was there instead.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, *, expected: str = "", found: str = "", remedy: str = "") -> None:
        self.problem, self.expected, self.found, self.remedy = problem, expected, found, remedy
        parts = [problem]
        parts += [f"  {label}: {text}" for label, text in (("expected", expected), ("found", found)) if text]
        if remedy:
            parts.append(f"  what to do: {remedy}")
        super().__init__("\n".join(parts))


class ConfigError(GnnvcellError):
    """A configuration, recipe or command-line value cannot be used as it is."""


class FileFormatError(GnnvcellError):
    """A file is missing, damaged or not in the format its name promises."""


class MissingFileError(FileFormatError):
    """A file that is needed is not there."""


class DownloadError(GnnvcellError):
    """An official file could not be downloaded whole and unchanged."""


class EmptyGraphError(GnnvcellError):
    """A source or a relation has no edges left, so that a model would silently ignore it."""


class GraphIntegrityError(GnnvcellError):
    """A stored graph does not match its digest, or a graph changed after something was derived from it."""


class GeneError(GnnvcellError):
    """Genes are unknown, ambiguous or of another species."""


class PerturbationError(GnnvcellError):
    """A perturbation's name cannot be parsed, or its target cannot be used."""


class DataError(GnnvcellError):
    """Measured data (labels, cells, effects) is missing something or contradicts itself."""


class ModelError(GnnvcellError):
    """A model is used out of order, or with a graph or data it was not fitted for."""


class DependencyError(GnnvcellError):
    """A package that this function needs is missing or cannot be loaded."""


class GnnvcellWarning(UserWarning):
    """Something the user should look at: the result stands, but probably not for what it was meant for."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A sentence with the nearest valid names, or with all of them when there are few.

    Args:
        name: what the user wrote.
        valid: the names that would have been accepted.
    """
    options = sorted(str(option) for option in valid)
    by_case = {option.casefold(): option for option in options}
    near = [by_case[match] for match in difflib.get_close_matches(str(name).casefold(), by_case, n=3)]
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    if len(options) <= 20:
        return f"choose one of {', '.join(options) or '(none)'}"
    return f"choose one of {len(options)} names, for example {', '.join(options[:5])}"
