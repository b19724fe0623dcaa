"""Scores of what was trained: each fold's test speakers are heard once, by systems that never met them."""

import dataclasses
import pathlib
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from jax_ser_darts.data.folds import Fold
from jax_ser_darts.data.records import Subset, subset
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.files import write_json, write_text
from jax_ser_darts.rundir.manifest import read_object
from jax_ser_darts.scoring import scores
from jax_ser_darts.scoring.scores import Predictions, Scores, Spread
from jax_ser_darts.training.designs import random_methods
from jax_ser_darts.training.spaces import is_random, random_method
from jax_ser_darts.training.train import Trainer, best_variables, check_design, predict

_NO_RANDOM = (
    "[what a search is worth is what it adds to random architectures of the space that it searched: "
    "--config.baselines.random=3 trains three of each fold in this workdir]"
)


@dataclasses.dataclass(frozen=True)
class Result:
    """What one trained system answered to its fold's test part, and what it cost.

    Attributes:
        answers: to the test part.
        parameters: trained numbers; None where they cannot be counted so.
        seconds: that its training took.
    """

    answers: Predictions
    parameters: int | None
    seconds: float


def make_predictions(test: Subset, predictions: np.ndarray) -> Predictions:
    """The answers of predictions `[n]`, in the order of `test`."""
    return Predictions(
        ids=test.corpus.id[test.indices].tolist(),
        labels=test.labels.tolist(),
        predictions=predictions.tolist(),
        speakers=test.corpus.speaker[test.indices].tolist(),
        classes=test.corpus.classes,
    )


def read_predictions(path: pathlib.Path) -> Predictions:
    """The answers of a file.

    Raises:
        ConfigError, ScoreError: the file is damaged.
    """
    return Predictions.from_json(
        read_object(path, *(field.name for field in dataclasses.fields(Predictions)))
    )


def result(trainer: Trainer, method: str, fold: Fold, seed: int) -> Result:
    """The answers of one trained network; made once, then read from predictions.json."""
    experiment = trainer.experiment
    folder = experiment.train_folder(method, fold, seed)
    network = check_design(folder, trainer.design)
    path = folder / "predictions.json"
    if not path.exists():
        test = subset(experiment.corpus, fold.test)
        variables = best_variables(trainer, folder, seed)
        probabilities = predict(trainer, variables, test, experiment.train_part(fold))
        write_json(path, make_predictions(test, probabilities.argmax(axis=-1)).to_json())
    return Result(read_predictions(path), network["parameters"], network["seconds"])


def row_name(experiment: Experiment, method: str) -> str:
    """A training method's name in the table: the search's seed is in it where there are several."""
    name, _, search_seed = method.partition("/search_")
    several = len(experiment.config.search.seeds) > 1
    return f"{name}, search {search_seed}" if search_seed and several else name


def summarise(
    experiment: Experiment, results: Mapping[str, Mapping[int, Sequence[Result]]]
) -> tuple[dict[str, Scores], dict]:
    """Scores of each method and training seed over all folds.

    Args:
        experiment: whose folds they are.
        results: method -> training seed -> the result of each fold.

    Returns:
        Row name -> scores of the pooled folds, and all figures as JSON: pooled, a fold, mean and deviation, costs.
    """
    options = {"level": experiment.config.scores.level, "resamples": experiment.config.scores.resamples}
    rows, figures = {}, {}
    for method, seeds in results.items():
        for seed, folds in seeds.items():
            name = row_name(experiment, method) + (f", seed {seed}" if len(seeds) > 1 else "")
            rows[name] = scores.pool([of.answers for of in folds], **options)
            each = [scores.score(of.answers, **options) for of in folds]
            figures[name] = {
                "method": method,
                "seed": seed,
                "pooled": rows[name].to_json(),
                "over_folds": _plain(scores.over_folds(each)),
                "folds": {
                    str(fold.index): one.to_json() for fold, one in zip(experiment.folds, each, strict=True)
                },
                "parameters": [of.parameters for of in folds],
                "seconds": [of.seconds for of in folds],
            }
    return rows, figures


def report(experiment: Experiment, rows: Mapping[str, Scores], figures: dict) -> str:
    """The text that a run ends with: the table, mean and deviation over folds, a confusion matrix a row.

    Random architectures have a row a draw, which is another one in every fold, and one of their mean a search space:
    what an architecture of this space is worth without a search. RI is the relative improvement of a row's UA over that
    of its space. Where networks were found and there is no random one, the text says how to add some. Also written to
    scores.json and scores.txt of the workdir.
    """
    metadata = experiment.corpus.metadata
    kind = "SYNTHETIC speech: says nothing about people" if experiment.corpus.synthetic else "real speech"
    found = experiment.config.search.methods or experiment.config.train.genotype
    spaces = random_methods(experiment.config)
    draws = {draw: [] for of_space in spaces.values() for draw in of_space}
    for name, figure in figures.items():
        if figure["method"] in draws:
            draws[figure["method"]].append(rows[name])
    columns = {
        "parameters": {
            name: "-" if None in figure["parameters"] else f"{statistics.fmean(figure['parameters']):,.0f}"
            for name, figure in figures.items()
        },
        "train s": {name: f"{statistics.fmean(figure['seconds']):,.1f}" for name, figure in figures.items()},
    }
    averages, saved = {}, {"corpus": metadata["corpus"], "rows": figures}
    folds = {name: figure["over_folds"] for name, figure in figures.items()}
    at_random = {}
    for method, of_space in spaces.items():
        spread = scores.over_means([draws[draw] for draw in of_space])
        averages[f"{method}, mean of {len(of_space)} (deviation)"] = spread
        of_folds = scores.over_means(
            [
                [
                    Scores.from_json(f["folds"][str(fold.index)])
                    for f in figures.values()
                    if f["method"] in of_space
                ]
                for fold in experiment.folds
            ]
        )
        folds[f"{method}, mean of {len(of_space)}"] = _plain(of_folds)
        saved[method] = {
            "methods": of_space,
            **_plain(spread),
            "over_folds": folds[f"{method}, mean of {len(of_space)}"],
        }
        own = dict.fromkeys(of_space, method)
        for name, figure in figures.items():
            if spread["ua"].mean and own.get(figure["method"], _over(experiment, figure["method"])) == method:
                at_random[name] = f"{100 * (rows[name].ua.value / spread['ua'].mean - 1):+.1f}"
    if at_random:
        columns["RI %"] = at_random
    lines = [
        f"Corpus {metadata['corpus']} ({kind}), {len(experiment.folds)} speaker-independent fold(s), "
        f"{len(experiment.test_speakers)} test speakers, chance UA {1 / len(experiment.corpus.classes):.3f}",
        "",
        scores.table(rows, averages=averages, columns=columns),
        "[parameters and seconds of training: mean over folds]",
        *([_NO_RANDOM] if found and not spaces else []),
        "",
        "Over folds, mean (standard deviation):",
    ]
    for name, spreads in folds.items():
        shown = "  ".join(f"{key.upper()} {Spread(**spreads[key])}" for key in ("ua", "wa", "f1"))
        lines.append(f"  {name}: {shown}")
    for name, row in rows.items():
        if figures[name]["method"] in draws:
            continue  # scores.json has them
        lines += ["", f"Confusion of {name}, % of the true class (rows):", scores.confusion_table(row)]
    text = "\n".join(lines)
    write_json(experiment.workdir / "scores.json", saved)
    write_text(experiment.workdir / "scores.txt", text + "\n")
    return text


def _over(experiment: Experiment, method: str) -> str | None:
    """The random method that a training method is compared with; None of a random one, which has its own."""
    if is_random(method):
        return None
    return random_method(experiment.config, method.partition("/search_")[0])


def _plain(spreads: Mapping[str, Spread]) -> dict:
    return {key: dataclasses.asdict(spread) for key, spread in spreads.items()}
