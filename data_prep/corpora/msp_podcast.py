"""MSP-Podcast: natural speech of podcasts with its own split (Lotfian & Busso 2019, IEEE Trans. Aff. Comp. 10(4)).

Labels, speakers and the split are in labels_consensus.csv (labels_concensus.csv in older releases). Who speaks
is not known of every file. "Unknown" is not one person, so such an utterance has no speaker here: it cannot be
in folds that are made of speakers, and in the corpus's own split it stays in the part that its makers chose.
"""

import functools
import pathlib

from data_prep.corpora.base import BadFile, CorpusError, Reading, Utterance
from data_prep.corpora.files import UnreadableName, look_up
from data_prep.corpora.labels import csv_rows, find_table, pair, parse_rows

TABLES = ("labels_consensus.csv", "labels_concensus.csv")
COLUMNS = ("FileName", "EmoClass", "SpkrID", "Split_Set")  # and Gender, where there is one
LAYOUT = f"MSP-Podcast, Audios/MSP-PODCAST_0001_0008.wav and Labels/{' or '.join(TABLES)}"
EMOTIONS = {
    "A": "angry",
    "H": "happy",
    "S": "sad",
    "N": "neutral",
    "U": "surprised",
    "F": "fearful",
    "D": "disgust",
    "C": "contempt",
    "O": "other",
    "X": "no agreement",
}
PARTS = {
    "train": "train",
    "validation": "validation",
    "development": "validation",
    "test1": "test1",
    "test2": "test2",
    "test3": "test3",
}
UNKNOWN = ("", "unknown", "nan")  # who speaks


def read(root: pathlib.Path) -> Reading:
    """Reads the corpus; the speaker is its number or "" where unknown, the part the corpus's own.

    Raises:
        CorpusError: there is no table, or more than one, or it lacks a column.
    """
    table = find_table(root, TABLES, layout=LAYOUT)
    (_, header), *rows = csv_rows(table) or [(1, [])]
    columns = [name.strip().lower() for name in header]
    if missing := [name for name in COLUMNS if name.lower() not in columns]:
        raise CorpusError(f"{table}: no column {', '.join(missing)} among: {', '.join(header) or 'none'}")
    bad_files: list[BadFile] = []
    labels = parse_rows(table, rows, functools.partial(_parse, columns=columns), bad_files)
    return pair(root, labels, lambda path: path.stem, layout=LAYOUT, bad_files=bad_files)


def _parse(source: pathlib.Path, cells: list[str], *, columns: list[str]) -> Utterance:
    if len(cells) != len(columns):
        raise UnreadableName(f"{len(cells)} cells under {len(columns)} columns")
    row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    if not row["filename"]:
        raise UnreadableName("no file name")
    speaker, sex = row["spkrid"], row.get("gender", "").lower()
    return Utterance(
        id=pathlib.PurePath(row["filename"]).stem,
        path=source,
        speaker="" if speaker.lower() in UNKNOWN else speaker,
        emotion=look_up("label", row["emoclass"], EMOTIONS),
        sex=sex if sex in ("female", "male") else "",
        part=look_up("part", row["split_set"].lower(), PARTS),
    )
