"""TESS, the Toronto emotional speech set (Pichora-Fuller & Dupuis 2020): two women, 7 emotions, 2,800 files.

The name `OAF_back_fear` holds the speaker (older or younger adult female), the word and the emotion.
"""

import pathlib
import re

from data_prep.corpora.base import Published, Reading, Utterance
from data_prep.corpora.files import UnreadableName, look_up, read_names

LAYOUT = "TESS, OAF_Fear/OAF_back_fear.wav (speaker, word, emotion), .wav or .flac"
# Its page could not be read, and what others write of it differs.
LICENCE = (
    "not stated here: ask its owners (https://doi.org/10.5683/SP2/E8H2MF); others write CC BY-NC 4.0 or "
    "CC BY-NC-ND 4.0, neither for commercial use"
)
EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",
    "sad": "sad",
}
# The corpus itself spells one file OA_bite_neutral.
SPEAKERS = {"OAF": "OAF", "YAF": "YAF", "OA": "OAF", "YA": "YAF"}
PUBLISHED = (
    Published(
        name="TESS (Pichora-Fuller & Dupuis 2020)",
        emotions=dict.fromkeys(EMOTIONS.values(), 400),
        total=2800,
    ),
)

_NAME = re.compile(r"([a-z]+)_([a-z]+)_([a-z]+)", re.IGNORECASE)


def read(root: pathlib.Path) -> Reading:
    """Reads the corpus; the speaker is "OAF" or "YAF"."""
    return read_names(root, _parse, layout=LAYOUT)


def _parse(path: pathlib.Path) -> Utterance:
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise UnreadableName("the name is not speaker, word and emotion, as in OAF_back_fear")
    speaker, word, emotion = match.groups()
    speaker = look_up("speaker", speaker.upper(), SPEAKERS)
    return Utterance(
        id=f"{speaker}_{word.lower()}_{emotion.lower()}",
        path=path,
        speaker=speaker,
        emotion=look_up("emotion", emotion.lower(), EMOTIONS),
        sex="female",
    )
