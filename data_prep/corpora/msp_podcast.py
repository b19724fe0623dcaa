"""MSP-Podcast: natural speech of podcasts with its own split (Lotfian & Busso 2019, IEEE Trans. Aff. Comp. 10(4)).

Labels, speakers and the split are in labels_consensus.csv (labels_concensus.csv in older releases). Who speaks
is not known of every file. "Unknown" is not one person, so such an utterance has no speaker here: it cannot be
in folds that are made of speakers, and in the corpus's own split it stays in the part that its makers chose.

Passed over: the tables and sounds of earlier releases, which newer ones bring in a folder of their own, and the
sounds of Test3, whose labels and speakers are withheld.
"""

import functools
import pathlib
import re

from absl import logging

from data_prep.corpora.base import AGREEMENT, BadFile, CorpusError, Reading, Utterance
from data_prep.corpora.files import UnreadableName, look_up
from data_prep.corpora.labels import csv_rows, find_table, header_flaws, pair, parse_rows

TABLES = ("labels_consensus.csv", "labels_concensus.csv")
COLUMNS = ("FileName", "EmoClass", "SpkrID", "Split_Set")
OPTIONAL = ("Gender",)
# In it are labels_consensus.csv of earlier releases, and the sounds that newer ones have removed.
EARLIER = ("previous_releases_information",)
LAYOUT = f"MSP-Podcast, Audios/MSP-PODCAST_0001_0008.wav and Labels/{' or '.join(TABLES)}"
LICENCE = AGREEMENT
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

_WITHHELD = re.compile(r"MSP-PODCAST_test3_\d+", re.IGNORECASE)


def read(root: pathlib.Path) -> Reading:
    """Reads the corpus; the speaker is its number or "" where unknown, the part the corpus's own.

    Raises:
        CorpusError: there is no table, or more than one, or it lacks a column or has no row.
    """
    table = find_table(root, TABLES, layout=LAYOUT, passed_over=EARLIER)
    (_, header), *rows = csv_rows(table) or [(1, [])]
    columns = [name.strip().lower() for name in header]
    flaws = header_flaws(header, required=COLUMNS, optional=OPTIONAL)
    if flaws or not rows:
        raise CorpusError(f"{table}: {'; '.join(flaws) or 'no row below the header'}\nexpected: {LAYOUT}")
    bad_files: list[BadFile] = []
    labels = parse_rows(table, rows, functools.partial(_parse, columns=columns), bad_files)
    labelled, withheld = {label.id for label in labels}, []

    def identify(path: pathlib.Path) -> str | None:
        if path.stem in labelled or not _WITHHELD.fullmatch(path.stem):
            return path.stem
        withheld.append(path)
        return None

    reading = pair(root, labels, identify, layout=LAYOUT, bad_files=bad_files, passed_over=EARLIER)
    if withheld:
        logging.info("Passed over %d sound(s) of Test3, whose labels are withheld", len(withheld))
    return reading


def _parse(source: pathlib.Path, cells: list[str], *, columns: list[str]) -> Utterance:
    if len(cells) != len(columns):
        raise UnreadableName(f"{len(cells)} cells under {len(columns)} columns")
    row = {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}
    if not row["filename"]:
        raise UnreadableName("no file name")
    speaker, sex, label = row["spkrid"], row.get("gender", "").lower(), row["emoclass"]
    return Utterance(
        id=pathlib.PurePath(row["filename"]).stem,
        path=source,
        speaker="" if speaker.lower() in UNKNOWN else speaker,
        emotion=look_up("label", label.upper() if label.upper() in EMOTIONS else label, EMOTIONS),
        sex=sex if sex in ("female", "male") else "",
        part=look_up("part", row["split_set"].lower(), PARTS),
    )
