"""A corpus and the config -> which utterances are taken, and of which class each is."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import ml_collections

from data_prep import corpora, demo_corpus
from data_prep.corpora.base import BadFile, CorpusError, Utterance


@dataclasses.dataclass(frozen=True)
class Selection:
    """What is taken of a corpus.

    Attributes:
        source: the corpus's root, an absolute path.
        chosen: the utterances of the parts that are wanted, whatever their emotion.
        emotions: corpus's emotion -> class, of the emotions that are used.
        bad_files: those that the corpus's reader cannot use.
    """

    source: pathlib.Path
    chosen: tuple[Utterance, ...]
    emotions: Mapping[str, str]
    bad_files: tuple[BadFile, ...]

    @property
    def utterances(self) -> list[Utterance]:
        """Those of `chosen` that have a class."""
        return [utterance for utterance in self.chosen if utterance.emotion in self.emotions]

    @property
    def labelled(self) -> list[tuple[Utterance, str]]:
        """The `utterances`, each with its class."""
        return [(utterance, self.emotions[utterance.emotion]) for utterance in self.utterances]


def select(data: ml_collections.ConfigDict, *, records: pathlib.Path) -> Selection:
    """What `prepare` makes records of; whether the sound is usable is seen when it is read.

    Args:
        data, records: as of `prepare`.

    Raises:
        CorpusError: the corpus does not fit the config.
    """
    _check(data)
    source = _source(data, records=records)
    reading = _read(data, source)
    chosen = _choose(reading.utterances, parts=data.parts, target=data.intended_emotion)
    return Selection(source, tuple(chosen), _emotions(chosen, dict(data.emotions)), reading.bad_files)


def read_corpus(data: ml_collections.ConfigDict, *, records: pathlib.Path) -> corpora.Reading:
    """All utterances of the corpus, which `select` chooses from; arguments and errors as of `select`."""
    return _read(data, _source(data, records=records))


def _check(data: ml_collections.ConfigDict) -> None:
    for name, allowed in {
        "group_by": ("speaker", "session", "part"),
        "on_bad_file": ("error", "skip"),
    }.items():
        if getattr(data, name) not in allowed:
            raise CorpusError(
                f"data.{name} is {getattr(data, name)!r}; it must be one of {', '.join(allowed)}"
            )
    if type(data.workers) is not int or data.workers < 0:
        raise CorpusError(f"data.workers is {data.workers!r}; it must be 0 (all cores) or more")


def _read(data: ml_collections.ConfigDict, source: pathlib.Path) -> corpora.Reading:
    return corpora.read(data.corpus, source)


def _source(data: ml_collections.ConfigDict, *, records: pathlib.Path) -> pathlib.Path:
    """The corpus's root, an absolute path that exists."""
    if not data.source and data.corpus == "demo":
        return demo_corpus.make(records.absolute().parent / "demo_corpus").resolve()
    if not data.source:
        source = "FILE.csv" if data.corpus == "manifest" else "DIR"
        raise CorpusError(f"no folder for corpus {data.corpus!r}: give --config.data.source={source}")
    source = pathlib.Path(data.source).expanduser().resolve()
    if not source.exists():
        raise CorpusError(f"the root of corpus {data.corpus!r} does not exist: {source} (data.source)")
    return source


def _choose(utterances: Sequence[Utterance], *, parts: Sequence[str], target: bool) -> list[Utterance]:
    """The utterances of these parts of the corpus (none named: all), with the emotion that is wanted."""
    there = {utterance.part for utterance in utterances}
    if missing := sorted(set(parts) - there):
        raise CorpusError(
            f"data.parts names {', '.join(missing)}; the corpus has: {', '.join(sorted(there - {''})) or 'no parts'}"
        )
    chosen = [utterance for utterance in utterances if not parts or utterance.part in parts]
    if not target:
        return chosen
    if without := [utterance for utterance in chosen if not utterance.target]:
        raise CorpusError(
            f"{len(without)} utterance(s) have no target emotion, such as {without[0].path}: "
            "set data.intended_emotion=False"
        )
    return [dataclasses.replace(utterance, emotion=utterance.target) for utterance in chosen]


def _emotions(utterances: Sequence[Utterance], wanted: Mapping[str, str]) -> dict[str, str]:
    """Corpus's emotion -> class, for the emotions that are used."""
    counts = collections.Counter(utterance.emotion for utterance in utterances)
    listing = ", ".join(f"{emotion} ({count})" for emotion, count in sorted(counts.items())) or "none"
    if missing := sorted(set(wanted) - set(counts)):
        raise CorpusError(
            f"data.emotions names {', '.join(missing)}, but the corpus has no such utterance; "
            f"it has: {listing}"
        )
    if not counts:
        raise CorpusError("the corpus has no utterance at all: is data.source the right folder?")
    return dict(sorted(wanted.items())) or {emotion: emotion for emotion in sorted(counts)}
