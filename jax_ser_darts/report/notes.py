"""What a reader of the tables has to know: what they are of, what was tested, how far it can be trusted."""

import collections
from collections.abc import Mapping
from typing import Any

from jax_ser_darts.report.summary import FAMILIES
from jax_ser_darts.report.tables import ranked
from jax_ser_darts.rundir.progress import duration
from jax_ser_darts.scoring.scores import FEW_SPEAKERS, absent_warning
from jax_ser_darts.training.designs import GIVEN_GENOTYPE
from jax_ser_darts.training.spaces import is_random

FEW_SEEDS = 5  # below, the reader is warned


def notes(summary: Mapping[str, Any]) -> list[str]:
    """All notes, a sentence or two each."""
    return [
        *about_scores(summary),
        *about_sound(summary),
        *(about_tests(summary) if summary["tests"] else []),
        *about_variances(summary),
        *(about_agreement() if summary["agreement"] else []),
        *about_costs(),
    ]


def missing(left_out: Mapping[str, Any]) -> str:
    """Of a method that is left out, why."""
    error = left_out["error"]  # the first line: XLA's have many
    why = f" ({error.strip().splitlines()[0]})" if error else ""
    return "{method}: {done} of {jobs} jobs are done, and not {first}".format(**left_out) + why


def about_scores(summary: Mapping[str, Any]) -> list[str]:
    """What the metrics are of, and how far they can be trusted."""
    level, speakers, folds = 100 * summary["level"], len(summary["speakers"]), len(summary["folds"])
    kind = "SYNTHETIC speech, which says nothing about people" if summary["synthetic"] else "real speech"
    sentences = [
        f"Corpus {summary['corpus']} ({kind}): {folds} speaker-independent fold(s), {speakers} test speakers, "
        f"{summary['utterances']} test utterances, chance UA {1 / len(summary['classes']):.3f}; "
        f"{duration(summary['wall_seconds'])} of work.",
    ]
    if summary["left_out"]:
        sentences.append(f"NOT the whole grid. Left out: {'; '.join(map(missing, summary['left_out']))}.")
    if summary["absent_classes"]:
        sentences.append(f"{absent_warning(summary['classes'], summary['absent_classes'])}.")
    sentences.append(
        f"Metrics are means over all networks of a method, of the pooled folds. Intervals ({level:g} %): bootstrap, "
        f"{summary['resamples']} resamples, of speakers, search seeds and training seeds; what there is one of is not "
        "drawn."
    )
    if any(method["ri"] for method in summary["methods"].values()):
        sentences.append(
            "RI is the relative improvement of the UA over that of random architectures"
            f"{_spaces(summary)}; networks that were not searched are compared with the same."
        )
    elif _searched(summary) and not any(is_random(entry["method"]) for entry in summary["left_out"]):
        sentences.append(
            "What a search is worth is what it adds to random architectures of the space that it searched: "
            "--config.baselines.random=3 trains three of each fold in this workdir."
        )
    if speakers < FEW_SPEAKERS:
        sentences.append(f"Only {speakers} test speakers: the intervals are too narrow.")
    few = [name for name in ranked(summary) if 1 < summary["methods"][name]["searches"] < FEW_SEEDS]
    if few:
        sentences.append(
            f"Fewer than {FEW_SEEDS} searches, or draws of random architectures, of each of {', '.join(few)}: "
            "their spread is hardly known, nor is the interval of a metric or an RI that rests on it."
        )
    return sentences


def about_sound(summary: Mapping[str, Any]) -> list[str]:
    """What was cut, left out or looks wrong in the corpus."""
    return [f"{sentence}." for sentence in summary.get("soundness", ())]


def about_tests(summary: Mapping[str, Any]) -> list[str]:
    """What was tested, and what no test can show."""
    test, alpha = summary["test"], 1 - summary["level"]
    speakers, folds = len(summary["speakers"]), len(summary["folds"])
    count = collections.Counter(test["family"] for test in summary["tests"])
    families = {name: count[name] for name in FAMILIES if name in count}
    sizes = ", ".join(f"{name} ({pairs})" for name, pairs in families.items())
    sentences = [
        f"Tests: two-sided sign-flip permutation of the paired differences in UA of {test['clusters']} "
        f"{test['cluster']}s, averaged over seeds; no p can be below {test['smallest_p']:.2g}. Holm's correction is "
        f"for the pairs of one question: {sizes}. A difference in the table is one of pooled UA: where "
        f"{test['cluster']}s have unequal numbers of utterances it is not quite the mean that is tested.",
        "A p-value is of the networks that were trained, and not of other searches, trainings or draws of random "
        "architectures. So two methods differ only where the interval, which draws those too, leaves out 0 as well.",
    ]
    if test["cluster"] == "speaker" and speakers > folds:
        sentences.append(
            "The test takes speakers as independent, but the same networks are evaluated on those of one fold; "
            "config.scores.cluster='fold' does not, and needs many folds."
        )
    hopeless = [name for name, pairs in families.items() if test["smallest_p"] * pairs > alpha]
    if hopeless:
        sentences.append(
            f"With {test['clusters']} {test['cluster']}s no difference can reach a corrected p of {alpha:.2g}, "
            f"however large, in: {', '.join(hopeless)}."
        )
    return sentences


def about_variances(summary: Mapping[str, Any]) -> list[str]:
    """How to read the standard deviations."""
    sentences = [
        "Standard deviations are of a fold's UA on this test set, by mean squares of nested fold, search (or draw) and "
        "training; those of few seeds are rough. -: there was one alone, whose share is in the column before."
    ]
    # An SVM has no such number, and is trained once however many seeds there are.
    networks = [method for method in summary["methods"].values() if method["parameters"] is not None]
    if any(method["trainings"] == 1 for method in networks):
        sentences.append(
            "With one training seed, what trainings differ by is in the search's share, or the fold's."
        )
    return sentences


def about_agreement() -> list[str]:
    """How to read the agreement of the orders."""
    return [
        "The cosine is of one batch an epoch, the second-order term of all its steps. The term is proportional to the "
        "learning rate of the weights: where that falls over the search, the orders agree more and more for that alone."
    ]


def about_costs() -> list[str]:
    """What the costs hold."""
    return [
        "Cost: medians of seconds, those of the training with its compilation, those of the search without; compiling "
        "is the most that one took, as later ones of a process find it done. Memory is the peak of the fullest GPU or "
        "TPU; on CPUs of the process, which compiles, and keeps what it frees: with several config.grid.workers it "
        "does one method's searches or trainings, else all that came before too. "
        "MFLOP: one forward pass of the corpus's longest utterance, convolutions and matrix products alone."
    ]


def _searched(summary):
    return any(method["searched"] or name == GIVEN_GENOTYPE for name, method in summary["methods"].items())


def _spaces(summary: Mapping[str, Any]) -> str:
    """Which random architectures RI is of, where there are several spaces."""
    over: dict[str, list[str]] = {}
    for name, method in summary["methods"].items():
        if method["ri"]:
            over.setdefault(method["over"], []).append(name)
    if len(over) < 2:
        return " of the same space"
    return " of the same space: " + "; ".join(
        f"{', '.join(names)} over {base}" for base, names in over.items()
    )
