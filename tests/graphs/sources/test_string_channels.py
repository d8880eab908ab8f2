import pytest

from gnnvcell.errors import ConfigError, FileFormatError
from gnnvcell.graphs.sources._string_channels import CHANNELS
from gnnvcell.graphs.sources.string_db import String
from gnnvcell.testing.string_files import DETAILED, FULL, A, B, C, links, pairs, read, scores

# Lines of the published human and yeast files, with the combined score STRING gives them.
PUBLISHED_FULL = {
    "0 0 0 0 0 0 54 0 0 0 0 103 85": 155,  # 11.5
    "0 0 0 0 0 0 0 0 180 0 0 0 61": 197,
    "0 0 0 0 0 0 62 0 152 0 0 0 101": 222,
    "0 0 0 0 0 60 63 0 213 0 0 0 72": 270,
    "0 0 0 527 989 912 0 652 0 900 0 923 0": 996,  # 10.5: nothing but homology correction gives 996
    "0 321 0 403 0 0 409 41 668 0 517 349 295": 977,
}


def test_published_scores_are_reproduced(tmp_path):
    ids = [f"9606.Q{i}" for i in range(len(PUBLISHED_FULL))]
    rows = [f"{A} {p} {s} {c}" for p, (s, c) in zip(ids, PUBLISHED_FULL.items(), strict=True)]
    links(tmp_path, rows, header=FULL, name="9606.protein.links.full.v11.5.txt.gz")
    reading = read(
        tmp_path,
        confidence=0.1,
        channels=CHANNELS,
    )
    assert scores(reading) == list(PUBLISHED_FULL.values())
    assert any("for 100.00% of the lines" in note for note in reading.notes)
    assert any("homology correction applied (measured, 2 lines)" in note for note in reading.notes)


def test_recombination_by_hand(tmp_path):
    # experiments 621, text mining 585, p = 0.041: the worked example of STRING's help page.
    links(
        tmp_path, [f"{A} {B} 0 0 0 800 621 0 585 968"], header=DETAILED, name="9606.protein.links.detailed.v12.0.txt.gz"
    )
    experiments, text = (0.621 - 0.041) / 0.959, (0.585 - 0.041) / 0.959
    total = 1 - (1 - experiments) * (1 - text)
    expected = int(1000 * (total + 0.041 * (1 - total)))
    assert expected == 835
    assert scores(read(tmp_path, channels=["experiments", "textmining"])) == [expected]
    assert scores(read(tmp_path, exclude_channels=["coexpression"])) == [expected]
    assert scores(read(tmp_path, exclude_channels=["coexpression", "textmining"], confidence=0.6)) == [621]
    assert scores(read(tmp_path)) == [968]


def test_a_single_channel_at_the_threshold_is_kept(tmp_path):
    # In binary, (0.9 - p) / (1 - p) * (1 - p) + p is a little less than 0.9.
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 900 0 900"], header=DETAILED, name="9606.protein.links.detailed.txt")
    assert scores(read(tmp_path, channels=["database"], confidence=0.9)) == [900]


def test_scores_below_the_prior_count_as_nothing(tmp_path):
    links(tmp_path, [f"{A} {B} 40 30 20 0 700 0 0 700"], header=DETAILED, name="9606.protein.links.detailed.txt")
    assert scores(read(tmp_path, channels=["experiments", "neighborhood", "fusion", "cooccurrence"])) == [700]


def test_left_out_channels_take_edges_away(tmp_path):
    rows = [f"{A} {B} 0 0 0 0 0 0 900 900", f"{A} {C} 0 0 0 850 0 0 0 850", f"{B} {C} 0 0 0 0 800 0 0 800"]
    links(tmp_path, rows, header=DETAILED, name="9606.protein.links.detailed.txt.gz")
    assert len(read(tmp_path).tables[0]) == 3
    reading = read(tmp_path, exclude_channels=["coexpression", "textmining"])
    assert scores(reading) == [800]
    assert reading.notes[0] == "score recombined from neighborhood, fusion, cooccurrence, experiments, database"


def test_transferred_evidence_can_be_left_out(tmp_path):
    links(
        tmp_path,
        [f"{A} {B} 0 0 0 0 0 0 0 300 800 0 0 0 0 854"],
        header=FULL,
        name="9606.protein.links.full.v12.0.txt.gz",
    )
    assert scores(read(tmp_path, channels=["experiments"])) == [854]
    assert scores(read(tmp_path, channels=["experiments_transferred"])) == [800]
    assert scores(
        read(tmp_path, channels=["experiments"], exclude_channels=["experiments_transferred"], confidence=0.2)
    ) == [300]


HOMOLOGOUS = f"{A} {B} 0 0 0 600 500 0 0 0 0 0 0 800 0"


@pytest.mark.parametrize(("published", "word"), [("589", "applied"), ("916", "not applied")])
def test_homology_rule_is_measured_on_the_file(tmp_path, published, word):
    links(tmp_path, [f"{HOMOLOGOUS} {published}"], header=FULL, name="9606.protein.links.full.txt")
    occurrence, text = (0.6 - 0.041) / 0.959, (0.8 - 0.041) / 0.959
    scale = 0.5 if word == "applied" else 1.0
    by_hand = (1 - (1 - scale * occurrence) * (1 - scale * text)) * 0.959 + 0.041
    assert int(published) == int(by_hand * 1000)
    reading = read(tmp_path, channels=["cooccurrence", "textmining"], confidence=0.5)
    assert scores(reading) == [int(published)]
    assert f"homology correction {word} (measured, 2 lines)" in reading.notes


def test_a_file_that_contradicts_its_channels_is_noted(tmp_path):
    rows = [f"{A} {B} 0 0 0 0 800 0 0 500", f"{A} {C} 0 0 0 0 800 0 0 800"]
    links(tmp_path, rows, header=DETAILED, name="9606.protein.links.detailed.txt")
    reading = read(tmp_path, channels=["experiments"])
    assert scores(reading) == [800, 800]
    assert any("for 50.00% of the lines; by STRING's rule" in note for note in reading.notes)


def test_homology_rule_can_be_set(tmp_path):
    links(tmp_path, [f"{HOMOLOGOUS} 589"], header=FULL, name="9606.protein.links.full.txt")
    assert scores(read(tmp_path, channels=["textmining"], confidence=0.3)) == [
        int(1000 * ((0.8 - 0.041) * 0.5 + 0.041))
    ]
    assert scores(read(tmp_path, channels=["textmining"], homology_correction="never")) == [800]
    assert scores(read(tmp_path, homology_correction="never")) == [916]
    assert scores(read(tmp_path, homology_correction="always", confidence=0.5)) == [589]


def test_homology_correction_needs_homology(tmp_path):
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 0 900 900"], header=DETAILED, name="9606.protein.links.detailed.txt")
    with pytest.raises(FileFormatError, match=r"download 9606\.protein\.links\.full\.txt\.gz"):
        read(tmp_path, homology_correction="always")
    with pytest.raises(FileFormatError, match="homology_correction"):
        read(tmp_path, homology_correction="always", links_file="9606.protein.links.detailed.txt")


def test_channels_need_detailed_or_full(tmp_path):
    path = links(tmp_path, [f"{A} {B} 900"])
    with pytest.raises(
        FileFormatError, match=r"9606\.protein\.links\.full\.txt\.gz or 9606\.protein\.links\.detailed"
    ) as caught:
        read(tmp_path, exclude_channels=["textmining"])
    assert path.name in str(caught.value)
    with pytest.raises(FileFormatError, match="does not have the channels apart that"):
        read(tmp_path, exclude_channels=["textmining"], links_file=str(path))


def test_transferred_channels_need_full(tmp_path):
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 0 900 900"], header=DETAILED, name="9606.protein.links.detailed.txt")
    with pytest.raises(FileFormatError, match=r"protein\.links\.full"):
        read(tmp_path, exclude_channels=["textmining_transferred"])
    with pytest.raises(FileFormatError, match=r"expected: protein\.links\.full\n"):
        read(tmp_path, exclude_channels=["textmining_transferred"], links_file="9606.protein.links.detailed.txt")


def test_full_goes_before_detailed_for_channels_and_links_before_both_without(tmp_path):
    links(tmp_path, [f"{A} {B} 901"])
    links(tmp_path, [f"{A} {B} 0 0 0 0 0 902 0 902"], header=DETAILED, name="9606.protein.links.detailed.v12.0.txt.gz")
    links(
        tmp_path, [f"{A} {B} 0 0 0 0 0 0 0 0 0 903 0 0 0 903"], header=FULL, name="9606.protein.links.full.v12.0.txt.gz"
    )
    assert scores(read(tmp_path)) == [901]
    assert scores(read(tmp_path, channels=["database"])) == [903]


def test_physical_network(tmp_path):
    header = "protein1 protein2 experimental database textmining combined_score"
    links(tmp_path, [f"{A} {B} 900"])
    links(tmp_path, [f"{A} {C} 312 0 800 850"], header=header, name="9606.protein.physical.links.detailed.v12.0.txt.gz")
    assert pairs(read(tmp_path)).keys() == {("ENSP00000000001", "ENSP00000000002")}
    assert pairs(read(tmp_path, network="physical")).keys() == {("ENSP00000000001", "ENSP00000000003")}
    assert scores(read(tmp_path, network="physical", channels=["experiments"], confidence=0.3)) == [312]
    with pytest.raises(FileFormatError, match="no channel 'coexpression'"):
        read(tmp_path, network="physical", channels=["coexpression"])


@pytest.mark.parametrize("settings", [{"channels": []}, {"channels": ["fusion"], "exclude_channels": ["fusion"]}])
def test_no_channel_left(tmp_path, settings):
    with pytest.raises(ConfigError, match="no STRING channel is left"):
        read(tmp_path, **settings)


@pytest.mark.parametrize("settings", [{"channels": ["textmning"]}, {"exclude_channels": ["textmning"]}])
def test_unknown_channel(settings):
    with pytest.raises(ConfigError, match="did you mean 'textmining'"):
        String.parse(settings)


def test_strings_own_spellings_are_accepted():
    assert String.parse({"channels": ["experimental", "cooccurence"]}).channels == ("experiments", "cooccurrence")
