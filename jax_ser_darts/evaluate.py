"""Scores of the trained networks: each fold's test speakers are heard once, by networks that never met them."""

import json
from collections.abc import Mapping, Sequence

from jax_ser_darts import scores
from jax_ser_darts.experiment import Experiment
from jax_ser_darts.files import write_json, write_text
from jax_ser_darts.folds import Fold
from jax_ser_darts.records import subset
from jax_ser_darts.scores import Answers, Scores
from jax_ser_darts.train import Trainer, kept_variables, predict


def answer(trainer: Trainer, method: str, fold: Fold, seed: int) -> Answers:
    """The answers of one trained network to its fold's test part; made once, then read from answers.json."""
    experiment = trainer.experiment
    folder = experiment.train_folder(method, fold, seed)
    path = folder / "answers.json"
    if path.exists():
        return Answers.from_json(json.loads(path.read_text()))
    test = subset(experiment.corpus, fold.test)
    variables = kept_variables(trainer, folder, seed)
    probabilities = predict(trainer, variables, test, experiment.train_part(fold))
    answers = Answers(
        ids=experiment.corpus.id[test.indices].tolist(),
        labels=test.labels.tolist(),
        predictions=probabilities.argmax(axis=-1).tolist(),
        speakers=experiment.corpus.speaker[test.indices].tolist(),
        classes=experiment.corpus.classes,
    )
    write_json(path, answers.to_json())
    return answers


def summarise(
    experiment: Experiment, answers: Mapping[str, Mapping[int, Sequence[Answers]]]
) -> tuple[dict[str, Scores], dict]:
    """Scores of each method and training seed over all folds.

    Args:
        answers: method -> training seed -> the answers of each fold.

    Returns:
        Row name -> scores of the pooled folds, and all figures as JSON: pooled, a fold, mean and deviation.
    """
    options = {"level": experiment.config.scores.level, "resamples": experiment.config.scores.resamples}
    rows, figures = {}, {}
    for method, seeds in answers.items():
        for seed, folds in seeds.items():
            name = method if len(seeds) == 1 else f"{method}, seed {seed}"
            rows[name] = scores.pool(folds, **options)
            each = [scores.score(fold, **options) for fold in folds]
            spread = {key: {"mean": s.mean, "std": s.std} for key, s in scores.over_folds(each).items()}
            figures[name] = {
                "pooled": rows[name].to_json(),
                "over_folds": spread,
                "folds": {
                    str(fold.index): one.to_json() for fold, one in zip(experiment.folds, each, strict=True)
                },
            }
    return rows, figures


def report(experiment: Experiment, rows: Mapping[str, Scores], figures: dict) -> str:
    """The text that a run ends with: the table, mean and deviation over folds, a confusion matrix a row.

    Also written to scores.json and scores.txt of the workdir.
    """
    metadata = experiment.corpus.metadata
    kind = "SYNTHETIC speech: says nothing about people" if experiment.corpus.synthetic else "real speech"
    test_speakers = sum(len(experiment.corpus.groups[g]) for fold in experiment.folds for g in fold.test)
    lines = [
        f"Corpus {metadata['corpus']} ({kind}), {len(experiment.folds)} speaker-independent fold(s), "
        f"{test_speakers} test speakers, chance UA {1 / len(experiment.corpus.classes):.3f}",
        "",
        scores.table(rows),
        "",
        "Over folds, mean (standard deviation):",
    ]
    for name, figure in figures.items():
        shown = "  ".join(_spread(key, figure["over_folds"][key]) for key in ("ua", "wa", "f1"))
        lines.append(f"  {name}: {shown}")
    for name, row in rows.items():
        lines += ["", f"Confusion of {name}, % of the true class (rows):", scores.confusion_table(row)]
    text = "\n".join(lines)
    write_json(experiment.workdir / "scores.json", {"corpus": metadata["corpus"], "rows": figures})
    write_text(experiment.workdir / "scores.txt", text + "\n")
    return text


def _spread(key: str, spread: Mapping) -> str:
    deviation = "" if spread["std"] is None else f" ({spread['std']:.3f})"
    return f"{key.upper()} {spread['mean']:.3f}{deviation}"
