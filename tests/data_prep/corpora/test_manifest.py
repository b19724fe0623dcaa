"""The manifest: any corpus as CSV; every error names its line, and all come together."""

import pytest

from data_prep import corpora


@pytest.fixture
def root(tmp_path):
    (tmp_path / "wav").mkdir()
    for name in ("a.wav", "b.wav", "c.flac"):
        (tmp_path / "wav" / name).touch()
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
        ("wav\\a.wav,s,sad,,,", "write / between folders"),
        (",s,sad,,,", "no path"),
        ("wav/a.wav,,sad,,,", "no speaker"),
        ("wav/a.wav,s,,,,", "no emotion"),
        ("wav/a.wav", "no speaker; no emotion"),
        ("wav/a.wav,s,sad,x,2,", "start 'x' is not a number of seconds"),
        ("wav/a.wav,s,sad,-1,2,", "start '-1' is not"),
        ("wav/a.wav,s,sad,,nan,", "end 'nan' is not"),
        ("wav/a.wav,s,sad,0,inf,", "end 'inf' is not"),
        ('wav/a.wav,s,sad,0,"1,5",', "end '1,5' is not"),
        ("wav/a.wav,s,sad,2,2,", "end 2 is not after start 2"),
        ("wav/a.wav,s,sad,,0,", "end 0 is not after start 0"),
        ("wav/a.wav,s,sad,0,1,x", "unknown sex 'x'"),
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
