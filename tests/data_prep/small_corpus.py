"""Three speakers of noise as a manifest corpus, what to prepare of it, and how to read what was prepared."""

import csv
import pathlib

import numpy as np
import soundfile
import tensorflow_datasets as tfds

from data_prep.corpus_settings import CorpusSettings
from data_prep.features import FeatureSettings
from data_prep.provenance import VERSION

RATE = 8_000
FEATURES = FeatureSettings(
    **{
        "kind": "mfcc",
        "sampling_rate": RATE,
        "seconds": 0.5,
        "n_fft": 256,
        "hop": 80,
        "coefficients": 13,
        "n_mels": 26,
        "fmin": 0.0,
        "fmax": 0.0,
        "pool": 2,
        "pool_kind": "max",
    }
)
SPEAKERS = {"a-1": "one", "a 1": "two", "b": "one"}  # and their sessions


def configured(source: pathlib.Path | str, /, **changes) -> CorpusSettings:
    data = {
        "corpus": "manifest",
        "source": str(source),
        "emotions": {"anger": "angry", "rage": "angry", "sorrow": "sad"},
        "parts": (),
        "intended_emotion": False,
        "group_by": "speaker",
        "on_bad_file": "error",
        "workers": 1,
    }
    return CorpusSettings(**(data | changes))


def make(root: pathlib.Path) -> pathlib.Path:
    """Three speakers, four emotions (one unused), two utterances each, of 0.3 to 0.7 s; a manifest."""
    root.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for speaker, session in SPEAKERS.items():
        for emotion in ("anger", "rage", "sorrow", "boredom"):
            for take in (1, 2):
                name = f"{speaker}_{emotion}_{take}.wav"
                noise = 0.1 * rng.standard_normal(round(rng.uniform(0.3, 0.7) * RATE))
                soundfile.write(root / name, noise, RATE)
                rows.append([name, speaker, emotion, session, "female"])
    write_manifest(root, rows)
    return root


def write_manifest(root: pathlib.Path, rows: list[list[str]]) -> None:
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "speaker", "emotion", "session", "sex"], *rows])


def edit_manifest(root: pathlib.Path, old: str, new: str) -> None:
    table = root / "manifest.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))


def read(folder: pathlib.Path) -> dict[str, list[dict]]:
    dataset = tfds.builder_from_directory(folder)
    return {split: list(tfds.as_numpy(dataset.as_dataset(split=split))) for split in dataset.info.splits}


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def published(records: pathlib.Path) -> list[pathlib.Path]:
    """Every folder that a reader could take for records."""
    found = (path.parent for path in records.rglob("dataset_info.json"))
    return [folder for folder in found if folder.name == VERSION and ".scratch_" not in str(folder)]


def spoil(corpus: pathlib.Path) -> set[str]:
    """Makes the corpus hold one file of each bad kind; their names."""
    (corpus / "a-1_anger_1.wav").write_text("this is no sound\n" * 99)
    (corpus / "a-1_rage_1.wav").write_bytes(b"")
    soundfile.write(corpus / "a 1_rage_1.wav", np.zeros(RATE), RATE)
    soundfile.write(corpus / "b_anger_1.wav", np.full(RATE, np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(corpus / "b_rage_1.wav", np.ones(20), RATE)
    loud = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * np.float32(1e25)
    soundfile.write(corpus / "b_rage_2.wav", loud, RATE, subtype="FLOAT")
    names = ["a-1_anger_1", "a-1_rage_1", "a 1_rage_1", "b_anger_1", "b_rage_1", "b_rage_2"]
    return {f"{name}.wav" for name in names}
