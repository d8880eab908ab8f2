"""What every call of an official scorer needs: the package, and its messages in a file instead of on the screen."""

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

from gnnvcell.errors import DataError, DependencyError, GnnvcellError
from gnnvcell.files import write_text


def require_scorer(module: str) -> ModuleType:
    """The module of an official scorer.

    Raises:
        DependencyError: its package is not installed, or does not load.
    """
    package = module.partition(".")[0].replace("_", "-")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"the official scorer {package} is not installed",
            found=str(error),
            remedy="pip install 'gnnvcell[eval]'",
        ) from error
    except ImportError as error:
        raise DependencyError(
            f"the official scorer {package} does not load",
            found=str(error),
            remedy="pip install --upgrade 'gnnvcell[eval]' in a fresh environment",
        ) from error


def scorer_version(package: str) -> str:
    """The installed version of a scorer's package."""
    return metadata.version(package)


@contextlib.contextmanager
def recorded(log: Path, scorer: str, *, remedy: str = "") -> Iterator[None]:
    """Keep what a scorer says (stdout, stderr, logging, warnings) in ``log``; what it refuses becomes a ``DataError``.

    The scorers draw progress bars that cannot be switched off and warn by the page; the file has it all.

    Args:
        log: file to write.
        scorer: its name and version, for the message.
        remedy: what to do when it refuses; its messages are named in any case.

    Raises:
        DataError: the scorer raised; its own message is in ``found``.
    """
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in ("cell_eval", "cell_eval2", "pdex")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    except GnnvcellError:
        raise
    except Exception as error:
        said.write(f"{type(error).__name__}: {error}\n")
        raise DataError(
            f"{scorer} refused the data",
            found=f"{type(error).__name__}: {error}",
            remedy="; ".join(part for part in (remedy, f"its own messages are in {log}") if part),
        ) from error
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        write_text(log, said.getvalue().replace("\r", "\n"))
