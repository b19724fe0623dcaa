"""CREMA-D: 91 actors, six emotions, 7,442 files (Cao et al. 2014, IEEE Trans. Affective Computing 5(4)).

The name `1001_IEO_ANG_HI` holds the actor, the sentence, the emotion and its level. The actors' sex is in
VideoDemographics.csv, where the copy has it.
"""

import csv
import functools
import pathlib
import re

from data_prep.corpora.base import BadFile, Published, Reading, Utterance
from data_prep.corpora.files import UnreadableName, find, look_up, read_names

LAYOUT = "CREMA-D, AudioWAV/1001_IEO_ANG_HI.wav (actor, sentence, emotion, level), .wav or .flac"
LICENCE = (
    "Open Database License 1.0, its contents Database Contents License 1.0 (LICENSE.txt of "
    "https://github.com/CheyneyComputerScience/CREMA-D)"
)
EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
DEMOGRAPHICS = "VideoDemographics.csv"
PUBLISHED = (
    Published(
        name="CREMA-D (Cao et al. 2014)",
        emotions={emotion: 1087 if emotion == "neutral" else 1271 for emotion in EMOTIONS.values()},
        total=7442,
    ),
)

# The level is LO, MD, HI or XX, but the corpus itself has one 1040_ITH_SAD_X.
_NAME = re.compile(r"(\d{4})_([a-z]{3})_([a-z]{3})_(LO|MD|HI|XX?)", re.IGNORECASE)


def read(root: pathlib.Path) -> Reading:
    """Reads the corpus; the speaker is the actor's number, "1001" to "1091".

    The table of actors is looked for below `root`, then beside it (`root` may be AudioWAV itself).
    """
    bad_files: list[BadFile] = []
    sexes = _sexes(root, bad_files)
    reading = read_names(root, functools.partial(_parse, sexes=sexes), layout=LAYOUT)
    return Reading(reading.utterances, (*bad_files, *reading.bad_files), reading.notes)


def _parse(path: pathlib.Path, *, sexes: dict[str, str]) -> Utterance:
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise UnreadableName("the name is not actor, sentence, emotion and level, as in 1001_IEO_ANG_HI")
    actor, _, emotion, _ = match.groups()
    return Utterance(
        id=path.stem.upper(),
        path=path,
        speaker=actor,
        emotion=look_up("emotion", emotion.upper(), EMOTIONS),
        sex=sexes.get(actor, ""),
    )


def _sexes(root: pathlib.Path, bad_files: list[BadFile]) -> dict[str, str]:
    """Actor -> "female" or "male"; empty without the table. A table that cannot be read is a bad file."""
    # What the walk cannot open is reported by the walk for sound.
    below = find(root, lambda name: name.lower() == DEMOGRAPHICS.lower(), [])
    table = next(below, root.absolute().parent / DEMOGRAPHICS)
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            return {row["ActorID"].strip(): _sex(row["Sex"]) for row in csv.DictReader(lines)}
    except (OSError, KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
        reason = f"no table with columns ActorID and Sex ({type(error).__name__}: {error})"
        bad_files.append(BadFile(str(table), reason))
        return {}


def _sex(word: str) -> str:
    word = word.strip().lower()
    return word if word in ("female", "male") else ""
