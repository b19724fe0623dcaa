"""MSP-IMPROV: six sessions of two actors, 8,438 turns (Busso et al. 2017, IEEE Trans. Affective Computing 8(1)).

The name `MSP-IMPROV-S01A-F01-P-FM01` holds the sentence, the emotion that the actor was to show, the speaker
(the digits are the session), the scenario, and the turn. What listeners perceived is in Evalution.txt (so spelled),
one line a turn with the raters' labels after it. Sound is 44.1 kHz; the features' rate is made when it is read.
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
from data_prep.corpora.files import UnreadableName, look_up
from data_prep.corpora.labels import find_table, pair, parse_rows, text_lines

TABLES = ("Evalution.txt", "Evaluation.txt")
LAYOUT = f"MSP-IMPROV, session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav and {' or '.join(TABLES)}"
LICENCE = AGREEMENT
EMOTIONS = {
    "A": "angry",
    "H": "happy",
    "S": "sad",
    "N": "neutral",
    "O": "other",
    "X": "no agreement",
}
EXAMPLE = "UTD-IMPROV-S01A-F01-P-FM01.avi; N; ..."
PARTS = ("P", "R", "S", "T")
SEXES = {"F": "female", "M": "male"}
PUBLISHED = (
    Published(
        name="MSP-IMPROV, all turns (as remembered, not verified)",
        parts=frozenset(PARTS),
        total=8438,
    ),
    Published(
        name="MSP-IMPROV, 4 classes as perceived (as remembered, not verified)",
        parts=frozenset(PARTS),
        classes=class_counts(neutral=3477, happy=2644, sad=885, angry=792),
        total=7798,
    ),
)

_TURN = r"IMPROV-S\d\d([AHSN])-([FM])(0[1-6])-([PRST])-[FM]{1,2}\d{2,3}"
_NAME = re.compile(f"MSP-{_TURN}")
_LABEL = re.compile(f"(?:UTD|MSP)-({_TURN})[.]AVI")
_IN_TABLE = ("UTD-IMPROV", "MSP-IMPROV")  # a label's line begins so, a rater's does not


def read(root: pathlib.Path) -> Reading:
    """Reads the corpus; the emotion is the one perceived, the target the one of the name.

    The speaker is "F01" to "M06", the session "01" to "06", the part one letter of the scenario: P (natural),
    R (the target sentence, read), S (other improvised turns), T (the target sentence, improvised).
    """
    table = find_table(root, TABLES, layout=LAYOUT)
    bad_files: list[BadFile] = []
    labels = parse_rows(table, text_lines(table), _parse, bad_files)
    if not labels and not bad_files:
        raise CorpusError(f"{table} has no label, a line as: {EXAMPLE}")
    return pair(root, labels, _identify, layout=LAYOUT, bad_files=bad_files)


def _parse(source: pathlib.Path, line: str) -> Utterance | None:
    line = line.upper()
    if not line.startswith(_IN_TABLE):
        return None
    video, *ratings = (field.strip() for field in line.split(";"))
    match = _LABEL.fullmatch(video)
    if not match or not ratings:
        raise UnreadableName(f"the line is not video; label; ratings, as in {EXAMPLE}")
    turn, target, sex, session, scenario = match.groups()
    return Utterance(
        id=f"MSP-{turn}",
        path=source,
        speaker=sex + session,
        emotion=look_up("label", ratings[0], EMOTIONS),
        session=session,
        sex=SEXES[sex],
        part=scenario,
        target=EMOTIONS[target],
    )


def _identify(path: pathlib.Path) -> str:
    if not _NAME.fullmatch(path.stem.upper()):
        raise UnreadableName(
            "the name is not sentence, target, speaker, scenario and turn, as in MSP-IMPROV-S01A-F01-P-FM01"
        )
    return path.stem.upper()
