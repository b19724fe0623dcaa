"""A corpus and the config -> which utterances are taken, and of which class each is."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from data_prep import corpora, demo_corpus, names
from data_prep.corpora.base import BadFile, BadFilesError, CorpusError, Utterance
from data_prep.corpora.files import other_form
from data_prep.corpus_settings import CorpusSettings


@dataclasses.dataclass(frozen=True)
class Selection:
    """What is taken of a corpus.

    Attributes:
        source: the corpus's root, an absolute path.
        chosen: the utterances of the parts that are wanted, whatever their emotion.
        emotions: corpus's emotion -> class, of the emotions that are used.
        bad_files: those that the corpus's reader cannot use.
        notes: sentences of what the reader passed over.
    """

    source: pathlib.Path
    chosen: tuple[Utterance, ...]
    emotions: Mapping[str, str]
    bad_files: tuple[BadFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def utterances(self) -> list[Utterance]:
        """Those of `chosen` that have a class."""
        return [utterance for utterance in self.chosen if utterance.emotion in self.emotions]

    @property
    def labelled(self) -> list[tuple[Utterance, str]]:
        """The `utterances`, each with its class."""
        return [(utterance, self.emotions[utterance.emotion]) for utterance in self.utterances]


def select(data: CorpusSettings, *, records: pathlib.Path) -> Selection:
    """What `prepare` makes records of; whether the sound is usable is seen when it is read.

    Args:
        data, records: as of `prepare`.

    Raises:
        BadFilesError: no utterance can be used.
        CorpusError: the corpus does not fit the config, or near-equal names (`names`) are of one speaker or label.
    """
    source = _source(data, records=records)
    reading = _read(data, source)
    if not reading.utterances and reading.bad_files:
        raise BadFilesError(reading.bad_files, any_good=False)
    chosen = _choose(reading.utterances, parts=data.parts, target=data.intended_emotion)
    labels = collections.Counter(one.emotion for one in chosen)
    names.check_labels(labels, data.emotions, aliases=data.aliases)
    emotions = _emotions(labels, data.emotions)
    selection = Selection(source, tuple(chosen), emotions, reading.bad_files, reading.notes)
    names.check_speakers(selection.utterances, aliases=data.aliases)
    return selection


def read_corpus(data: CorpusSettings, *, records: pathlib.Path) -> corpora.Reading:
    """All utterances of the corpus, which `select` chooses from; arguments and errors as of `select`."""
    return _read(data, _source(data, records=records))


def _read(data: CorpusSettings, source: pathlib.Path) -> corpora.Reading:
    reading = corpora.read(data.corpus, source)
    return dataclasses.replace(reading, utterances=tuple(names.rename(reading.utterances, data.aliases)))


def _source(data: CorpusSettings, *, records: pathlib.Path) -> pathlib.Path:
    """The corpus's root, an absolute path that exists."""
    if not data.source and data.corpus == "demo":
        return demo_corpus.make(records.absolute().parent / "demo_corpus").resolve()
    if not data.source:
        example = "FILE.csv" if data.corpus == "manifest" else "DIR"
        raise CorpusError(f"no folder for corpus {data.corpus!r}: give --config.data.source={example}")
    source = pathlib.Path(data.source).expanduser().resolve()
    source = other_form(source) or source if not source.exists() else source
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


def _emotions(counts: Mapping[str, int], wanted: Mapping[str, str]) -> dict[str, str]:
    """Corpus's emotion -> class, for the emotions that are used; `counts` has the utterances of each."""
    listing = ", ".join(f"{emotion} ({count})" for emotion, count in sorted(counts.items())) or "none"
    if missing := sorted(set(wanted) - set(counts)):
        raise CorpusError(
            f"data.emotions names {', '.join(missing)}, but the corpus has no such utterance; "
            f"it has: {listing}"
        )
    if not counts:
        raise CorpusError("the corpus has no utterance at all: is data.source the right folder?")
    return dict(sorted(wanted.items())) or {emotion: emotion for emotion in sorted(counts)}
