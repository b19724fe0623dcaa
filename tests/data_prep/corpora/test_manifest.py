"""The manifest: any corpus as CSV; every error names its line, and all come together."""

import os
import pathlib
import unicodedata

import pytest

from data_prep import corpora


@pytest.fixture
def root(tmp_path):
    (tmp_path / "wav").mkdir()
    for name in ("a.wav", "b.wav", "c.flac"):
        (tmp_path / "wav" / name).write_text(name)
    return tmp_path


def read(root, text, encoding="utf-8"):
    (root / "manifest.csv").write_bytes(text.encode(encoding))
    return corpora.read("manifest", root)


def faults(reading):
    """{line: reason}."""
    return {int(bad.path.rpartition(":")[2]): bad.reason for bad in reading.bad_files}


def test_the_least_manifest(root):
    reading = read(root, "path,speaker,emotion\nwav/b.wav,s2,sad\nwav/a.wav,s1,Happy\n")
    assert reading.utterances == (
        corpora.Utterance("wav/a.wav", root / "wav/a.wav", "s1", "happy"),
        corpora.Utterance("wav/b.wav", root / "wav/b.wav", "s2", "sad"),
    )
    assert reading.bad_files == ()


def test_all_columns_in_any_order_others_ignored(root):
    reading = read(
        root,
        "ID, Emotion ,speaker,note,end,start,sex,session,path\n"
        'x1, angry ,s1,"Oh, no",2.5,1,F,day 1,wav/a.wav\n'
        "x2,sad,s1,,,,male,,wav/a.wav\n",
    )
    assert reading.utterances == (
        corpora.Utterance("x1", root / "wav/a.wav", "s1", "angry", "day 1", "female", 1.0, 2.5),
        corpora.Utterance("x2", root / "wav/a.wav", "s1", "sad", "", "male"),
    )


def test_the_csv_itself_may_be_the_root_and_paths_are_relative_to_it(root, monkeypatch):
    (root / "lists").mkdir()
    absolute = root / "wav" / "c.flac"
    (root / "lists" / "my.csv").write_text(f"path,speaker,emotion\n../wav/a.wav,s,sad\n{absolute},s,sad\n")
    monkeypatch.chdir(root / "lists")
    reading = corpora.read("manifest", "my.csv")
    assert reading.bad_files == ()
    assert {utterance.path.resolve() for utterance in reading.utterances} == {root / "wav/a.wav", absolute}


def test_segments_of_one_file_have_their_times_in_the_id(root):
    rows = "wav/a.wav,s,sad,0,1.5\nwav/a.wav,s,sad,1.5,\nwav/a.wav,s,sad,,0.25\nwav/b.wav,s,sad,,\n"
    reading = read(root, f"path,speaker,emotion,start,end\n{rows}")
    assert {utterance.id: (utterance.start, utterance.end) for utterance in reading.utterances} == {
        "wav/a.wav[0.000-1.500]": (0.0, 1.5),
        "wav/a.wav[1.500-end]": (1.5, None),
        "wav/a.wav[0.000-0.250]": (0.0, 0.25),
        "wav/b.wav": (0.0, None),
    }
    assert reading.bad_files == ()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(root, encoding, newline):
    lines = ["", "path,speaker,emotion", "", "wav/a.wav,Zoë,sad", " , ,", "wav/none.wav,s,sad", ""]
    reading = read(root, newline.join(lines), encoding)
    assert [utterance.speaker for utterance in reading.utterances] == ["Zoë"]
    assert list(faults(reading)) == [6]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("wav/none.wav,s,sad,,,", "no file"),
        ("wav,s,sad,,,", "no file"),
        ("wav\\a.wav,s,sad,,,", "write / between folders, not \\: so it is there"),
        ("wav\\x.wav,s,sad,,,", "write / between folders, not \\)"),
        (",s,sad,,,", "no path"),
        ("wav/a.wav,,sad,,,", "no speaker: write who speaks"),
        ("wav/a.wav,s,,,,", "no emotion"),
        ("~/none.wav,s,sad,,,", f"no file '{pathlib.Path.home()}/none.wav'"),
        ("wav/a.wav", "no emotion"),
        ("wav/a.wav,s,sad,x,2,", "start 'x' is not a number of seconds"),
        ("wav/a.wav,s,sad,-1,2,", "start '-1' is not"),
        ("wav/a.wav,s,sad,,nan,", "end 'nan' is not"),
        ("wav/a.wav,s,sad,0,inf,", "end 'inf' is not"),
        ('wav/a.wav,s,sad,0,"1,5",', "end '1,5' is not a number of seconds from 0: write a point, 1.5"),
        (
            "wav/a.wav,s,sad,0,01:02:03.5,",
            "end '01:02:03.5' is not a number of seconds from 0: write seconds, 3723.5",
        ),
        ("wav/a.wav,s,sad,0,2:03,", "write seconds, 123"),
        ("wav/a.wav,s,sad,2,2,", "end 2 is not after start 2"),
        ("wav/a.wav,s,sad,,0,", "end 0 is not after start 0"),
        ("wav/a.wav,s,sad,0,1,5,f", "7 cells under 6 columns"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_the_others_are_read(root, row, says):
    reading = read(
        root, f"path,speaker,emotion,start,end,sex\nwav/b.wav,s,sad,,,\n{row}\nwav/c.flac,s,sad,,,\n"
    )
    assert list(faults(reading)) == [3]
    assert says in faults(reading)[3]
    assert [utterance.id for utterance in reading.utterances] == ["wav/b.wav", "wav/c.flac"]


def test_all_faults_come_together_rows_and_within_a_row(root):
    reading = read(
        root, "path,speaker,emotion,start,end\nwav/no.wav,,sad,x,y\nwav/a.wav,s,,3,1\nwav/b.wav,s,sad,,\n"
    )
    found = faults(reading)
    assert all(says in found[2] for says in ("no file", "no speaker", "start 'x'", "end 'y'"))
    assert all(says in found[3] for says in ("no emotion", "end 1 is not after start 3"))
    assert len(reading.utterances) == 1


@pytest.mark.parametrize(
    "rows", ["wav/a.wav,s,sad,\nwav/./a.wav,s,happy,", "wav/a.wav,s,sad,x\nwav/b.wav,s,sad,x"]
)
def test_rows_with_one_id_are_both_bad_and_name_each_other(root, rows):
    reading = read(root, f"path,speaker,emotion,id\n{rows}\nwav/c.flac,s,sad,\n")
    assert set(faults(reading)) == {2, 3}
    assert "manifest.csv:3" in faults(reading)[2]
    assert "manifest.csv:2" in faults(reading)[3]
    assert [utterance.id for utterance in reading.utterances] == ["wav/c.flac"]


def test_a_missing_column_is_an_error_with_the_faults_of_the_rows(root):
    with pytest.raises(corpora.CorpusError) as error:
        read(root, "path,who,start,end\nwav/a.wav,s,,\nwav/none.wav,s,x,\n")
    assert "no column speaker, emotion among: path, who, start, end" in str(error.value)
    assert "manifest.csv:3: no file" in str(error.value)
    assert "start 'x'" in str(error.value)
    assert "manifest.csv:2:" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no rows"),
        ("path,speaker,emotion\n\n", "no rows"),
        ("path;speaker;emotion\nwav/a.wav;s;sad\n", "separate the columns with commas"),
        ("path,speaker,emotion,speaker\nwav/a.wav,s,sad,t\n", "column speaker comes 2 times"),
        ('path,speaker,emotion\nwav/a.wav,s,"sad\n', "not CSV"),
    ],
)
def test_a_manifest_of_no_sense_is_an_error(root, text, says):
    with pytest.raises(corpora.CorpusError, match=says):
        read(root, text)


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("latin-1", r"manifest.csv:3: byte 0x.. is not UTF-8; save it as UTF-8"),
        ("utf-16", r"manifest.csv is UTF-16; save it as UTF-8"),
    ],
)
def test_another_encoding_is_an_error_that_says_so(root, encoding, says):
    with pytest.raises(corpora.CorpusError, match=says):
        read(root, "path,speaker,emotion\nwav/a.wav,s,sad\nwav/b.wav,Zoë,sad\n", encoding)


def test_a_folder_without_manifest_says_what_is_expected(tmp_path):
    with pytest.raises(
        corpora.CorpusError, match=r"no manifest .*manifest.csv\nexpected: .*path,speaker,emotion"
    ):
        corpora.read("manifest", tmp_path)


@pytest.mark.parametrize("word", ["other", "divers", "x", "nan", "?", "unknown"])
def test_a_sex_of_another_word_is_unknown_and_is_told_once(root, caplog, word):
    rows = f"wav/a.wav,s,sad,{word}\nwav/b.wav,s,sad,{word}\nwav/c.flac,t,sad,f\n"
    reading = read(root, f"path,speaker,emotion,sex\n{rows}")
    assert reading.bad_files == ()
    assert [one.sex for one in reading.utterances] == ["", "", "female"]
    assert [record.message for record in caplog.records if f"{word!r} 2 times" in record.message] != []
    assert len(caplog.records) == 1


def test_a_home_folder_is_expanded(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    (utterance,) = read(root, "path,speaker,emotion\n~/wav/a.wav,s,sad\n").utterances
    assert utterance.path == root / "wav/a.wav"


@pytest.mark.parametrize(("in_table", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_path_in_another_unicode_form_finds_its_file_and_is_told_once(root, caplog, in_table, on_disk):
    folder, name = "für", "größe.wav"
    path = pathlib.Path(*(unicodedata.normalize(on_disk, part) for part in (folder, name)))
    (root / path).parent.mkdir()
    (root / path).touch()
    row = unicodedata.normalize(in_table, f"{folder}/{name}")
    reading = read(root, f"path,speaker,emotion\n{row},s,sad\n")
    assert [one.path for one in reading.utterances] == [root / path]
    assert len(caplog.records) == 1
    assert "1 path(s) are spelled in another Unicode form" in caplog.records[0].message


def test_a_path_that_may_be_either_of_two_files_is_none(root):
    """Mixed, as neither file has it."""
    forms = [unicodedata.normalize(form, "äö.wav") for form in ("NFC", "NFD")]
    for name in forms:
        (root / name).touch()
    if len(os.listdir(root)) < 3:
        pytest.skip("this file system takes both forms for one name")
    mixed = forms[0][0] + unicodedata.normalize("NFD", "ö.wav")
    assert "no file" in faults(read(root, f"path,speaker,emotion\n{mixed},s,sad\n"))[2]


@pytest.mark.parametrize("other", ["t,sad", "s,angry"])
def test_one_sound_of_two_speakers_or_labels_is_bad_whatever_its_ids(root, other):
    rows = f"wav/a.wav,s,sad,x\nwav/../wav/a.wav,{other},y\nwav/b.wav,s,sad,z\n"
    reading = read(root, f"path,speaker,emotion,id\n{rows}")
    assert set(faults(reading)) == {2, 3}
    assert "of the same sound as" in faults(reading)[2]
    assert "manifest.csv:3" in faults(reading)[2]
    assert [one.id for one in reading.utterances] == ["z"]
