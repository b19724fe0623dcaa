"""IEMOCAP: five sessions of two speakers, improvised and scripted (Busso et al. 2008, LREC 42(4): 335-359).

The name `Ses01F_impro01_M003` holds the session, who wears the markers (the F after it), the dialogue, who
speaks (the LAST F or M) and the turn. Labels are in the dialogues' EmoEvaluation files, which hold the raters'
labels, too. Speech of whole dialogues, which lies in dialog/wav, is passed over.
"""

import pathlib
import re

from data_prep.corpora.base import (
    AGREEMENT,
    BadFile,
    CorpusError,
    Published,
    Reading,
    Utterance,
    class_counts,
)
from data_prep.corpora.files import UnreadableName, find, look_up
from data_prep.corpora.labels import pair, parse_rows, text_lines

LAYOUT = (
    "IEMOCAP, Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav and "
    "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
)
LICENCE = AGREEMENT
EMOTIONS = {
    "ang": "angry",
    "hap": "happy",
    "sad": "sad",
    "neu": "neutral",
    "exc": "excited",
    "dis": "disgust",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "oth": "other",
    "xxx": "no agreement",
}
PARTS = {"impro": "improvised", "script": "scripted"}
SEXES = {"F": "female", "M": "male"}
LABELS_FOLDER = "EmoEvaluation"
PUBLISHED = (
    Published(
        name="IEMOCAP, 4 classes, excited as happy (from published metadata)",
        parts=frozenset(PARTS.values()),
        classes=class_counts(neutral=1708, angry=1103, sad=1084, happy_and_excited=1636),
        total=5531,
        sessions={"01": 1085, "02": 1023, "03": 1151, "04": 1031, "05": 1241},
    ),
    Published(
        name="IEMOCAP improvised, 4 classes without excited (from published metadata)",
        parts=frozenset({"improvised"}),
        classes=class_counts(neutral=None, angry=None, sad=None, happy=None),
        total=2280,
    ),
    Published(
        name="IEMOCAP improvised, 4 classes, excited as happy (from published metadata)",
        parts=frozenset({"improvised"}),
        classes=class_counts(neutral=None, angry=None, sad=None, happy_and_excited=None),
        total=2943,
    ),
)

_DIALOGUE = r"Ses(0[1-5])[FM]_(impro|script)0\d[ab]?(?:_\db?)?"
_NAME = re.compile(rf"(?P<dialogue>{_DIALOGUE})_([FM])\d{{3}}")
_WHOLE = re.compile(_DIALOGUE)
_LABEL = re.compile(r"\[[^\]]*\]\s+(\S+)\s+(\S+)\s+\[[^\]]*\]")  # times, utterance, label, ratings
_NO_LABEL = ("%", "C-", "A-")  # a comment; a rater's category; a rater's attributes


def read(root: pathlib.Path) -> Reading:
    """Reads the corpus; the speaker is session and sex, "01F" to "05M", the part "improvised" or "scripted"."""
    labels: list[Utterance] = []
    bad_files: list[BadFile] = []
    tables = set()
    # What the walk cannot open is reported by the walk for sound.
    for table in find(root, lambda name: name.lower().endswith(".txt"), []):
        # The folders below have one file a rater, in another form.
        if table.parent.name.lower() == LABELS_FOLDER.lower():
            try:
                lines = text_lines(table)
            except CorpusError as error:
                bad_files.append(BadFile(str(table), str(error)))
                lines = []
            labels += parse_rows(table, lines, _parse, bad_files)
            tables.add(table.stem.lower())

    def no_label(path: pathlib.Path) -> str:
        dialogue = _match(path.stem)["dialogue"]
        there = "has no usable label of it" if dialogue.lower() in tables else "is not there"
        return f"no label: {LABELS_FOLDER}/{dialogue}.txt {there}"

    return pair(root, labels, _identify, layout=LAYOUT, bad_files=bad_files, no_label=no_label)


def _parse(source: pathlib.Path, line: str) -> Utterance | None:
    if line.startswith(_NO_LABEL):
        return None
    match = _LABEL.fullmatch(line)
    if not match:
        raise UnreadableName("the line is not [start - end], utterance, label and [ratings]")
    name, label = match.groups()
    _, session, kind, sex = _match(name).groups()
    return Utterance(
        id=name,
        path=source,
        speaker=session + sex,
        emotion=look_up("label", label.lower(), EMOTIONS),
        session=session,
        sex=SEXES[sex],
        part=PARTS[kind],
    )


def _identify(path: pathlib.Path) -> str | None:
    if _WHOLE.fullmatch(path.stem):
        return None
    _match(path.stem)
    return path.stem


def _match(name: str) -> re.Match:
    match = _NAME.fullmatch(name)
    if not match:
        raise UnreadableName(
            f"{name!r} is not session, dialogue, speaker and turn, as in Ses01F_impro01_F000"
        )
    return match
