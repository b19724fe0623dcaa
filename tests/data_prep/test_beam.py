"""Apache Beam: the same records as without it, whatever the workers; bad files named; nothing left by a failure."""

import dataclasses
import importlib.util
import json
import pathlib
import re

import numpy as np
import pytest
from absl import flags
from small_corpus import FEATURES, configured, contents, edit_manifest, published, read, spoil

from data_prep import beam, builder, compute, sums
from data_prep.beam import Beam, BeamError
from data_prep.corpora.base import BadFilesError
from data_prep.duplicates import DuplicatesError
from data_prep.facts import Facts
from data_prep.features import SettingsError
from data_prep.prepare import prepare
from data_prep.provenance import VERSION

FACTS = [0] * len(dataclasses.fields(Facts))
HERE = Beam("DirectRunner", "--direct_num_workers=1")
PROCESSES = Beam("DirectRunner", "--direct_running_mode=multi_processing --direct_num_workers=3")
THREADS = Beam("DirectRunner", "--direct_running_mode=multi_threading --direct_num_workers=3")


@pytest.fixture
def installed():
    pytest.importorskip(
        "apache_beam", reason="Apache Beam is absent: pip install -e '.[beam]', in its own environment"
    )


def assert_same(one: pathlib.Path, other: pathlib.Path) -> None:
    """The same files, splits, ids in the same order, and numbers bit by bit.

    All but the records and their checksums are the same byte by byte: the fields of a record come in an order that each
    process draws anew.
    """
    mine, theirs = contents(one), contents(other)
    assert mine.keys() == theirs.keys()
    for name, content in mine.items():
        written_alike = ".tfrecord" in name or name == sums.FILE_NAME
        assert content == theirs[name] or (written_alike and len(content) == len(theirs[name])), name
    mine, theirs = read(one), read(other)
    assert mine.keys() == theirs.keys()
    for split, examples in mine.items():
        for example, same in zip(examples, theirs[split], strict=True):
            assert example.keys() == same.keys()
            for field, value in example.items():
                np.testing.assert_array_equal(value, same[field])


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("default")  # Beam's own
@pytest.mark.parametrize("workers", [HERE, THREADS, PROCESSES], ids=["one", "threads", "processes"])
def test_the_records_are_those_of_one_machine(corpus, tmp_path, monkeypatch, workers):
    arguments = {"data": configured(corpus), "features": FEATURES}
    alone = prepare(**arguments, records=tmp_path / "alone")
    beamed = prepare(**arguments, records=tmp_path / "beamed", beam=workers)
    assert beamed.relative_to(tmp_path / "beamed") == alone.relative_to(tmp_path / "alone")
    assert_same(beamed, alone)
    assert [path.name for path in beamed.parent.iterdir() if path.name != ".lock"] == [VERSION]

    monkeypatch.delattr(compute, "compute_one")  # and each takes what the other has made as done
    assert prepare(**arguments, records=tmp_path / "beamed") == beamed
    assert prepare(**arguments, records=tmp_path / "alone", beam=workers) == alone


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("default")
def test_all_bad_files_are_named_or_left_out_as_on_one_machine(corpus, tmp_path):
    spoil(corpus)
    for path in corpus.glob("a 1_*.wav"):  # a speaker without one good file
        path.write_bytes(b"")
    edit_manifest(corpus, "b_sorrow_2.wav,b,", "b_sorrow_2.wav,,")  # and a bad row
    told = []
    for how, workers in (("alone", None), ("beamed", HERE)):
        arguments = {"features": FEATURES, "records": tmp_path / how, "beam": workers}
        with pytest.raises(BadFilesError) as error:
            prepare(data=configured(corpus), **arguments)
        assert not published(tmp_path / how)
        folder = prepare(data=configured(corpus, on_bad_file="skip"), **arguments)
        told.append((str(error.value).replace(f"/{how}/", "/"), folder))
    assert told[0][0] == told[1][0]
    assert_same(told[0][1], told[1][1])
    assert len(json.loads((told[1][1] / builder.BAD_FILES).read_text())) > 6


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("default")
def test_copies_are_left_out_or_refused_as_on_one_machine(corpus, tmp_path):
    (corpus / "b_rage_2.wav").write_bytes((corpus / "b_anger_1.wav").read_bytes())  # the same class
    records = {
        how: prepare(data=configured(corpus), features=FEATURES, records=tmp_path / how, beam=workers)
        for how, workers in (("alone", None), ("beamed", HERE))
    }
    assert_same(records["beamed"], records["alone"])
    assert sum(map(len, read(records["beamed"]).values())) == 17
    for path in corpus.glob("b_*.wav"):  # a speaker who is all copies of another
        path.write_bytes((corpus / "a-1_anger_1.wav").read_bytes())
    with pytest.raises(DuplicatesError):
        prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "refused", beam=HERE)
    assert not published(tmp_path / "refused")
    one = {"data": configured(corpus, on_duplicate="keep_one"), "features": FEATURES}
    folder = prepare(**one, records=tmp_path / "one", beam=HERE)
    assert_same(folder, prepare(**one, records=tmp_path / "one_alone"))
    assert "speaker_b" not in read(folder)


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("default")
def test_a_pipeline_that_fails_is_told_and_leaves_nothing(corpus, tmp_path, monkeypatch):
    def failing(*_):
        raise RuntimeError("the worker lost its way")

    arguments = {"data": configured(corpus), "features": FEATURES, "records": tmp_path / "records"}
    with monkeypatch.context() as patch:
        patch.setattr(beam.compute, "compute_one", failing)
        with pytest.raises(BeamError, match=r"DirectRunner failed.*lost its way"):
            prepare(**arguments, beam=HERE)
    assert not published(tmp_path / "records")
    prepare(**arguments, beam=HERE)


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--direct_num_workers=x", "argument --direct_num_workers: invalid int value: 'x'"),
        ("--direct_running_mode=fast", "argument --direct_running_mode: invalid choice: 'fast'"),
        ("--direct_num_wrkers=4", "knows no --direct_num_wrkers=4; is it --direct_num_workers?"),
        ("--direct_num_wrkers 4", "knows no --direct_num_wrkers; is it --direct_num_workers?"),
        ("direct_num_workers=4", "knows no direct_num_workers=4; is it --direct_num_workers?"),
        ("--zzz", "knows no --zzz; options begin with --"),
        ("--direct_num_workers='4", "No closing quotation"),
        ("--help", "does not take them"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_computed(
    corpus, tmp_path, monkeypatch, options, reason
):
    monkeypatch.delattr(compute, "compute_one")
    with pytest.raises(BeamError, match=re.escape(reason)) as error:
        prepare(
            data=configured(corpus),
            features=FEATURES,
            records=tmp_path / "records",
            beam=Beam("DirectRunner", options),
        )
    assert error.match(re.escape(f"--beam_options={options}: "))
    assert not published(tmp_path / "records")


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("default")
def test_options_that_a_job_server_may_know_are_left_to_it():
    beam._options(Beam("FlinkRunner", "--parallelism=2 --state_backend filesystem"))
    with pytest.raises(BeamError, match="knows no --state_backend"):
        beam._options(Beam("DataflowRunner", "--state_backend filesystem"))


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("default")
def test_impossible_features_are_told_as_such(corpus, tmp_path):
    features = dataclasses.replace(FEATURES, n_fft=128, n_mels=100)
    with pytest.raises(SettingsError, match="mel bands hold no frequency"):
        prepare(data=configured(corpus), features=features, records=tmp_path / "records", beam=HERE)


@pytest.mark.parametrize(
    ("reports", "message"),
    [
        ([], "only 0 . 0 of 2 utterances came back"),
        ([{"split": "s", "folder": "/nowhere", "good": [[0, 1.0, 5, "d", FACTS]]}], "only 1 . 0 of 2"),
        ([{"bad": [0, "a", "silent"]}, {"bad": [0, "a", "silent"]}], "only 0 . 1 of 2"),
        (
            [
                {
                    "split": "s",
                    "folder": "/nowhere",
                    "good": [[0, 1.0, 5, "d", FACTS], [1, 1.0, 5, "d", FACTS]],
                }
            ],
            "/nowhere, which this machine",
        ),
    ],
)
def test_what_workers_do_not_report_is_missed(tmp_path, reports, message):
    (tmp_path / "reports-0").write_text("".join(json.dumps(report) + "\n" for report in reports))
    with pytest.raises(BeamError, match=message):
        beam._read_reports(tmp_path, [None, None])


def test_without_apache_beam_it_is_told_what_to_install(corpus, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "apache_beam" else find(name)
    )
    with pytest.raises(BeamError, match=r"pip install -e '.\[beam\]'"):
        prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "records", beam=HERE)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ([], None),
        (["--beam_runner=FlinkRunner"], Beam("FlinkRunner")),
        (
            ["--beam_runner=DirectRunner", "--beam_options=--a=1 --b=c,d"],
            Beam("DirectRunner", "--a=1 --b=c,d"),
        ),
    ],
)
def test_the_flags_say_which_pipeline(given, asked):
    values = flags.FlagValues()
    read = beam.define_flags(values)
    values(["program", *given])
    assert read() == asked


def test_options_without_a_runner_are_refused():
    values = flags.FlagValues()
    read = beam.define_flags(values)
    values(["program", "--beam_options=--direct_num_workers=4"])
    with pytest.raises(BeamError, match="give --beam_runner too"):
        read()
