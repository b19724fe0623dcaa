"""The results of a made-up grid: two searches of three seeds, random draws, a baseline, three kinds of cell."""

import numpy as np

from jax_ser_darts.bilevel import FIRST
from jax_ser_darts.scoring.confusion import METRICS, metrics_of, shares_of
from jax_ser_darts.search_space.genotype import random_genotype
from jax_ser_darts.search_space.operations import OPERATIONS
from jax_ser_darts.settings import default_config

CLASSES = ("angry", "happy", "neutral", "sad")
RIGHT = {"first": 0.5, "second": 0.62, "random": 0.48, "cnn_lstm_matched": 0.55}
EPOCHS, FOLDS, NODES = 8, 2, 3
STOP = {"rule": "eigenvalue", "epoch": 6, "genotype_epoch": 2, "reason": "the dominant eigenvalue grew"}
SEQUENCE = ("lstm_1", "rnn_1", "lstm_att_1", "skip_connect", "none")
SEQUENCE_CELL = [[["lstm_1", 0], ["skip_connect", 1]], [["lstm_att_1", 0], ["lstm_1", 2]]]

RUN_WITH = {
    "commit": "abcdef",
    "machine": "a machine",
    "python": "3.11",
    "versions": {"jax": "0.10.2", "flax": "0.12.8"},
}


def estimate(value, width=0.06):
    return {"value": value, "low": value - width, "high": value + width}


def spread(value, deviation=0.03):
    return {"mean": value, "std": deviation}


# Of second, first, random and cnn_lstm_matched, in pairs.
FAMILIES = (
    "search or search",
    "search or random",
    "search or baseline",
    "search or random",
    "search or baseline",
    "others",
)


def summary() -> dict:
    """As `summary.summarise` makes it."""
    rng = np.random.default_rng(0)
    methods = {}
    for name, right in RIGHT.items():
        searched, seeds = name in ("first", "second"), 1 if "cnn" in name else 3
        confusion = 60 * (np.eye(4) * right + (1 - right) * rng.dirichlet(np.ones(4), size=4))
        confusion = confusion.astype(int)
        metrics = {key: float(value) for key, value in metrics_of(confusion).items()}
        spreads = {key: spread(metrics[key]) for key in METRICS}
        estimates = {key: estimate(metrics[key]) for key in METRICS}
        methods[name] = {
            **estimates,
            "ri": None if name == "random" else estimate(100 * (right / RIGHT["random"] - 1), 12.0),
            "over": None if name == "random" else "random",
            "searches": seeds,
            "trainings": 2,
            "searched": searched,
            "variance": {"fold": 0.05, "search": 0.02 if seeds > 1 else None, "training": 0.03},
            "confusion": confusion.tolist(),
            "shares": [[estimate(share) for share in row] for row in shares_of(confusion).tolist()],
            "seeds": [
                {"search_seed": r, "train_seed": s, **estimates, "over_folds": spreads}
                for r in range(seeds)
                for s in range(2)
            ],
            "over_seeds": spreads,
            "over_folds": spreads,
            "ua_of_networks": (metrics["ua"] + 0.05 * rng.normal(size=(FOLDS, seeds, 2))).tolist(),
            "parameters": 180_000 * right,
            "flops": 2.4e7 * right,
            "search_seconds": {"first": 80.0, "second": 210.0}.get(name),
            "search_compiling": 40.0 if searched else None,
            "train_seconds": 150 * right,
            "search_memory": 1.6e9 if searched else None,
            "train_memory": 1.1e9,
        }
    names = sorted(RIGHT, key=lambda name: -methods[name]["ua"]["value"])
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return {
        "corpus": "made_up",
        "synthetic": True,
        "classes": list(CLASSES),
        "absent_classes": [],
        "utterances": 240,
        "folds": [{"index": i, "test": [f"s{i}a", f"s{i}b"], "validation": ["v"]} for i in range(FOLDS)],
        "speakers": ["s0a", "s0b", "s1a", "s1b"],
        "level": 0.95,
        "resamples": 200,
        "methods": methods,
        "tests": [
            {
                "a": a,
                "b": b,
                "family": family,
                **estimate(methods[a]["ua"]["value"] - methods[b]["ua"]["value"], 0.08),
                "p": 0.004 * (i + 1),
                "p_holm": min(0.024 * (i + 1), 1.0),
                "differs": 0.024 * (i + 1) <= 0.05,
            }
            for i, ((a, b), family) in enumerate(zip(pairs, FAMILIES, strict=True))
        ],
        "test": {"cluster": "speaker", "clusters": 4, "smallest_p": 0.125},
        "agreement": {"second": {"cosine": [0.991, 0.95, 0.9], "term_share": [0.01, 0.05, 0.1234]}},
        "wall_seconds": 12_345.0,
        "left_out": [],
        "environment": {
            "command": "python -m jax_ser_darts.main --config=configs/compare.py --workdir=DIR --mode=compare",
            "date": "2026-01-01T00:00:00+00:00",
            **RUN_WITH,
            "jobs": [
                {"jobs": 20, "run_with": {**RUN_WITH, "commit": "fedcba"}},
                {"jobs": 2, "run_with": None},
            ],
        },
    }


def searches() -> list[dict]:
    """As `results.searches` makes them, with a third kind of cell of other candidates and other edges.

    The second search of "first" was stopped, with the genotype of an epoch before; all of "first" know the eigenvalue.
    """
    rows = []
    operations = {"normal": OPERATIONS, "reduction": OPERATIONS, "sequence": SEQUENCE}
    for method in ("first", "second"):
        for seed in range(2):
            rng = np.random.default_rng([seed, len(method)])
            genotype = random_genotype(rng, nodes=NODES, operations=OPERATIONS).to_json()
            genotype["sequence"] = SEQUENCE_CELL
            stop = STOP if (method, seed) == (FIRST, 1) else None
            late = {
                **random_genotype(rng, nodes=NODES, operations=OPERATIONS).to_json(),
                "sequence": SEQUENCE_CELL,
            }
            shapes = {"normal": (9, 8), "reduction": (9, 8), "sequence": (5, 5)}
            end = {kind: rng.normal(size=shape) for kind, shape in shapes.items()}
            epochs = []
            for epoch in range(stop["epoch"] + 1 if stop else EPOCHS):
                share = (epoch + 1) / EPOCHS
                line = {
                    "epoch": epoch,
                    "train": {"loss": 1.4 - share, "accuracy": 0.3 + share / 2},
                    "val": {
                        "loss": 1.4 - share / 2,
                        "accuracy": 0.3 + share / 4,
                        "direct": 1.0,
                        "correction": 0.1 * share,
                    },
                    "learning_rate": 0.025 * (1 - share) + 0.001,
                    "entropy": dict.fromkeys(shapes, 2.0 - share),
                    "skip_share": dict.fromkeys(shapes, share / 3),
                    "genotype": late if stop and epoch > stop["genotype_epoch"] else genotype,
                    "alphas": {kind: (share * values).tolist() for kind, values in end.items()},
                }
                if method != FIRST:
                    line["agreement"] = {"cosine": 0.99 - 0.1 * share}
                else:
                    line["eigenvalue"] = -0.1 * (2.0 if stop else 1.1) ** epoch
                epochs.append(line)
            search = {"method": method, "seed": seed, "fold": 0, "stopped": stop, "by_perturbation": False}
            search["genotype_epoch"] = stop["genotype_epoch"] if stop else EPOCHS - 1
            rows.append({**search, "epochs": epochs, "genotype": genotype, "operations": operations})
    return rows


def trainings() -> dict:
    """As `results.trainings` makes them."""
    rng = np.random.default_rng(0)
    curve = lambda right: [
        {
            "epoch": epoch,
            "train": {"loss": 1.4 * np.exp(-epoch / 5)},
            "validation": {"ua": right * (1 - np.exp(-epoch / 4)) + 0.02 * rng.normal()},
        }
        for epoch in range(12)
    ]
    return {name: [curve(right) for _ in range(3)] for name, right in RIGHT.items()}


def config() -> dict:
    """A run's config."""
    return default_config().to_dict()
