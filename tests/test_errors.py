import inspect
import pickle

import pytest

from gnnvcell import errors
from gnnvcell.errors import ConfigError, GnnvcellError, did_you_mean


def test_the_message_has_the_problem_and_what_is_given() -> None:
    error = ConfigError("bad x", expected="1", found="2", remedy="write 1")
    assert str(error) == "bad x\n  expected: 1\n  found: 2\n  what to do: write 1"
    assert (error.problem, error.expected, error.found, error.remedy) == ("bad x", "1", "2", "write 1")
    assert str(GnnvcellError("bad y")) == "bad y"


def test_errors_survive_other_processes() -> None:
    error = ConfigError("bad x", expected="1", found="2", remedy="write 1")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is ConfigError
    assert str(again) == str(error)
    assert again.remedy == "write 1"


def test_every_error_of_the_library_has_the_one_base() -> None:
    classes = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, Exception)]
    raised = [item for item in classes if not issubclass(item, Warning)]
    assert len(raised) > 8
    assert all(issubclass(item, GnnvcellError) for item in raised)


@pytest.mark.parametrize(
    ("name", "valid", "sentence"),
    [
        ("confidense", ["confidence", "channels", "top_k"], "did you mean 'confidence'?"),
        ("KNN", ["knn", "smoother"], "did you mean 'knn'?"),
        ("zzz", ["b", "a"], "choose one of a, b"),
        ("zzz", [], "choose one of (none)"),
        (
            "zzz",
            [f"name{i}" for i in range(30)],
            "choose one of 30 names, for example name0, name1, name10, name11, name12",
        ),
    ],
)
def test_did_you_mean(name, valid, sentence) -> None:
    assert did_you_mean(name, valid) == sentence
