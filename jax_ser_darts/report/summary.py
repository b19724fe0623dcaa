"""What the results of a grid come to: metrics and intervals of every method, tests of every pair, and what it took."""

import collections
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_ser_darts.grid.jobs import SEARCH, Job
from jax_ser_darts.report.results import Results, networks, predictions_of, run_environments, searches
from jax_ser_darts.scoring.bootstrap import (
    SHARES,
    bootstrap,
    estimate,
    estimate_shares,
    make_table,
    means,
)
from jax_ser_darts.scoring.confusion import METRICS
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.scoring.scores import absent_classes
from jax_ser_darts.scoring.significance import (
    cluster_ua,
    holm,
    sign_flips,
    smallest_p,
    variance_components,
)
from jax_ser_darts.training.designs import GIVEN_GENOTYPE
from jax_ser_darts.training.spaces import is_random, random_method

# The questions that a comparison is made for; they hang on no result. Each is corrected for its own pairs alone: in one
# family of all pairs, baselines beside baselines would cost the searches their power.
SEARCHES = "search or search"
SEARCH_OR_RANDOM = "search or random"
SEARCH_OR_DESIGN = "search or baseline"
OTHERS = "others"
FAMILIES = (SEARCHES, SEARCH_OR_RANDOM, SEARCH_OR_DESIGN, OTHERS)


def summarise(results: Results, jobs: Sequence[Job], *, environment: Mapping[str, Any]) -> dict[str, Any]:
    """All there is to report of jobs that are done, as JSON has it; other arguments as of `outputs.write`."""
    config, level = results.config, results.config.scores.level
    rows = collections.defaultdict(list)
    for row in networks(results, jobs):
        rows[row["method"]].append(row)
    tables, fold_of = _tables(results, jobs, rows)
    speakers = sorted(fold_of)  # of every method: all of them have the same folds
    draws = bootstrap(tables, resamples=config.scores.resamples)
    values = {method: means(table) for method, table in tables.items()}
    clusters = [s if config.scores.cluster == "speaker" else f"{fold_of[s]:06d}" for s in speakers]
    over = {method: None if is_random(method) else random_method(config, method) for method in tables}
    methods = {}
    for method, table in tables.items():
        confusion = table.sum(axis=(0, 1, 2))
        shares = estimate_shares(confusion, draws[method][SHARES], level)
        methods[method] = {
            **{
                name: estimate(values[method][name], draws[method][name], level).to_json() for name in METRICS
            },
            "ri": _improvement(method, over[method], values, draws, level),
            "over": over[method],
            "searches": table.shape[0],
            "trainings": table.shape[1],
            "searched": any(job.kind == SEARCH and job.method == method for job in jobs),
            "variance": variance_components(_by_fold(rows[method], "ua")),
            "confusion": confusion.tolist(),
            "shares": [[share and share.to_json() for share in row] for row in shares],
            "ua_of_networks": _by_fold(rows[method], "ua").tolist(),
            **_seeds(rows[method], table, level=level, resamples=config.scores.resamples),
            **{name: _mean(rows[method], name) for name in ("parameters", "flops")},
            **{name: _median(rows[method], name) for name in ("search_seconds", "train_seconds")},
            **{
                name: _most(rows[method], name)
                for name in ("search_compiling", "search_memory", "train_memory")
            },
        }
    pooled = next(iter(tables.values()))[0, 0].sum(axis=0)  # all methods are tested on the same utterances
    return {
        "corpus": results.corpus,
        "synthetic": results.synthetic,
        "soundness": list(results.soundness),
        "classes": list(results.classes),
        "absent_classes": absent_classes(results.classes, pooled),
        "folds": [
            {"index": fold.index, "test": list(fold.test), "validation": list(fold.validation)}
            for fold in results.folds
        ],
        "speakers": speakers,
        "utterances": int(pooled.sum()),
        "level": level,
        "resamples": config.scores.resamples,
        "methods": methods,
        "tests": _tests(config, tables, values, draws, clusters, methods),
        "test": {
            "cluster": config.scores.cluster,
            "clusters": len(set(clusters)),
            "smallest_p": smallest_p(len(set(clusters)), permutations=config.scores.permutations),
        },
        "agreement": agreement(searches(results, jobs)),
        "wall_seconds": sum(_seconds_of(job.done(results.workdir)) for job in jobs),
        "environment": {**environment, "jobs": run_environments(results, jobs)},
    }


def agreement(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Second-order method -> of each epoch, means over its searches of what the second order is about.

    Args:
        rows: see `results.searches`.

    Returns:
        `cosine` of the two orders' gradients, at an epoch's first step; `term_share`: norm of the second-order term
        over that of the direct part. Epochs of warm-up, which move no alpha, are left out, and metrics that were not
        finite.
    """
    methods: dict[str, dict[int, list[tuple[float, float]]]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    for search in rows:
        for line in search["epochs"]:
            if "agreement" in line:
                term, direct, cosine = (
                    line["val"]["correction"],
                    line["val"]["direct"],
                    line["agreement"]["cosine"],
                )
                if None not in (term, direct, cosine) and direct:  # what was not finite is null in JSON
                    methods[search["method"]][line["epoch"]].append((cosine, term / direct))
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
        a: a method.
        b: another one.
        methods: each one's `searched` and `over`, as of `summarise`.
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


def _tables(results, jobs, rows):
    """Method -> its counts, see bootstrap.py; speaker -> the fold that tests them."""
    predictions: dict[str, dict[tuple[int, int], list[Predictions]]]
    predictions = collections.defaultdict(lambda: collections.defaultdict(list))
    fold_of: dict[str, int] = {}
    for job in jobs:
        if job.kind != SEARCH:
            of_method = rows[job.method]
            place = (
                _place(of_method, "search_seed", job.search_seed),
                _place(of_method, "train_seed", job.seed),
            )
            predictions[job.method][place].append(predictions_of(results, job))
            fold_of |= dict.fromkeys(predictions[job.method][place][-1].speakers, job.fold)
    return {method: make_table(folds, sorted(fold_of)) for method, folds in predictions.items()}, fold_of


def _seeds(rows, table, *, level, resamples):
    """Each of a method's seeds by itself, and how these and the folds differ.

    Returns:
        `seeds`: of each search seed and training seed the metrics of the pooled folds, with intervals that draw
        speakers, and their mean and deviation `over_folds`. `over_seeds`: mean and deviation over the search seeds (the
        training seeds, where there is one search). `over_folds`: of the mean of all seeds.
    """
    search_seeds, train_seeds = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("search_seed", "train_seed")
    )
    by_fold = {name: _by_fold(rows, name) for name in METRICS}
    seeds = []
    for r, search_seed in enumerate(search_seeds):
        for s, train_seed in enumerate(train_seeds):
            part = table[r : r + 1, s : s + 1]
            values, (draws,) = means(part), bootstrap({"": part}, resamples=resamples).values()
            seeds.append(
                {
                    "search_seed": search_seed,
                    "train_seed": train_seed,
                    **{name: estimate(values[name], draws[name], level).to_json() for name in METRICS},
                    "over_folds": {name: _spread(by_fold[name][:, r, s]) for name in METRICS},
                }
            )
    pooled = {
        name: np.array([seed[name]["value"] for seed in seeds]).reshape(table.shape[:2]) for name in METRICS
    }
    return {
        "seeds": seeds,
        "over_seeds": {
            name: _spread(pooled[name].mean(axis=1) if len(search_seeds) > 1 else pooled[name][0])
            for name in METRICS
        },
        "over_folds": {name: _spread(by_fold[name].mean(axis=(1, 2))) for name in METRICS},
    }


def _spread(values):
    """Mean and sample standard deviation; that of one alone is None."""
    values = [float(value) for value in values]
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else None}


def _tests(config, tables, values, draws, clusters, methods):
    names = sorted(tables, key=lambda method: -values[method]["ua"])
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    ua = {method: cluster_ua(table, clusters) for method, table in tables.items()}
    differences = np.reshape([ua[a] - ua[b] for a, b in pairs], (len(pairs), len(set(clusters))))
    p_values = sign_flips(differences, permutations=config.scores.permutations).tolist()
    families = np.array([family(a, b, methods) for a, b in pairs])
    corrected = np.zeros(len(pairs))
    for question in FAMILIES:
        corrected[families == question] = holm(np.asarray(p_values)[families == question])
    tests = []
    for (a, b), question, p, p_holm in zip(
        pairs, families.tolist(), p_values, corrected.tolist(), strict=True
    ):
        difference = estimate(
            values[a]["ua"] - values[b]["ua"], draws[a]["ua"] - draws[b]["ua"], config.scores.level
        )
        # The test takes the networks as they are, the interval draws them too: what differs does by both.
        differs = p_holm <= 1 - config.scores.level and not difference.low <= 0 <= difference.high
        tests.append(
            {
                "a": a,
                "b": b,
                "family": question,
                **difference.to_json(),
                "p": p,
                "p_holm": p_holm,
                "differs": bool(differs),
            }
        )
    return tests


def _improvement(method, over, values, draws, level):
    """RI, per cent: the relative improvement of the UA over that of random architectures, of the method's own space."""
    if over not in values or not values[over]["ua"]:
        return None
    relative = lambda ua, base: 100 * (ua / base - 1)
    drawn = relative(draws[method]["ua"], np.maximum(draws[over]["ua"], np.finfo(float).tiny))
    return estimate(relative(values[method]["ua"], values[over]["ua"]), drawn, level).to_json()


def _place(rows, key, value):
    """The position of a seed among those of a method's rows, in their order."""
    return list(dict.fromkeys(row[key] for row in rows)).index(value)


def _by_fold(rows, name):
    """A metric `[folds, search seeds, training seeds]` of a method's rows."""
    keys = ("fold", "search_seed", "train_seed")
    values = np.zeros([len({row[key] for row in rows}) for key in keys])
    for row in rows:
        values[tuple(_place(rows, key, row[key]) for key in keys)] = row[name]
    return values


def _mean(rows, name):
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.fmean(values) if values else None


def _median(rows, name):
    """Of seconds: a job beside which the machine had others to do is no measure of a method."""
    values = [row[name] for row in rows if row[name] is not None]
    return statistics.median(values) if values else None


def _seconds_of(record):
    """Seconds of a job; `wall` starts anew where it was gone on with."""
    return max(record["wall"], record.get("seconds", 0) + (record.get("compiling") or 0))


def _most(rows, name):
    return max((row[name] for row in rows if row[name] is not None), default=None)
