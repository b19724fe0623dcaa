"""EmoDB, the Berlin database of emotional speech: 10 speakers, 7 emotions, 535 files (Burkhardt et al. 2005).

The name `03a01Wa` holds speaker 03, text a01, emotion W (the German word's first letter) and version a.
"""

import pathlib
import re

from data_prep.corpora.base import Published, Reading, Utterance
from data_prep.corpora.files import UnreadableName, look_up, read_names

LAYOUT = "EmoDB, wav/03a01Wa.wav (speaker, text, emotion, version), .wav or .flac"
LICENCE = "CC0 1.0, as audEERING publishes it (https://github.com/audeering/emodb)"
EMOTIONS = {
    "W": "angry",
    "L": "boredom",
    "E": "disgust",
    "A": "fearful",
    "F": "happy",
    "N": "neutral",
    "T": "sad",
}
SEXES = {
    "03": "male",
    "08": "female",
    "09": "female",
    "10": "male",
    "11": "male",
    "12": "male",
    "13": "female",
    "14": "female",
    "15": "male",
    "16": "female",
}
PUBLISHED = (
    Published(
        name="EmoDB (Burkhardt et al. 2005)",
        emotions={
            "angry": 127,
            "boredom": 81,
            "neutral": 79,
            "happy": 71,
            "fearful": 69,
            "sad": 62,
            "disgust": 46,
        },
        total=535,
    ),
)

_NAME = re.compile(r"(\d\d)([ab]\d\d)([a-z])([a-z])", re.IGNORECASE)


def read(root: pathlib.Path) -> Reading:
    """Reads the corpus; the speaker is the number in the name, "03" to "16"."""
    return read_names(root, _parse, layout=LAYOUT)


def _parse(path: pathlib.Path) -> Utterance:
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise UnreadableName("the name is not speaker, text, emotion and version, as in 03a01Wa")
    speaker, text, emotion, version = match.groups()
    # Some copies have changed the case of the names: one utterance, one id.
    return Utterance(
        id=f"{speaker}{text.lower()}{emotion.upper()}{version.lower()}",
        path=path,
        speaker=speaker,
        emotion=look_up("emotion", emotion.upper(), EMOTIONS),
        sex=look_up("speaker", speaker, SEXES),
    )
