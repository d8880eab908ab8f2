import pytest

from gnnvcell.bench.suite_config import LabelTaskConfig, SuiteConfig, read_suite
from gnnvcell.errors import ConfigError, MissingFileError

MINIMAL = """
models = ["smoother", "knn"]
seeds = 2

[tasks.sim]
labels = "labels"
lines = ["sim"]

[graphs.mini]
saved = "mini"
parts = ["all", "each"]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(MINIMAL)
    return path


def test_settings_and_what_is_left_out(file) -> None:
    config = read_suite(file, ["seeds=3", "models.far.name=smoother", "models.far.power=1.5"])
    assert config.seeds == 3
    assert config.controls == ("rewired", "permuted")
    assert config.tasks == {"sim": LabelTaskConfig(labels="labels", lines=("sim",), kinds=("de", "dir"))}
    assert [(one.parts, one.controls, one.models) for one in config.selections("mini")] == [
        ("all", ("rewired", "permuted"), None),
        ("each", ("rewired", "permuted"), None),
    ]


def test_a_model_under_two_labels(file) -> None:
    values = {
        **read_suite(file).model_dump(mode="json"),
        "models": {"near": {"name": "smoother", "power": 4.0}, "knn": {}},
    }
    chosen = SuiteConfig.parse(values).check().chosen()
    assert (chosen["near"].name, chosen["near"].config.power) == ("smoother", 4.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seeds=0"], "bad value for 'seeds'"),
        (["seeds=[]"], "bad value for 'seeds'"),
        (["seads=3"], "has no setting 'seads'\n.*'seeds'"),
        (["models=[]"], "bad value for 'models'"),
        (["models=[\"smother\"]"], "unknown model 'smother'\n.*'smoother'"),
        (["models.knn.q=3", "models.smoother.power=2"], "models.*bad value|has no setting 'q'"),
        (["controls=[\"rewire\"]"], "unknown control graph 'rewire'\n.*'rewired'"),
        (["graphs.mini.parts.each.controls=[\"shuffled\"]"], "is not a table"),
        (["graphs.mini.parts=[\"eech\"]"], "bad value for 'graphs.mini.parts.eech"),
        (["graphs.mini.parts=[]"], "bad value for 'graphs.mini.parts'"),
        (["graphs.mini.recipe=r.toml"], "either saved .* or recipe"),
        (["graphs.mini.source_dir=raw"], "source_dir and settings belong to a recipe"),
        (["graphs={}"], "bad value for 'graphs'"),
        (["tasks={}"], "bad value for 'tasks'"),
        (["tasks.sim.lines=[]"], "tasks.sim: bad value for 'lines'"),
        (["tasks.sim.kinds=[\"up\"]"], "tasks.sim: bad value for 'kinds.0'"),
        (["tasks.sim.cells=x.h5ad"], "tasks.sim has no setting 'labels'"),
        (["tasks.sim={lines = [\"sim\"]}"], "tasks.sim needs the setting 'labels'"),
        (["tasks.sim={cells = \"x.h5ad\", held_out = {protocol = \"pairs\"}}"], "bad value for 'held_out.protocol'"),
        (["models={additive = {}}"], "'additive' cannot do the task 'sim'.*de, direction.*additive learns from delta"),
        (["models={state_transition = {}}"], "'state_transition' cannot do the task 'sim'"),
        (["tasks.sim.models=[\"ridge\"]"], "tasks.sim.models names 'ridge', which is no model here"),
        (["tasks.sim.label=a/b"], "tasks.sim: bad value for 'label'"),
        (["tune.trials=0", "tune.space={}"], "bad value for 'tune.trials'"),
        (["tune.trials=2", "tune.space.knn.k=[1, 2]"], "the model 'smoother' has no space to tune in"),
        (["tune.trials=2", "tune.space={knn = {}, smoother = {power = [-1.0]}}"], "tune.space.smoother: bad value"),
        (["tune.trials=2", "tune.space={knn = {k = 1}, smoother = {}}"], "tune.space.knn.k is no list of values"),
        (["tune.trials=2", "tune.space={knn = {}, smoother = {}, ridge = {}}"], "tune.space names 'ridge'"),
    ],
)  # fmt: skip
def test_bad_settings_are_named(file, overrides, message) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        read_suite(file, overrides)


def test_models_of_parts_and_names_of_graphs(file) -> None:
    file.write_text(MINIMAL.replace('parts = ["all", "each"]', '[graphs.mini.parts.each]\nmodels = ["kmm"]'))
    with pytest.raises(ConfigError, match=r"graphs\.mini\.parts\.each\.models names 'kmm'.*\n.*knn"):
        read_suite(file)
    file.write_text(MINIMAL.replace("[graphs.mini]", '[graphs."a/b"]'))
    with pytest.raises(ConfigError, match="'a/b' cannot be a name"):
        read_suite(file)
    with pytest.raises(MissingFileError, match="no file"):
        read_suite(file.with_name("rum.toml"))
