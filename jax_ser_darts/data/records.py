"""Records on disk -> a corpus in memory, and the parts of it that a fold names.

The folder carries its own schema and provenance, so nothing here knows how it was made. Features are small:
an utterance takes 4 bytes a frame and coefficient, e.g. 64 KiB for 128 x 128, so 10,000 utterances take
640 MiB at the most, and batches are cut from memory with no pipeline to tune.
"""

import collections
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from data_prep import sums
from jax_ser_darts.errors import UserError

_FIELDS = ("features", "label", "id", "speaker", "sex")
_AT_ONCE = 256  # splits in one pipeline: one each takes long to build, and TFDS recurses over a thousand
_PREPARE = "prepare the corpus again (--mode=prepare) and give the folder that it names"
_AGAIN = "remove this folder and prepare the corpus again (--mode=prepare)"  # what is there is not made anew


class RecordsError(UserError):
    """The folder holds no usable records; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Corpus:
    """All utterances of N, in memory; the utterance index is the position in every one of these.

    Attributes:
        classes: names; a label is the position in it.
        groups: group name -> its speakers, sorted: what `folds.make_folds` divides.
        features: N arrays, float32 [num_frames, F] each.
        num_frames: int32 [N].
        label: int32 [N].
        id: str [N], unique; this and the next three are arrays of str or of objects.
        speaker: str [N].
        group: str [N].
        sex: str [N]: "female", "male", or "" where unknown.
        metadata: of the records, see `data_prep.provenance.metadata_of`.
    """

    classes: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    features: tuple[np.ndarray, ...]
    num_frames: np.ndarray
    label: np.ndarray
    id: np.ndarray
    speaker: np.ndarray
    group: np.ndarray
    sex: np.ndarray
    metadata: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.features)

    @property
    def coefficients(self) -> int:
        """F, the features a frame."""
        return self.features[0].shape[1]

    @property
    def synthetic(self) -> bool:
        """Whether a machine spoke; a result on it says nothing about people."""
        return bool(self.metadata.get("synthetic", False))

    @property
    def fingerprint(self) -> str:
        """What results depend on besides the config: twice 16 hex digits, NAMES-CONTENT.

        NAMES is of who speaks which utterance, of which class, and the version of the user's function that computed the
        features, if any; CONTENT is of the sound too, see `data_prep.provenance.metadata_of`. The records have a
        fingerprint of their own, in the metadata: of the files that they were made from.
        """
        rows = sorted(zip(self.id.tolist(), self.label.tolist(), self.speaker.tolist(), strict=True))
        groups = {name: list(speakers) for name, speakers in self.groups.items()}
        version = [self.metadata[name] for name in ("features_version",) if name in self.metadata]
        text = json.dumps([self.classes, groups, rows, *version], sort_keys=True)
        return f"{hashlib.sha256(text.encode()).hexdigest()[:16]}-{self.metadata['content']}"

    def frames(self, *, multiple: int = 1) -> int:
        """T for every batch of this corpus: its longest utterance, rounded up to a multiple.

        It is the same for all folds and parts, so that a step is compiled once.
        """
        return -(-int(self.num_frames.max()) // multiple) * multiple

    def group_counts(self) -> dict[str, dict[str, int]]:
        """Group -> class -> utterances; the `balance` of `folds.make_folds`."""
        counts = collections.Counter(zip(self.group.tolist(), self.label.tolist(), strict=True))
        return {
            group: {name: counts[group, label] for label, name in enumerate(self.classes)}
            for group in self.groups
        }

    def group_sexes(self) -> dict[str, str]:
        """Group -> the sex of its speakers, "" where they differ; the `sexes` of `folds.make_folds`."""
        sexes: dict[str, set[str]] = {group: set() for group in self.groups}
        for group, sex in zip(self.group.tolist(), self.sex.tolist(), strict=True):
            sexes[group].add(sex)
        return {group: min(of) if len(of) == 1 else "" for group, of in sexes.items()}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """Some utterances of a corpus: `indices` int32 [n], ascending."""

    corpus: Corpus
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> np.ndarray:
        """int32 [n]."""
        return self.corpus.label[self.indices]

    @property
    def counts(self) -> dict[str, int]:
        """Class -> utterances, for every class of the corpus."""
        counts = np.bincount(self.labels, minlength=len(self.corpus.classes))
        return dict(zip(self.corpus.classes, counts.tolist(), strict=True))


def subset(corpus: Corpus, groups: Iterable[str]) -> Subset:
    """The utterances of these groups, e.g. of `Fold.train`.

    Raises:
        RecordsError: a group that the corpus lacks, or none at all.
    """
    wanted = set(groups)
    if unknown := sorted(wanted - set(corpus.groups)):
        raise RecordsError(f"the corpus has no group {', '.join(unknown)}; it has {', '.join(corpus.groups)}")
    if not wanted:
        raise RecordsError(f"no group is named; the corpus has {', '.join(corpus.groups)}")
    inside = [group in wanted for group in corpus.group.tolist()]
    return Subset(corpus, np.flatnonzero(inside).astype(np.int32))


def load_records(folder: pathlib.Path | str) -> Corpus:
    """Reads all records of one folder into memory, on the CPU.

    TensorFlow is imported here and nowhere else, is shown no accelerator, and is not needed afterwards.

    Args:
        folder: of one dataset and version, as `data_prep.prepare` returns it.

    Returns:
        The corpus: groups by name, utterances of a group in the order of the records.

    Raises:
        RecordsError: no dataset there, or one that is damaged, half-written, or has an empty split.
    """
    folder = pathlib.Path(folder)
    for name in ("dataset_info.json", "features.json"):
        if not (folder / name).is_file():
            raise RecordsError(_missing(folder, name))
    try:
        sums.check(folder)
    except sums.SumsError as error:
        raise RecordsError(f"the records in {folder} are damaged, or older: {error}: {_AGAIN}") from None
    tfds = _import_tensorflow()
    with _quiet():
        try:
            builder = tfds.builder_from_directory(folder)
            info, metadata = builder.info, dict(builder.info.metadata or {})
        except Exception as error:  # whatever a parser may raise
            raise RecordsError(
                f"the records in {folder} describe themselves wrongly ({error!r}): {_AGAIN}"
            ) from error
        sizes = _sizes(info, folder=folder)
        total = sum(sizes.values())
        examples = _read(tfds, builder, splits=list(sizes))
        if len(examples) != total or "content" not in metadata:
            raise RecordsError(f"the records in {folder} are not what they say of themselves: {_AGAIN}")

    def column(name: str) -> np.ndarray:
        return np.array(
            [example[name].decode() for example in examples], object
        )  # else all as long as the longest

    speaker, group = column("speaker"), np.repeat(list(sizes), list(sizes.values()))
    speakers = collections.defaultdict(set)
    for where, who in zip(group.tolist(), speaker.tolist(), strict=True):
        speakers[where].add(who)
    features = tuple(example["features"] for example in examples)
    corpus = Corpus(
        classes=tuple(info.features["label"].names),
        groups={name: tuple(sorted(speakers[name])) for name in sizes},
        features=features,
        num_frames=np.array([len(rows) for rows in features], np.int32),
        label=np.array([example["label"] for example in examples], np.int32),
        id=column("id"),
        speaker=speaker,
        group=group,
        sex=column("sex"),
        metadata=metadata,
    )
    mebibytes = sum(rows.nbytes for rows in features) / 2**20
    logging.info("Read %d utterances of %d groups, %.0f MiB: %s", total, len(sizes), mebibytes, folder)
    return corpus


def _sizes(info: Any, *, folder: pathlib.Path) -> dict[str, int]:
    """Split -> utterances, as the dataset's info has it; RecordsError where these cannot be read."""
    if missing := [name for name in _FIELDS if name not in info.features]:
        raise RecordsError(f"the records in {folder} have no {', '.join(missing)}: {_PREPARE}")
    sizes = {split: info.splits[split].num_examples for split in sorted(info.splits)}
    if not sizes:
        raise RecordsError(f"the records in {folder} have no split: {_PREPARE}")
    if empty := [split for split, size in sizes.items() if not size]:
        raise RecordsError(f"the records in {folder} have no utterance of {', '.join(empty)}: {_PREPARE}")
    return sizes


def _read(tfds: types.ModuleType, builder: Any, *, splits: Sequence[str]) -> list[dict[str, Any]]:
    """Every example, in the order of the splits and of their records."""
    config = tfds.ReadConfig(interleave_cycle_length=1, assert_cardinality=False)  # 1: one file after another
    examples = []
    for first in range(0, len(splits), _AT_ONCE):
        joined = "+".join(splits[first : first + _AT_ONCE])
        examples.extend(tfds.as_numpy(builder.as_dataset(split=joined, read_config=config)))
    return examples


def _import_tensorflow():
    """TFDS, whose TensorFlow is kept off the accelerators, which are JAX's."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    try:
        for kind in ("GPU", "TPU"):
            tf.config.set_visible_devices([], kind)
    except RuntimeError:  # it has been at work already, by someone who did not do this
        logging.warning("TensorFlow runs already: it may hold memory of the accelerators")
    return tfds


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """TFDS logs lines about itself."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(min(verbosity, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _missing(folder: pathlib.Path, name: str) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}: {_PREPARE}"
    below = sorted(str(path.parent) for path in folder.glob("**/dataset_info.json"))
    if below:
        return f"{folder} is not the folder of one dataset and version; below it is: {', '.join(below)}"
    return f"{folder} has no {name}, so it holds no records, or half-written ones: {_PREPARE}"
