"""Features -> TFRecords: a TFDS builder with one split for each group of speakers.

The folder it writes carries its own schema and provenance: `tfds.builder_from_directory(folder)` reads it,
and needs nothing of this package. It works offline; `beam.py` lets many machines write a split each with it, and
`Gathered` makes one dataset of these.
"""

import contextlib
import io
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from absl import logging

from data_prep import sums
from data_prep.compute import Computed
from data_prep.corpora.base import BadFile

BAD_FILES = "bad_files.json"
AGAIN = "the records are made anew"  # by the next run, where a disk was full


# mypy does not see the bases of TFDS, which take skip_registration.
class SpeechFeatures(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes utterances, grouped into splits, to `data_dir/name/version`.

    Each example has `features` float32 [T, F], `label`, `id`, `speaker`, `session`, `sex`, `emotion` (the
    corpus's own word) and `seconds`; examples keep the order in which they are given.
    """

    def __init__(
        self,
        *,
        name: str,
        version: str,
        data_dir: pathlib.Path,
        splits: Mapping[str, Sequence[Computed]],
        rows: np.ndarray,
        emotions: Mapping[str, str],
        metadata: Mapping[str, Any],
        bad_files: Sequence[BadFile] = (),
        progress: bool = True,
    ):
        """Makes the builder; `write` runs it.

        Args:
            name: of the dataset: a letter, then letters, digits, underscores.
            version: of the records, such as "1.0.0".
            data_dir: the folder of all datasets.
            splits: split name -> its utterances.
            rows: float32 [all frames, F], which the utterances point into.
            emotions: the corpus's emotion -> class.
            metadata: JSON values, stored beside the records.
            bad_files: what was left out; listed in bad_files.json where there is any.
            progress: whether a terminal is shown how far it is.
        """
        self.name, self.VERSION = name, tfds.core.Version(version)
        self._splits, self._rows, self._emotions = splits, rows, emotions
        self._metadata, self._bad_files, self._progress = metadata, bad_files, progress
        super().__init__(data_dir=data_dir)

    def write(self, *, download_dir: pathlib.Path) -> pathlib.Path:
        """Writes everything into a temporary folder, renames it, adds the checksums of all files, and returns it.

        Args:
            download_dir: an existing scratch folder; TFDS insists on one, and puts nothing into it.
        """
        tfds.disable_progress_bar()  # its bars count splits; `_split_generators` has one of utterances
        with _quiet():
            self.download_and_prepare(
                download_dir=download_dir,
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
        folder = pathlib.Path(self.data_dir)
        sums.write(folder, AGAIN)
        return folder

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        features = tfds.features.Tensor(
            shape=(None, self._rows.shape[1]),
            dtype=np.float32,
            encoding=tfds.features.Encoding.BYTES,  # a list of floats takes 1.4 ms an utterance to write
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="Features of speech with one emotion an utterance; one split a group of speakers.",
            features=tfds.features.FeaturesDict(
                {
                    "features": features,
                    "label": tfds.features.ClassLabel(names=sorted(set(self._emotions.values()))),
                    "id": text,
                    "speaker": text,
                    "session": text,
                    "sex": text,
                    "emotion": text,
                    "seconds": tfds.features.Scalar(dtype=np.float32),
                }
            ),
            metadata=tfds.core.MetadataDict(self._metadata),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager  # nothing is downloaded
        self._list_bad_files()
        total = sum(map(len, self._splits.values()))
        hidden = None if self._progress else True  # None: shown on a terminal
        bar = tqdm.tqdm(total=total, desc="records", unit="utt", disable=hidden)
        return {split: self._generate_examples(computed, bar) for split, computed in self._splits.items()}

    def _list_bad_files(self) -> None:
        if self._bad_files:
            listed = [{"path": bad.path, "reason": bad.reason} for bad in self._bad_files]
            text = json.dumps(listed, indent=2, ensure_ascii=False) + "\n"
            (self.data_path / BAD_FILES).write_text(text, encoding="utf-8")

    def _generate_examples(
        self, computed: Sequence[Computed], bar: tqdm.tqdm
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, example in enumerate(computed):
            utterance = example.utterance
            yield (
                index,
                {
                    "features": self._rows[example.first : example.first + example.frames],
                    "label": self._emotions[utterance.emotion],
                    "id": utterance.id,
                    "speaker": utterance.speaker,
                    "session": utterance.session,
                    "sex": utterance.sex,
                    "emotion": utterance.emotion,
                    "seconds": np.float32(example.seconds),
                },
            )
            bar.update()


class Gathered(SpeechFeatures, skip_registration=True):  # type: ignore[call-arg]
    """The same dataset of datasets that hold one split each: their files are moved, not read."""

    def __init__(self, *, parts: Mapping[str, pathlib.Path], coefficients: int, **arguments: Any):
        """Makes the builder; `write` runs it.

        Args:
            parts: split name -> the folder of a dataset of the same name and version that has this split alone; on the
                file system of data_dir, and without its files afterwards.
            coefficients: F.
            arguments: as of `SpeechFeatures`, without rows.
        """
        self._parts = parts
        super().__init__(rows=np.empty((0, coefficients), np.float32), **arguments)

    def _download_and_prepare(self, dl_manager: tfds.download.DownloadManager, download_config: Any) -> None:
        """What TFDS asks of a builder: the files in `data_path`, the splits in `info`."""
        del dl_manager, download_config
        self._list_bad_files()
        infos = []
        for split in self._splits:
            (info,) = tfds.builder_from_directory(self._parts[split]).info.splits.values()
            for path in info.filepaths:
                pathlib.Path(path).rename(self.data_path / path.name)
            template = info.filename_template.replace(data_dir=self.data_path)
            infos.append(info.replace(filename_template=template))
        self.info.set_splits(tfds.core.SplitDict(infos))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TFDS would print of a download, and log lines for every split."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.WARNING))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
