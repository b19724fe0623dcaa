"""A small SYNTHETIC corpus from the eSpeak NG synthesiser, for a machine that has no speech on it.

    python -m data_prep.demo_corpus FOLDER

It shows that the program works. A score on it is no evidence of how well anything recognises the emotions of people.
The speakers are voice variants of one synthesiser, and an emotion is nothing but a setting of its prosody,
in the directions that the literature gives for acted speech (Scherer 2003, Speech Communication 40: 227-256):

| emotion | rate, words/min | pitch | pitch range | loudness | pause between words, 10 ms |
|---------|-----------------|-------|-------------|----------|----------------------------|
| angry   | 212             | +4    | 60          | 155      | 0                          |
| happy   | 186             | +24   | 84          | 105      | 0                          |
| neutral | 166             | 0     | 44          | 85       | 0                          |
| sad     | 138             | -12   | 18          | 55       | 3                          |
| spread  | 18              | 10    | 17          | 17       | 2                          |

Pitch and its range are eSpeak's units, 0 to 99, where 50 is the voice's own; pitch is added to the speaker's
and rate is times the speaker's tempo. Loudness is eSpeak's volume, where 100 is normal. Every utterance draws
its own values from normal distributions about the row of its emotion, with the standard deviations of the
last row: neighbours overlap, and no classifier can be right every time. All speakers have the same sentences
in all emotions, as in acted corpora.

Measured on the default corpus (256 utterances of 1.1 to 3.5 s, 8 minutes, 21 MB; made in 1 to 3 s), leaving
one speaker out: linear discriminants given the drawn values reach UA 0.95; a support vector machine on
means and deviations of 64 log-mels, UA 0.66; chance is 0.25.
"""

import argparse
import csv
import ctypes
import dataclasses
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import espeakng_loader
import numpy as np
import soundfile
import tqdm

from data_prep import disk
from data_prep.corpora.base import CorpusError
from jax_ser_darts.commands import print_anything

SAMPLE_RATE = 22_050
# In the corpus's folder: the arguments that it was made with.
_ARGUMENTS = "demo_corpus.json"
SENTENCES = (
    "The kettle is on the kitchen table.",
    "She will come back on Wednesday.",
    "There are seven bags by the door.",
    "They carried it up the stairs.",
    "He told me about it this morning.",
    "We will know it in a few hours.",
    "The tablecloth is on the fridge.",
    "I have just been to the station.",
    "The train leaves at a quarter past nine.",
    "My brother works in the garden.",
    "You can put the box over there.",
    "It is eleven o'clock already.",
    "The letter came in the afternoon.",
    "I wonder what this is about.",
    "The windows are open upstairs.",
    "Tomorrow we drive to the lake.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Prosody:
    """One row of the table above, in its units."""

    rate: float
    pitch: float
    range: float
    volume: float
    pause: float


EMOTIONS = {
    "angry": Prosody(rate=212, pitch=4, range=60, volume=155, pause=0),
    "happy": Prosody(rate=186, pitch=24, range=84, volume=105, pause=0),
    "neutral": Prosody(rate=166, pitch=0, range=44, volume=85, pause=0),
    "sad": Prosody(rate=138, pitch=-12, range=18, volume=55, pause=3),
}
SPREAD = Prosody(rate=18, pitch=10, range=17, volume=17, pause=2)
# What the synthesiser takes, lowest and highest.
LOWEST = Prosody(rate=80, pitch=0, range=0, volume=20, pause=0)
HIGHEST = Prosody(rate=400, pitch=99, range=99, volume=200, pause=20)


@dataclasses.dataclass(frozen=True, slots=True)
class Speaker:
    """A voice variant of eSpeak NG with a base pitch (its units) and a tempo of its own."""

    variant: str
    sex: str
    pitch: float
    tempo: float

    @property
    def id(self) -> str:
        """The speaker's name in the corpus."""
        return f"synthetic_{self.variant}"


# Only variants without a `breath` line: eSpeak seeds the noise of breath with the time of day.
SPEAKERS = (
    Speaker("f1", "female", pitch=50, tempo=1.00),
    Speaker("m1", "male", pitch=52, tempo=0.97),
    Speaker("f4", "female", pitch=46, tempo=1.06),
    Speaker("m2", "male", pitch=54, tempo=1.04),
    Speaker("steph", "female", pitch=53, tempo=0.95),
    Speaker("m3", "male", pitch=46, tempo=1.00),
    Speaker("linda", "female", pitch=44, tempo=1.02),
    Speaker("m4", "male", pitch=50, tempo=0.94),
    Speaker("aunty", "female", pitch=55, tempo=0.98),
    Speaker("m6", "male", pitch=48, tempo=1.05),
    Speaker("belinda", "female", pitch=48, tempo=1.00),
    Speaker("m7", "male", pitch=50, tempo=0.96),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One utterance to synthesise; the prosody is final: the speaker's pitch and tempo are in it."""

    id: str
    speaker: Speaker
    emotion: str
    text: str
    prosody: Prosody


def plan(*, speakers: int, sentences: int, seed: int) -> list[Line]:
    """The utterances of the corpus: every speaker, every emotion, every sentence.

    Raises:
        ValueError: more speakers or sentences than there are, or none.
    """
    for name, wanted, there in ("speakers", speakers, SPEAKERS), ("sentences", sentences, SENTENCES):
        if not 1 <= wanted <= len(there):
            raise ValueError(f"{name} must be from 1 to {len(there)}, not {wanted}")
    rng = np.random.default_rng(seed)
    return [
        Line(
            id=f"{speaker.id}_{emotion}_{number:02d}",
            speaker=speaker,
            emotion=emotion,
            text=text,
            prosody=_draw(rng, mean, speaker),
        )
        for speaker in SPEAKERS[:speakers]
        for emotion, mean in EMOTIONS.items()
        for number, text in enumerate(SENTENCES[:sentences], start=1)
    ]


def _draw(rng: np.random.Generator, mean: Prosody, speaker: Speaker) -> Prosody:
    mean = dataclasses.replace(mean, rate=mean.rate * speaker.tempo, pitch=mean.pitch + speaker.pitch)
    drawn = rng.normal(dataclasses.astuple(mean), dataclasses.astuple(SPREAD))
    drawn = np.clip(drawn, dataclasses.astuple(LOWEST), dataclasses.astuple(HIGHEST))
    return Prosody(*(round(value) for value in drawn.tolist()))


def make(
    folder: str | os.PathLike,
    *,
    speakers: int = 8,
    sentences: int = 8,
    seed: int = 0,
    progress: bool = True,
) -> pathlib.Path:
    """Makes the corpus in `folder`: manifest.csv, wav/*.wav (22,050 Hz, 16 bits, mono) and a README.txt.

    The same arguments give the same bytes. A folder that already holds this very corpus is left as it is; one
    that holds a demo corpus made with other arguments is replaced, when the new one is complete.

    Args:
        folder: where to make it; absent, empty, or with an earlier demo corpus.
        speakers: 1 to 12.
        sentences: sentences a speaker and emotion, 1 to 16.
        seed: of the utterances' own prosody.
        progress: show a bar.

    Returns:
        The folder.

    Raises:
        CorpusError: the folder holds something else, or the synthesiser does not work on this machine.
        OSError: the disk is full; nothing is left of the attempt.
        ValueError: `speakers` or `sentences` is out of range.
    """
    folder = pathlib.Path(folder).expanduser()
    target = folder.resolve()
    lines = plan(speakers=speakers, sentences=sentences, seed=seed)
    arguments = {"version": 1, "speakers": speakers, "sentences": sentences, "seed": seed}
    if _is_complete(target, lines, arguments):
        return folder
    if not _may_be_replaced(target):
        raise CorpusError(f"{folder} is not a demo corpus and not empty; give a new folder")

    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        disk.explain_full(folder, "the demo corpus is made anew"),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside,
    ):
        new = pathlib.Path(beside, "new")
        (new / "wav").mkdir(parents=True)
        _write_texts(new, lines, arguments)
        _synthesise(new, lines, progress=progress)
        # Another process may have been faster.
        if not _is_complete(target, lines, arguments):
            if target.exists():
                os.replace(target, pathlib.Path(beside, "old"))
            os.replace(new, target)
    return folder


def _sound(line: Line) -> pathlib.PurePosixPath:
    """The utterance's sound file, relative to the corpus."""
    return pathlib.PurePosixPath("wav", f"{line.id}.wav")


def _is_complete(folder: pathlib.Path, lines: list[Line], arguments: dict[str, int]) -> bool:
    try:
        stored = json.loads((folder / _ARGUMENTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    files = [pathlib.PurePath("manifest.csv"), *map(_sound, lines)]
    return stored == arguments and all((folder / file).is_file() for file in files)


def _may_be_replaced(folder: pathlib.Path) -> bool:
    if folder.is_dir():
        return (folder / _ARGUMENTS).is_file() or not any(folder.iterdir())
    return not folder.exists()


def _write_texts(folder: pathlib.Path, lines: list[Line], arguments: dict[str, int]) -> None:
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "speaker", "emotion", "sex", "id"])
        writer.writerows(
            [_sound(line), line.speaker.id, line.emotion, line.speaker.sex, line.id] for line in lines
        )
    (folder / _ARGUMENTS).write_text(json.dumps(arguments, indent=2) + "\n", encoding="utf-8")
    (folder / "README.txt").write_text(
        "SYNTHETIC speech, made by data_prep/demo_corpus.py with the eSpeak NG synthesiser.\n\n"
        "Nobody spoke here and nobody felt anything: the speakers are voice variants, the emotions are\n"
        "settings of rate, pitch, pitch range, loudness and pauses. Use it to see the program work.\n"
        "Figures measured on it say nothing about the speech of people.\n",
        encoding="utf-8",
    )


def _synthesise(folder: pathlib.Path, lines: list[Line], *, progress: bool) -> None:
    """Writes the lines' sound files, in a process of their own.

    eSpeak NG keeps its state in C globals and goes on from it: only a fresh process gives the same bytes
    every time, and a crash in it does not take the caller along.
    """
    jobs = [
        (str(folder / _sound(line)), line.speaker.variant, line.text, dataclasses.asdict(line.prosody))
        for line in lines
    ]
    here = str(pathlib.Path(__file__).resolve().parents[1])
    child = subprocess.run(
        [sys.executable, "-P", "-c", "from data_prep import demo_corpus; demo_corpus._synthesise_jobs()"],
        input=json.dumps({"jobs": jobs, "progress": progress}),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))},
    )
    if child.returncode:
        reason = child.stdout.strip() or f"the synthesis ended with exit code {child.returncode}"
        raise CorpusError(f"no demo corpus could be made: {reason}")


def _synthesise_jobs() -> None:
    """What the process of `_synthesise` does; jobs on standard input, what went wrong on standard output."""
    work = json.load(sys.stdin)
    try:
        espeak = _Espeak()
        bar = tqdm.tqdm(work["jobs"], desc="demo corpus", unit="utt", disable=not work["progress"])
        for path, variant, text, prosody in bar:
            samples = espeak.speak(text, variant, Prosody(**prosody))
            sound = io.BytesIO()  # libsndfile gives no reason when a file cannot be written
            soundfile.write(sound, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
            pathlib.Path(path).write_bytes(sound.getvalue())
    except (CorpusError, OSError) as error:
        print(error)
        sys.exit(1)


class _Espeak:
    """eSpeak NG through ctypes; names and numbers as in its speak_lib.h, version 1.52."""

    _OUTPUT_SYNCHRONOUS = 2
    _DONT_EXIT = 0x8000
    _CHARS_UTF8 = 1
    _PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "pause": 7}  # noqa: RUF012
    _CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    # Text, its size, first position, position's type, last position, flags, identifier, user data.
    _SYNTH_ARGUMENTS = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )

    def __init__(self):
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = pathlib.Path(espeakng_loader.get_data_path())
            rate = self._library.espeak_Initialize(
                self._OUTPUT_SYNCHRONOUS, 0, os.fsencode(data), self._DONT_EXIT
            )
        except (OSError, RuntimeError, AttributeError) as error:
            raise CorpusError(f"espeakng-loader does not work on this machine: {error}") from error
        self._library.espeak_Synth.argtypes = self._SYNTH_ARGUMENTS
        if rate != SAMPLE_RATE:
            raise CorpusError(f"eSpeak NG did not start with its data {data}: {rate}, not {SAMPLE_RATE} Hz")
        self._variants = data / "voices" / "!v"
        self._chunks: list[np.ndarray] = []
        # The library keeps the pointer only: the callback must live as long as this object.
        self._callback = self._CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, wave: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int | None) -> int:
        if wave and count > 0:
            self._chunks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return 0

    def speak(self, text: str, variant: str, prosody: Prosody) -> np.ndarray:
        """The text as samples [N], int16, SAMPLE_RATE Hz."""
        # Without the variant, eSpeak NG would speak in its base voice without a warning.
        if not (self._variants / variant).is_file():
            raise CorpusError(f"eSpeak NG has no voice variant {self._variants / variant}")
        self._chunks.clear()
        codes = [self._library.espeak_SetVoiceByName(f"en-us+{variant}".encode())]
        for name, number in self._PARAMETERS.items():
            codes.append(self._library.espeak_SetParameter(number, getattr(prosody, name), 0))
        data = text.encode()
        codes.append(self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, self._CHARS_UTF8, None, None))
        codes.append(self._library.espeak_Synchronize())
        if any(codes) or not self._chunks:
            raise CorpusError(f"eSpeak NG did not speak {text!r} as {variant} (codes {codes})")
        return np.concatenate(self._chunks)


def main() -> None:
    """The command: make the corpus in the folder given."""
    print_anything()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--speakers", type=int, default=8)
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        print(make(**vars(arguments)) / "manifest.csv")
    except (CorpusError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
