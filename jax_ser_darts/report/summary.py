"""What the results of a grid come to: figures and intervals of every method, tests of every pair, and what it took."""

import collections
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_ser_darts.grid.jobs import SEARCH, Job
from jax_ser_darts.report.results import Results, made_with, networks, predictions_of, searches
from jax_ser_darts.report.tables import FAMILIES, OTHERS, SEARCH_OR_DESIGN, SEARCH_OR_RANDOM, SEARCHES
from jax_ser_darts.scoring import significance
from jax_ser_darts.training.designs import GIVEN_GENOTYPE
from jax_ser_darts.training.spaces import is_random, random_method


def summarise(results: Results, jobs: Sequence[Job], *, environment: Mapping[str, Any]) -> dict[str, Any]:
    """All there is to say of jobs that are done, as JSON has it; other arguments as of `comparison.outputs.write`."""
    config, level = results.config, results.config.scores.level
    rows = collections.defaultdict(list)
    for row in networks(results, jobs):
        rows[row["method"]].append(row)
    answers, fold_of = collections.defaultdict(lambda: collections.defaultdict(list)), {}
    for job in jobs:
        if job.kind != SEARCH:
            seeds = {"search_seed": job.search_seed, "train_seed": job.seed}
            at = tuple(_place(rows[job.method], key, seed) for key, seed in seeds.items())
            answers[job.method][at].append(answered := predictions_of(results, job))
            fold_of |= dict.fromkeys(answered.speakers, job.fold)
    speakers = sorted(fold_of)  # of every method: all of them have the same folds
    counts = {
        method: significance.make_table({at: tuple(of) for at, of in folds.items()}, speakers)
        for method, folds in answers.items()
    }
    draws = significance.bootstrap(counts, resamples=config.scores.resamples)
    values = {method: significance.means(table) for method, table in counts.items()}
    clusters = [s if config.compare.cluster == "speaker" else f"{fold_of[s]:06d}" for s in speakers]
    over = {method: None if is_random(method) else random_method(config, method) for method in counts}
    methods = {}
    for method, table in counts.items():
        figures = {
            name: _json_of(significance.estimate(values[method][name], draws[method][name], level))
            for name in significance.FIGURES
        }
        methods[method] = {
            **figures,
            "ri": _improvement(method, over[method], values, draws, level),
            "over": over[method],
            "searches": table.shape[0],
            "trainings": table.shape[1],
            "searched": any(job.kind == SEARCH and job.method == method for job in jobs),
            "variance": significance.variance_components(_by_fold(rows[method])),
            "confusion": table.sum(axis=(0, 1, 2)).tolist(),
            "ua_of_networks": _by_fold(rows[method]).tolist(),
            **{name: _mean(rows[method], name) for name in ("parameters", "flops")},
            **{name: _median(rows[method], name) for name in ("search_seconds", "train_seconds")},
            **{
                name: _most(rows[method], name)
                for name in ("search_compiling", "search_memory", "train_memory")
            },
        }
    return {
        "corpus": results.corpus,
        "synthetic": results.synthetic,
        "classes": list(results.classes),
        "folds": [
            {"index": fold.index, "test": list(fold.test), "validation": list(fold.validation)}
            for fold in results.folds
        ],
        "speakers": speakers,
        "level": level,
        "resamples": config.scores.resamples,
        "methods": methods,
        "tests": _tests(config, counts, values, draws, clusters, methods),
        "test": {
            "cluster": config.compare.cluster,
            "clusters": len(set(clusters)),
            "smallest_p": significance.smallest_p(
                len(set(clusters)), permutations=config.compare.permutations
            ),
        },
        "agreement": agreement(searches(results, jobs)),
        "wall_seconds": sum(_took(job.done(results.workdir)) for job in jobs),
        "environment": {**environment, "jobs": made_with(results, jobs)},
    }


def agreement(found: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Second-order method -> of each epoch, means over its searches of what the second order is about.

    Args:
        found: see `results.searches`.

    Returns:
        `cosine` of the two orders' gradients, at an epoch's first step; `term_share`: norm of the second-order term
        over that of the direct part. Epochs of warm-up, which move no alpha, are left out, and figures that were not
        finite.
    """
    methods = collections.defaultdict(lambda: collections.defaultdict(list))
    for one in found:
        for line in one["epochs"]:
            if "agreement" in line:
                term, direct, cosine = (
                    line["val"]["correction"],
                    line["val"]["direct"],
                    line["agreement"]["cosine"],
                )
                if None not in (term, direct, cosine) and direct:  # what was not finite is null in JSON
                    methods[one["method"]][line["epoch"]].append((cosine, term / direct))
    return {
        method: {
            name: [statistics.fmean(pair[i] for pair in pairs) for _, pairs in sorted(epochs.items())]
            for i, name in enumerate(("cosine", "term_share"))
        }
        for method, epochs in methods.items()
    }


def family(a: str, b: str, methods: Mapping[str, Mapping[str, Any]]) -> str:
    """The question that a pair of methods answers, one of FAMILIES; p-values are corrected for those of one question.

    Args:
        a, b: the methods. methods: each one's `searched` and `over`, as of `summarise`.
    """
    searched = [name for name in (a, b) if methods[name]["searched"] or name == GIVEN_GENOTYPE]
    if len(searched) == 2:
        return SEARCHES
    if not searched:
        return OTHERS
    (other,) = {a, b} - {*searched}
    if not is_random(other):
        return SEARCH_OR_DESIGN
    return SEARCH_OR_RANDOM if methods[searched[0]]["over"] == other else OTHERS


def _tests(config, counts, values, draws, clusters, methods):
    names = sorted(counts, key=lambda method: -values[method]["ua"])
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    of_clusters = {method: significance.of_clusters(table, clusters) for method, table in counts.items()}
    p_values = [
        significance.sign_flip(of_clusters[a] - of_clusters[b], permutations=config.compare.permutations)
        for a, b in pairs
    ]
    families = np.array([family(a, b, methods) for a, b in pairs])
    corrected = np.zeros(len(pairs))
    for one in FAMILIES:
        corrected[families == one] = significance.holm(np.asarray(p_values)[families == one])
    found = []
    for (a, b), of, p, adjusted in zip(pairs, families.tolist(), p_values, corrected.tolist(), strict=True):
        difference = significance.estimate(
            values[a]["ua"] - values[b]["ua"], draws[a]["ua"] - draws[b]["ua"], config.scores.level
        )
        # The test takes the networks as they are, the interval draws them too: what differs does by both.
        apart = adjusted <= 1 - config.scores.level and not difference.low <= 0 <= difference.high
        found.append(
            {
                "a": a,
                "b": b,
                "family": of,
                **_json_of(difference),
                "p": p,
                "p_holm": adjusted,
                "differs": bool(apart),
            }
        )
    return found


def _improvement(method, over, values, draws, level):
    """RI, per cent: the relative improvement of the UA over that of random architectures, of the method's own space."""
    if over not in values or not values[over]["ua"]:
        return None
    relative = lambda ua, base: 100 * (ua / base - 1)
    drawn = relative(draws[method]["ua"], np.maximum(draws[over]["ua"], np.finfo(float).tiny))
    return _json_of(significance.estimate(relative(values[method]["ua"], values[over]["ua"]), drawn, level))


def _json_of(found):
    """An estimate as JSON has it."""
    return {"value": found.value, "low": found.low, "high": found.high}


def _place(rows, key, value):
    """The position of a seed among those of a method's rows, in their order."""
    return list(dict.fromkeys(row[key] for row in rows)).index(value)


def _by_fold(rows):
    """UA `[folds, search seeds, training seeds]` of a method's rows."""
    keys = ("fold", "search_seed", "train_seed")
    found = np.zeros([len({row[key] for row in rows}) for key in keys])
    for row in rows:
        found[tuple(_place(rows, key, row[key]) for key in keys)] = row["ua"]
    return found


def _mean(rows, name):
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.fmean(values) if values else None


def _median(rows, name):
    """Of seconds: a job beside which the machine had others to do is no measure of a method."""
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.median(values) if values else None


def _took(about):
    """Seconds of a job; `wall` starts anew where it was gone on with."""
    return max(about["wall"], about.get("seconds", 0) + (about.get("compiling") or 0))


def _most(rows, name):
    return max((row[name] for row in rows if row[name] is not None), default=None)
