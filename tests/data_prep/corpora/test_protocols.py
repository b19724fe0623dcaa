"""Protocols of the licensed corpora: from a tree on disk and a config file to folds that share no speaker."""

import logging

import pytest
from trees import iemocap, msp_improv, msp_podcast, podcast_rows

from data_prep.corpora.base import CorpusError
from data_prep.prepare import prepare
from jax_ser_darts.configs import iemocap as iemocap_config
from jax_ser_darts.configs import msp_improv as msp_improv_config
from jax_ser_darts.configs import msp_podcast as msp_podcast_config
from jax_ser_darts.data.folds import FoldError
from jax_ser_darts.data.records import load_records
from jax_ser_darts.experiment import set_up
from jax_ser_darts.settings import resolve
from jax_ser_darts.settings.convert import replaced

BOTH = {f"0{i}{sex}" for i in "12345" for sex in "FM"}
MAKE = {"iemocap": iemocap, "msp_improv": msp_improv, "msp_podcast": msp_podcast}
SMALL = {
    "data.workers": 1,
    "features.kind": "logmel",
    "features.coefficients": 8,
    "features.sampling_rate": 8_000,
    "features.n_fft": 512,
    "features.hop": 160,
    "folds.run": (),
}


@pytest.fixture(scope="session")
def trees(tmp_path_factory):
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in MAKE.items()}


def experiment(config, tree, folder, **data):
    """Prepares the tree, with features as small as they can be, and sets up every fold; `data` are settings of it."""
    data = {f"data.{name}": value for name, value in {**data, "source": str(tree)}.items()}
    settings = replaced(resolve(config), {**SMALL, **data})
    records = prepare(data=settings.data, features=settings.features, records=folder / "records")
    return set_up(settings, folder, load_records(records))


def speakers(experiment, groups):
    return {speaker for group in groups for speaker in experiment.corpus.groups[group]}


def check_disjoint(experiment):
    """No speaker is in two parts of a fold, nor in both halves of its search."""
    for fold in experiment.folds:
        test, validation, train = (speakers(experiment, p) for p in (fold.test, fold.validation, fold.train))
        assert test
        assert not test & validation
        assert not test & train
        assert not validation & train
        halves = [
            set(experiment.corpus.speaker[part.data.indices].tolist())
            for part in experiment.search_parts(fold)
        ]
        assert not halves[0] & halves[1]
        assert not (halves[0] | halves[1]) & test


def speakers_of_tests(experiment):
    return sorted(sorted(speakers(experiment, fold.test)) for fold in experiment.folds)


def sizes(experiment):
    corpus = experiment.corpus
    return {name: int((corpus.label == i).sum()) for i, name in enumerate(corpus.classes)}


@pytest.mark.parametrize(
    ("variant", "folds", "each", "happy"),
    [
        ("full", "session", 40, 80),
        ("paper", "session", 40, 80),
        ("quick,speakers", "speaker", 40, 80),
        ("full,improvised", "session", 20, 40),
        ("full,scripted,without_excited", "session", 20, 20),
        ("full,emodarts", "emodarts", 20, 20),
        ("paper,emodarts", "emodarts", 20, 20),
    ],
)
def test_iemocap(trees, tmp_path, variant, folds, each, happy):
    made = experiment(iemocap_config.get_config(variant), trees["iemocap"], tmp_path)
    assert sizes(made) == {"neutral": each, "happy": happy, "sad": each, "angry": each}
    assert (
        speakers_of_tests(made)
        == {
            "session": [[f"0{i}F", f"0{i}M"] for i in "12345"],
            "speaker": [[speaker] for speaker in sorted(BOTH)],
            "emodarts": [["01F", "05M"], ["01M", "02F"], ["02M", "03F"], ["03M", "04F"], ["04M", "05F"]],
        }[folds]
    )
    check_disjoint(made)
    for fold in made.folds:  # nobody is forgotten
        assert speakers(made, fold.test + fold.validation + fold.train) == BOTH


def test_emodarts_leaves_the_partner_in_training_and_drops_no_dialogue(trees, tmp_path):
    made = experiment(iemocap_config.get_config("full,emodarts"), trees["iemocap"], tmp_path)
    first = made.folds[0]
    assert first.test == ("speaker_01M", "speaker_02F")
    assert {"speaker_01F"} < set(first.train)
    dialogues = {name[:-5] for name in made.corpus.id.tolist()}
    assert dialogues == {f"Ses0{i}{sex}_impro01" for i in "12345" for sex in "FM"}


@pytest.mark.parametrize(
    ("variant", "changes", "folds", "count"),
    [
        ("full", {}, "session", {"angry": 96, "happy": 48, "neutral": 96, "sad": 48}),
        ("paper", {"group_by": "speaker"}, "speaker", {"angry": 96, "happy": 48, "neutral": 96, "sad": 48}),
        (
            "full",
            {"intended_emotion": True},
            "session",
            dict.fromkeys(("angry", "happy", "neutral", "sad"), 96),
        ),
        ("full", {"parts": ("P", "S")}, "session", {"angry": 48, "happy": 24, "neutral": 48, "sad": 24}),
        ("emodarts", {}, "emodarts", dict.fromkeys(("angry", "happy", "neutral", "sad"), 24)),
    ],
)
def test_msp_improv(trees, tmp_path, variant, changes, folds, count):
    made = experiment(msp_improv_config.get_config(variant), trees["msp_improv"], tmp_path, **changes)
    assert sizes(made) == count
    assert (
        speakers_of_tests(made)
        == {
            "session": [[f"F0{i}", f"M0{i}"] for i in "123456"],
            "emodarts": [[f"F0{i}", f"M0{i}"] for i in "1235"],
            "speaker": [[f"{sex}0{i}"] for sex in "FM" for i in "123456"],
        }[folds]
    )
    check_disjoint(made)


def test_msp_podcast_has_its_own_fold(trees, tmp_path):
    made = experiment(msp_podcast_config.get_config("full"), trees["msp_podcast"], tmp_path)
    (fold,) = made.folds
    assert speakers(made, fold.train) == {"1", "2", "3", "4", "unknown_train"}
    assert speakers(made, fold.validation) == {"5", "6", "unknown_validation"}
    assert speakers(made, fold.test) == {"7", "8", "unknown_test1"}
    check_disjoint(made)
    official = {row[0].removesuffix(".wav"): row[-1] for row in podcast_rows()}
    for groups, part in ((fold.train, "Train"), (fold.validation, "Development"), (fold.test, "Test1")):
        where = [group in groups for group in made.corpus.group.tolist()]
        assert {official[name] for name in made.corpus.id[where].tolist()} == {part}
    assert len(made.corpus) == 64


def test_msp_podcast_may_be_tested_on_another_part_or_on_several(trees, tmp_path):
    config = msp_podcast_config.get_config("quick")
    for parts, wanted in (
        (("train", "validation", "test2"), {"9", "unknown_test2"}),
        ((), {"7", "8", "9", "unknown_test1", "unknown_test2"}),
        (("train", "test2"), {"9", "unknown_test2"}),
    ):
        made = experiment(config, trees["msp_podcast"], tmp_path, parts=parts)
        assert speakers_of_tests(made) == [sorted(wanted)]
        assert speakers(made, made.folds[0].train) == {"1", "2", "3", "4", "unknown_train"}
        check_disjoint(made)


def test_a_known_speaker_in_two_parts_of_msp_podcast_is_an_error_that_names_them(tmp_path):
    rows = podcast_rows()
    rows[0][5], (row,) = "7", [row for row in rows if row[5] == "7"][:1]
    tree = msp_podcast(tmp_path / "tree", rows)
    with pytest.raises(CorpusError) as error:
        experiment(msp_podcast_config.get_config(), tree, tmp_path)
    assert "speaker 7 is in part test1: " in str(error.value)
    assert "speaker 7 is in part train: " in str(error.value)
    assert rows[0][0] in str(error.value)
    assert row[0] in str(error.value)
    assert "unknown" not in str(error.value)
    assert "mend the labels, or choose other parts of the corpus (data.parts):" in str(error.value)


def test_a_speaker_may_be_in_two_test_parts_of_msp_podcast(tmp_path):
    """As in the real corpus; each part may be tested, or both, and training uses none of their speakers."""
    rows = [[*row[:5], "7" if row[5] == "9" else row[5], *row[6:]] for row in podcast_rows()]
    tree = msp_podcast(tmp_path / "tree", rows)
    made = experiment(msp_podcast_config.get_config(), tree, tmp_path, parts=())
    assert speakers_of_tests(made) == [["7", "8", "unknown_test1", "unknown_test2"]]
    assert made.test_speakers == {"7", "8", "unknown_test1", "unknown_test2"}
    check_disjoint(made)
    tested = [made.corpus.group[i] in made.folds[0].test for i in range(len(made.corpus))]
    assert sum(tested) == sum(row[-1].startswith("Test") for row in rows)


@pytest.mark.parametrize("group_by", ["speaker", "session"])
def test_unknown_speakers_cannot_be_divided_in_another_way(trees, tmp_path, group_by):
    config = msp_podcast_config.get_config()
    with pytest.raises(
        CorpusError, match=rf"utterance\(s\) have no {group_by}.*take --config.data.group_by=part$"
    ):
        experiment(config, trees["msp_podcast"], tmp_path, group_by=group_by)


def test_parts_that_are_no_split_make_no_folds(trees, tmp_path):
    config, tree = iemocap_config.get_config(), trees["iemocap"]
    with pytest.raises(
        CorpusError, match=r"one part only.*take --config.data.group_by=speaker or .*=session:"
    ):
        experiment(config, tree, tmp_path, group_by="part")
    with pytest.raises(FoldError, match=r"own parts are \['improvised'\]; a fold of them needs train"):
        experiment(config, tree, tmp_path, group_by="part", parts=("improvised",))


@pytest.mark.parametrize("before", [False, True], ids=["made", "there already"])
def test_the_run_prints_the_counts_and_warns_of_those_that_were_not_published(
    trees, tmp_path, capsys, caplog, before
):
    if before:
        experiment(iemocap_config.get_config(), trees["iemocap"], tmp_path)
        capsys.readouterr()
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        experiment(iemocap_config.get_config(), trees["iemocap"], tmp_path)
    (message,) = [record.getMessage() for record in caplog.records if "published" in record.getMessage()]
    assert "happy: 80 here, 1636 published" in message
    assert "session 01: 40 here, 1085 published" in message
    assert "all: 200 here, 5531 published" in message
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for line in (
        "speaker angry happy neutral sad all",
        "01F 4 8 4 4 20",
        "session angry happy neutral sad all",
        "05 8 16 8 8 40",
        "part angry happy neutral sad all",
        "scripted 20 40 20 20 100",
    ):
        assert line.split() in lines
