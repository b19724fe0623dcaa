"""How a bundle does on another corpus: the same network, other speakers, microphones, perhaps another language."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import logging

from data_prep import audio
from data_prep.corpora.base import BadFile, BadFilesError, Utterance
from data_prep.selection import select
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import records_root
from jax_ser_darts.files import write_json, write_text
from jax_ser_darts.scoring.confusion import metrics_of
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.scoring.scores import Scores, Unit, score
from jax_ser_darts.scoring.text import confusion_table, score_table
from jax_ser_darts.serving.bundle import Bundle, read_bundle
from jax_ser_darts.serving.predictor import Predictor
from jax_ser_darts.settings import Settings

NAME = "domain"  # of the files in the workdir
_ALL_IS_SPEECH = -120.0  # dB: somebody has labelled these utterances, so none of them is silence


def check(config: Settings, folder: pathlib.Path, workdir: pathlib.Path) -> str:
    """Evaluates a bundle on every labelled utterance of the config's corpus, and compares with the bundle's own scores.

    An utterance is heard as `predict` hears it: a longer one than a window as the mean of its windows that are not
    silent. Where all are, it gets a class all the same.

    The corpus's classes (config.data.emotions) are the bundle's of the same name, or those that config.bundle.labels
    gives them; utterances of others are left out. The drop is in UA over the classes that the corpus has, which the
    bundle's own figure is taken over, too. WORKDIR/domain.json and domain.txt keep the result.

    Returns:
        The report.

    Raises:
        BundleError, CorpusError: of the bundle, of the corpus.
        ConfigError: no class of the corpus is one of the bundle's, or a label names none.
    """
    bundle = read_bundle(folder)
    selection = select(config.data, records=records_root(config, workdir))
    utterances = selection.labelled
    label_of = map_labels(
        sorted({name for _, name in utterances}), dict(config.bundle.labels), classes=bundle.classes
    )
    known = [(utterance, label_of[name]) for utterance, name in utterances if name in label_of]
    predictions, bad_files, heard = _predictions(bundle, known, selection.bad_files)
    if bad_files and config.data.on_bad_file == "error":
        raise BadFilesError(bad_files)
    unit: Unit = "speaker" if len(set(predictions.speakers)) > 1 else "utterance"
    here = score(predictions, unit=unit, level=config.scores.level, resamples=config.scores.resamples)
    home = Scores.from_json(bundle.provenance["scores"]["exported"])
    shared = [name for name, row in zip(bundle.classes, here.confusion, strict=True) if sum(row)]
    at_home = recall_of(home, shared)
    result = {
        "bundle": {"folder": str(folder), "digest": bundle.digest},
        "corpus": config.data.corpus,
        "labels": label_of,
        "left_out": {name: n for name, n in _counts(utterances).items() if name not in label_of},
        "bad_files": [dataclasses.asdict(bad) for bad in bad_files],
        **heard,
        "classes": shared,
        "scores": here.to_json(),
        "own_ua": at_home,
        "drop": None if at_home is None else at_home - here.ua.value,
    }
    text = _report(result, bundle, here, home, met=_met(config.data.corpus, bundle, predictions.speakers))
    write_json(workdir / f"{NAME}.json", result)
    write_text(workdir / f"{NAME}.txt", text + "\n")
    return text


def map_labels(names: Sequence[str], given: Mapping[str, str], *, classes: Sequence[str]) -> dict[str, str]:
    """Class of the corpus -> class of the bundle, for those that have one.

    Raises:
        ConfigError: `given` names what is not there, or nothing is left.
    """
    for name, of_bundle in given.items():
        if name not in names:
            raise ConfigError(
                f"config.bundle.labels: the corpus has no class {name!r}; it has {', '.join(names)}"
            )
        if of_bundle not in classes:
            raise ConfigError(
                f"config.bundle.labels: {of_bundle!r} is no class of the bundle; it has {', '.join(classes)}"
            )
    labels = {name: given.get(name, name) for name in names}
    labels = {name: of_bundle for name, of_bundle in labels.items() if of_bundle in classes}
    if not labels:
        raise ConfigError(
            f"the corpus has the classes {', '.join(names)}, the bundle {', '.join(classes)}: name counterparts by "
            "--config.bundle.labels=\"(('CLASS','CLASS_OF_THE_BUNDLE'),)\""
        )
    return labels


def recall_of(own: Scores, classes: Sequence[str]) -> float | None:
    """Mean recall over some classes; None where one of them was never tested."""
    confusion = np.array(own.confusion)
    confusion[[name not in classes for name in own.classes]] = 0
    if np.count_nonzero(confusion.sum(axis=1)) < len(classes):
        return None
    return float(metrics_of(confusion)["ua"])


def _predictions(
    bundle: Bundle, utterances: Sequence[tuple[Utterance, str]], bad_files: Sequence[BadFile]
) -> tuple[Predictions, list[BadFile], dict[str, int]]:
    """The predictions; files that cannot be used; how many utterances have several windows, how many are silence."""
    predictor, bad_files, rows = Predictor(bundle), list(bad_files), []
    hears_all = functools.cache(lambda: Predictor(bundle, silence=_ALL_IS_SPEECH))
    heard = {"several_windows": 0, "silent": 0}
    for utterance, name in tqdm.tqdm(utterances, desc="utterances", unit="utt", disable=None):
        try:
            waveform = audio.read(utterance, sampling_rate=predictor.sampling_rate)
            prediction = predictor.predict(waveform, predictor.sampling_rate)
            heard["several_windows"] += len(prediction.timeline) > 1
            if prediction.emotion is None:
                heard["silent"] += 1
                prediction = hears_all().predict(waveform, predictor.sampling_rate)
        except audio.AudioError as error:
            bad_files.append(BadFile(str(utterance.path), str(error)))
            continue
        place = bundle.classes.index
        rows.append((utterance.id, place(name), place(prediction.emotion), utterance.speaker or "unknown"))
    if not rows:
        raise BadFilesError(bad_files)
    if bad_files:
        logging.warning("%d file(s) cannot be used, such as %s", len(bad_files), bad_files[0])
    ids, labels, predictions, speakers = zip(*rows, strict=True)
    return (
        Predictions(
            ids=ids, labels=labels, predictions=predictions, speakers=speakers, classes=bundle.classes
        ),
        bad_files,
        heard,
    )


def _met(corpus: str, bundle: Bundle, speakers: Sequence[str]) -> list[str]:
    """Speakers whom the network has met in training: only where it is the same corpus can that be seen."""
    if bundle.provenance["corpus"]["name"] != corpus:
        return []
    of = bundle.provenance["training"]["speakers"]
    return sorted({*of["train"], *of["validation"]} & set(speakers))


def _counts(utterances: Sequence[tuple[Utterance, str]]) -> dict[str, int]:
    names = [name for _, name in utterances]
    return {name: names.count(name) for name in sorted(set(names))}


def _report(result: dict[str, Any], bundle: Bundle, here: Scores, home: Scores, *, met: Sequence[str]) -> str:
    corpus = bundle.provenance["corpus"]["name"]
    mapped = ", ".join(f"{name} -> {other}" for name, other in result["labels"].items())
    lines = [f"A bundle trained on {corpus}, evaluated on {result['corpus']}; classes: {mapped}"]
    if result["left_out"]:
        lines.append(f"Left out, having no counterpart: {result['left_out']}")
    if result["bad_files"]:
        lines.append(f"Left out, unusable: {len(result['bad_files'])} file(s), see {NAME}.json")
    if result["several_windows"]:
        lines.append(
            f"{result['several_windows']} utterance(s) are longer than a window: scored by all their windows, as "
            "`predict` does; the bundle's own scores are of the first window alone"
        )
    if result["silent"]:
        lines.append(
            f"{result['silent']} utterance(s) are silence to `predict`: they got a class all the same"
        )
    if met:
        lines.append(
            f"WARNING: trained on {len(met)} of these speakers ({', '.join(met[:5])}, ...): the scores are too high"
        )
    lines += ["", score_table({f"{corpus}, own test speakers": home, str(result["corpus"]): here}), ""]
    over = ", ".join(result["classes"])
    if result["drop"] is None:
        lines.append(f"The drop is unknown: the bundle's own test speakers lack one of {over}.")
    else:
        lines.append(
            f"UA over {over}: {result['own_ua']:.3f} at home, {here.ua.value:.3f} here: "
            f"a drop of {result['drop']:.3f}. Chance among the bundle's classes: {1 / len(bundle.classes):.3f}."
        )
    return "\n".join([*lines, "", "Confusion here, % of the true class (rows):", confusion_table(here)])
