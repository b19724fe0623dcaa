"""RAVDESS: 24 actors, eight emotions, two sentences (Livingstone & Russo 2018, PLoS ONE 13(5): e0196391).

The name holds seven numbers: modality, channel, emotion, intensity, statement, repetition, actor. The speech
part (modality 03, audio only; channel 01, speech) has 1,440 files. Its songs and videos, which people often
keep in the same folder, are passed over.
"""

import pathlib
import re

from data_prep.corpora.base import Published, Reading, Utterance
from data_prep.corpora.files import UnreadableName, look_up, read_names

LAYOUT = "RAVDESS, Actor_01/03-01-05-01-02-01-01.wav (03 audio only, 01 speech, ...), .wav or .flac"
LICENCE = "CC BY-NC-SA 4.0 (Livingstone & Russo, https://zenodo.org/records/1188976): not for commercial use"
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
MODALITIES = {"01": "sound and video", "02": "video only", "03": "audio only"}
CHANNELS = {"01": "speech", "02": "song"}
# Odd actors are men.
SEXES = {f"{actor:02d}": "male" if actor % 2 else "female" for actor in range(1, 25)}
PUBLISHED = (
    Published(
        name="RAVDESS, speech (Livingstone & Russo 2018)",
        emotions={emotion: 96 if emotion == "neutral" else 192 for emotion in EMOTIONS.values()},
        total=1440,
    ),
)

_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-\d\d-\d\d-\d\d-(\d\d)")


def read(root: pathlib.Path) -> Reading:
    """Reads the speech part; the speaker is the actor's number, "01" to "24"."""
    return read_names(root, _parse, layout=LAYOUT)


def _parse(path: pathlib.Path) -> Utterance | None:
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise UnreadableName("the name is not seven numbers of two digits, as in 03-01-05-01-02-01-01")
    modality, channel, emotion, actor = match.groups()
    part = look_up("modality", modality, MODALITIES), look_up("channel", channel, CHANNELS)
    if part != ("audio only", "speech"):
        return None
    return Utterance(
        id=path.stem,
        path=path,
        speaker=actor,
        emotion=look_up("emotion", emotion, EMOTIONS),
        sex=look_up("actor", actor, SEXES),
    )
