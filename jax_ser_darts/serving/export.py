"""A finished workdir -> one bundle: chooses a network, writes down what is known of it, and proves what it wrote."""

import collections
import dataclasses
import functools
import importlib.metadata
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import flax.traverse_util
import jax
import numpy as np
from absl import logging

from data_prep import corpora, features
from data_prep.soundness import sentences_of
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.models.description import build, describe
from jax_ser_darts.rundir import layout
from jax_ser_darts.scoring import scores
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.serving import artifact, model_card
from jax_ser_darts.serving.bundle import (
    Bundle,
    expected_shapes,
    probabilities,
    probe_waveform,
    read_bundle,
    write_bundle,
)
from jax_ser_darts.serving.predictor import Predictor
from jax_ser_darts.settings import to_json
from jax_ser_darts.training import evaluate
from jax_ser_darts.training.evaluate import read_predictions
from jax_ser_darts.training.train import (
    Design,
    Trainer,
    best_variables,
    check_design,
    make_trainer,
    read_network,
)

_LIBRARIES = ("jax_ser_darts", "jax", "jaxlib", "flax", "numpy", "safetensors", "soundfile", "soxr")


@dataclasses.dataclass(frozen=True)
class Choice:
    """The network to export, and why it."""

    method: str
    fold: Fold
    seed: int
    design: Design
    reason: str


def export(
    experiment: Experiment, designs: Mapping[str, Sequence[Design]], folder: pathlib.Path
) -> pathlib.Path:
    """Writes the bundle of one trained network, reads it back and checks what it predicts.

    Args:
        experiment: of the finished workdir; its config.bundle says which network.
        designs: method -> the design of each fold, see `worker.network_designs`.
        folder: of the bundle; an older bundle there is replaced.

    Raises:
        ConfigError: nothing is trained that config.bundle asks for.
        BundleError: the folder holds something else.
    """
    choice = choose(experiment, designs)
    logging.info(
        "Exports %s, fold %d, seed %d: %s", choice.method, choice.fold.index, choice.seed, choice.reason
    )
    trainer = make_trainer(experiment, choice.design)
    bundle = make_bundle(trainer, choice, _provenance(experiment, designs, trainer, choice))
    bundle = dataclasses.replace(bundle, artifact=artifact.make(bundle))
    card = model_card.render(bundle)
    write_bundle(folder, bundle, card=card, versions=_versions())
    Predictor(read_bundle(folder))  # raises where it does not predict what the trained network did
    return folder


def choose(experiment: Experiment, designs: Mapping[str, Sequence[Design]]) -> Choice:
    """The network that config.bundle names; what it leaves open is chosen by validation speakers.

    That is the method of the highest mean validation UA over its trained networks, and of these the network of the
    highest; the first of equals. Without validation speakers, the first trained network. Test scores play no part.

    Raises:
        ConfigError: no such network is trained, or the config asks for another than the one that is.
    """
    wanted = experiment.config.bundle
    trained = collections.defaultdict(list)
    missing = []
    for method, of_folds in designs.items():
        for fold, design in zip(experiment.folds, of_folds, strict=True):
            for seed in experiment.config.train.seeds:
                pairs = ((wanted.method, method), (wanted.fold, fold.index), (wanted.seed, seed))
                folder = experiment.train_folder(method, fold, seed)
                if not all(asked in ("", -1, actual) for asked, actual in pairs):
                    continue
                if not (folder / layout.JOB_FILE).exists():
                    missing.append(str(folder.relative_to(experiment.workdir)))
                    continue
                about = check_design(folder, design)
                trained[method].append((about["validation_ua"] or 0.0, fold, seed, design))
    if not trained:
        have = sorted(str(path.parent) for path in experiment.workdir.glob(f"train/**/{layout.JOB_FILE}"))
        raise ConfigError(
            f"no trained network of config.bundle (method={wanted.method!r}, fold={wanted.fold}, seed={wanted.seed}; "
            f"'' and -1 are any) in {experiment.workdir}; trained are: {', '.join(have) or 'none'}. The config's "
            "search.methods, methods, folds.run and train.seeds must include it; or run --mode=train first"
        )
    means = {method: float(np.mean([ua for ua, *_ in of])) for method, of in trained.items()}
    method = max(means, key=means.__getitem__)  # the first of equals
    ua, fold, seed, design = max(trained[method], key=lambda network: network[0])
    count = sum(map(len, trained.values()))
    reason = (
        "it is the only one that was trained or asked for"
        if count == 1
        else f"of {count} networks, its method has the highest mean UA on validation speakers "
        f"({means[method]:.3f}), and it has the highest of that method ({ua:.3f})"
    )
    if missing:
        logging.warning("Not trained yet, so not to choose from: %s", ", ".join(missing))
        reason += f"; {len(missing)} more were not trained yet"
    return Choice(method, fold, seed, design, reason)


def make_bundle(trainer: Trainer, choice: Choice, provenance: Mapping[str, Any]) -> Bundle:
    """The bundle of a trained network, without an artifact."""
    experiment = trainer.experiment
    settings = features.FeatureSettings.from_mapping(experiment.corpus.metadata["features"])
    folder = experiment.train_folder(choice.method, choice.fold, choice.seed)
    variables = jax.device_get(best_variables(trainer, folder, choice.seed))
    description = describe(choice.design.network)
    bundle = Bundle(
        description=description,
        variables=_needed(variables, build(description), settings=settings, frames=experiment.frames),
        classes=experiment.corpus.classes,
        settings=settings,
        frames=experiment.frames,
        normalisation=experiment.train_part(choice.fold).normalisation,
        arrays=features.arrays(settings),
        windowing={
            "overlap": experiment.config.bundle.overlap,
            "silence": experiment.config.bundle.silence,
        },
        probe=(),
        provenance=provenance,
    )
    sound = probe_waveform(bundle.window_samples, settings.sampling_rate)
    prediction = jax.jit(
        functools.partial(probabilities, network=bundle.network, settings=settings, frames=experiment.frames)
    )(bundle.weights(), sound[None], np.array([len(sound)], np.int32))
    return dataclasses.replace(bundle, probe=tuple(map(float, prediction[0])))


def _needed(variables: Mapping[str, Any], network: Any, *, settings: Any, frames: int) -> dict[str, Any]:
    """The variables without what only training uses, such as an auxiliary classifier."""
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    expected = expected_shapes(network=network, settings=settings, frames=frames)
    needed = {name: flat[name] for name in flat if f"network/{name}" in expected}
    return flax.traverse_util.unflatten_dict(needed, sep="/")


def _provenance(
    experiment: Experiment, designs: Mapping[str, Sequence[Design]], trainer: Trainer, choice: Choice
) -> dict[str, Any]:
    """What provenance.json holds."""
    corpus, metadata, config = experiment.corpus, experiment.corpus.metadata, experiment.config
    folder = experiment.train_folder(choice.method, choice.fold, choice.seed)
    about = read_network(folder)
    # Makes predictions.json where it is missing.
    evaluate.evaluate(trainer, choice.method, choice.fold, choice.seed)
    speakers = {
        part: sorted({name for group in getattr(choice.fold, part) for name in corpus.groups[group]})
        for part in ("train", "validation", "test")
    }
    return {
        "corpus": {
            "name": metadata["corpus"],
            "synthetic": corpus.synthetic,
            "licence": config.bundle.licence or corpora.licence(metadata["corpus"]),
            "utterances": len(corpus),
            "speakers": len(set(corpus.speaker.tolist())),
            "counts": _counts(experiment),
            "emotions": dict(metadata["emotions"]),
            "target": bool(metadata.get("target", False)),
            "soundness": sentences_of(metadata),
            "fingerprint": metadata["fingerprint"],
        },
        "training": {
            "method": choice.method,
            "fold": choice.fold.index,
            "seed": choice.seed,
            "chosen": choice.reason,
            "speakers": speakers,
            **{name: about[name] for name in ("epoch", "validation_ua", "parameters", "seconds")},
        },
        "scores": _scores(experiment, choice),
        "config": to_json(config),
        "versions": {**_versions(), "records": dict(metadata.get("versions", {}))},
    }


def _scores(experiment: Experiment, choice: Choice) -> dict[str, Any]:
    """Of the exported network on its test speakers, and of its method on those of all folds that have predictions."""
    options: dict[str, Any] = {
        "level": experiment.config.scores.level,
        "resamples": experiment.config.scores.resamples,
    }
    paths = {
        fold: experiment.train_folder(choice.method, fold, choice.seed) / "predictions.json"
        for fold in experiment.folds
    }
    predictions = {fold: read_predictions(path) for fold, path in paths.items() if path.exists()}
    own, pooled = predictions[choice.fold], list(predictions.values())
    sex_of = dict(zip(experiment.corpus.id.tolist(), experiment.corpus.sex.tolist(), strict=True))
    unit: scores.Unit = "utterance" if len(pooled) == 1 else "speaker"
    return {
        "exported": scores.score(own, unit="utterance", **options).to_json(),
        "method": scores.pool(pooled, unit=unit, **options).to_json(),
        "method_folds": [fold.index for fold in predictions],
        "sexes": {
            sex: scores.pool(of, unit=unit, **options).to_json()
            for sex in sorted(set(sex_of.values()) - {""})
            if (of := [part for fold in pooled if (part := _of_sex(fold, sex, sex_of))])
        },
    }


def _of_sex(predictions: Predictions, sex: str, sex_of: Mapping[str, str]) -> Predictions | None:
    rows = [row for row, name in enumerate(predictions.ids) if sex_of.get(name) == sex]
    if not rows:
        return None
    columns = {
        name: [getattr(predictions, name)[row] for row in rows]
        for name in ("ids", "labels", "predictions", "speakers")
    }
    return Predictions(**columns, classes=predictions.classes)


def _counts(experiment: Experiment) -> dict[str, int]:
    counts = collections.Counter(experiment.corpus.label.tolist())
    return {name: counts[label] for label, name in enumerate(experiment.corpus.classes)}


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
