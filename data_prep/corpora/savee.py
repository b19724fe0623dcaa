"""SAVEE: four men, seven emotions, 480 files (Haq & Jackson 2010).

The name is `DC_a01.wav`, or `a01.wav` in the speaker's folder DC.
"""

import pathlib
import re

from data_prep.corpora.base import Published, Reading, Utterance
from data_prep.corpora.files import UnreadableName, look_up, read_names

LAYOUT = "SAVEE, DC_a01.wav or DC/a01.wav (speakers DC, JE, JK, KL; emotion and number), .wav or .flac"
# Its page could not be read, and what others write of it differs.
LICENCE = "not stated here: ask its owners (http://kahlan.eps.surrey.ac.uk/savee/), who ask for registration"
EMOTIONS = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
SEXES = dict.fromkeys(("DC", "JE", "JK", "KL"), "male")
PUBLISHED = (
    Published(
        name="SAVEE (Haq & Jackson 2010)",
        emotions={emotion: 120 if emotion == "neutral" else 60 for emotion in EMOTIONS.values()},
        total=480,
    ),
)

_NAME = re.compile(r"(?:([a-z]+)_)?([a-z]+)(\d\d)", re.IGNORECASE)


def read(root: pathlib.Path) -> Reading:
    """Reads the corpus; the speaker is "DC", "JE", "JK" or "KL"."""
    return read_names(root, _parse, layout=LAYOUT)


def _parse(path: pathlib.Path) -> Utterance:
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise UnreadableName("the name is not emotion and number, as in DC_a01 or DC/a01")
    in_name, emotion, number = match.groups()
    speaker = (in_name or path.absolute().parent.name).upper()
    return Utterance(
        id=f"{speaker}_{emotion.lower()}{number}",
        path=path,
        speaker=speaker,
        emotion=look_up("emotion", emotion.lower(), EMOTIONS),
        sex=look_up("speaker", speaker, SEXES),
    )
