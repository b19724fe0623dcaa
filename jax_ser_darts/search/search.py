"""The search loop: for each method, seed and fold, from fresh weights and even alphas to a genotype."""

import dataclasses
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.flatten_util import ravel_pytree

from jax_ser_darts.bilevel import FIRST
from jax_ser_darts.bookkeeping import metrics
from jax_ser_darts.bookkeeping.checkpoints import Checkpoints
from jax_ser_darts.bookkeeping.metrics import MetricsWriter
from jax_ser_darts.bookkeeping.progress import Progress
from jax_ser_darts.config import search_variant
from jax_ser_darts.data.batches import train_batches
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.data.prefetch import prefetch
from jax_ser_darts.devices import hosts, memory, parallel
from jax_ser_darts.files import write_json
from jax_ser_darts.losses import DivergedError
from jax_ser_darts.search import perturbation
from jax_ser_darts.search.search_step import SearchState
from jax_ser_darts.search.searcher import Searcher
from jax_ser_darts.search.spectrum import dominant_eigenvalue
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import BETAS, SEQUENCE, Genotype

ALPHAS_STREAM = 1  # added to the seed of the alphas' batches


def search(searcher: Searcher, method: str, fold: Fold, seed: int) -> Genotype:
    """Runs one search, or goes on with it, or returns the genotype of one that is done.

    Args:
        searcher: the method's, see `make_searchers`.
        method: a name of config.search.variants.
        fold: its test part is not touched.
        seed: of the weights, the alphas, the dropout and the order of the batches.

    Returns:
        The genotype of the last epoch's alphas, or of the epoch that a rule of collapse.py names; also in
        genotype.json of the search's folder.

    Raises:
        DivergedError: a loss or an alpha is not finite.
    """
    experiment, s = searcher.experiment, searcher.settings
    order, _ = search_variant(experiment.config, method)
    folder = experiment.search_folder(method, fold, seed)
    name = f"search, {method}, seed {seed}, fold {fold.index}"
    if (folder / "genotype.json").exists():
        logging.info("%s: done, %s", name, folder / "genotype.json")
        return genotypes.load(folder / "genotype.json")

    steps_an_epoch = searcher.steps_per_epoch
    state = searcher.fresh_state(seed)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        first_epoch, seconds, outside, compiling = 0, 0.0, 0.0, 0.0
        if restored := checkpoints.restore_latest(state):
            first_epoch, state, extra = restored
            seconds, outside, compiling = (extra[key] for key in ("seconds", "outside", "compiling"))
            first_epoch = extra.get("epochs", first_epoch)  # later steps are the decisions of a selection
            logging.info("%s: goes on after epoch %d", name, first_epoch)
        first_step = first_epoch * steps_an_epoch
        compiling += _compile(searcher, state, _batches(searcher, fold, seed, first_step=first_step), order)
        batches = _batches(searcher, fold, seed, first_step=first_step)
        progress = Progress(
            total=s.epochs * steps_an_epoch,
            initial=first_step,
            description=name,
            enabled=hosts.first(),
        )
        probe = _probe(searcher, fold, seed) if s.eigenvalue else None
        with MetricsWriter(folder, start=first_epoch) as writer, progress:
            lines = metrics.read(folder / metrics.FILE_NAME)
            for epoch in range(first_epoch, s.epochs):
                if stop := searcher.rules(lines):
                    break
                started = time.monotonic()
                collected = []
                for step in range(steps_an_epoch):
                    asked = time.monotonic()
                    train_data, val_data = next(batches)
                    outside += time.monotonic() - asked
                    figures = {}
                    if epoch >= s.warmup_epochs:
                        compared = step == 0 and order != FIRST  # once an epoch: it costs a gradient
                        state, figures["val"] = searcher.steps.update_alphas(
                            state, train_data, val_data, order, compared
                        )
                        if compared:
                            figures["orders"] = {"cosine": figures["val"].pop("cosine")}
                    state, figures["train"] = searcher.steps.update_weights(state, train_data)
                    collected.append(figures)
                    progress.update()
                alphas, means = jax.device_get((state.alphas, collected))
                summary = summarise(alphas, means, searcher.derive(alphas))
                _check_finite(summary, alphas, name, epoch)
                summary["learning_rate"] = float(searcher.learning_rate(epoch * steps_an_epoch))
                if probe is not None:
                    summary["eigenvalue"] = _eigenvalue(searcher, state, probe)
                lines.append({"epoch": epoch, **summary})
                stepped = time.monotonic()
                writer.write(epoch, {**summary, "seconds": seconds + stepped - started, "outside": outside})
                progress.update(0, loss=summary["train"]["loss"])
                written = time.monotonic()
                seconds, outside = seconds + written - started, outside + written - stepped
                times = {"seconds": seconds, "outside": outside, "compiling": compiling}
                checkpoints.save(epoch + 1, state, times)
                saving = time.monotonic() - written
                seconds, outside = seconds + saving, outside + saving
            stop = searcher.rules(lines)
        batches.close()
        if stop:
            logging.info("%s: stopped after epoch %d, %s", name, stop.epoch, stop.reason)
        epochs = stop.epoch + 1 if stop else s.epochs
        if s.perturbation:
            times = {"seconds": seconds, "outside": outside, "compiling": compiling, "epochs": epochs}
            shares, seconds = _select(searcher, state, fold, seed, checkpoints, times, name)

    found = searcher.derive(shares if s.perturbation else jax.device_get(state.alphas))
    if stop and not s.perturbation:
        (line,) = (line for line in lines if line["epoch"] == stop.genotype_epoch)
        found = genotypes.from_json(line["genotype"])
    write_json(
        folder / "search.json",
        {
            "method": method,
            "order": order,
            "seed": seed,
            "fold": dataclasses.asdict(fold),
            "epochs": epochs,
            "stopped": dataclasses.asdict(stop) if stop else None,
            "seconds": seconds,
            "compiling": compiling,
            "peak_memory": memory.peak_memory(),
        },
    )
    found.save(folder / "genotype.json")
    return found


def _select(
    searcher: Searcher, state: SearchState, fold: Fold, seed: int, checkpoints, times: dict, name: str
):
    """Decides edge by edge what stays, see perturbation.py; a checkpoint after each decision.

    Returns:
        the shares at the end, from which `Searcher.derive` reads the genotype; seconds of the whole search.
    """
    s, started = searcher.settings, time.monotonic()
    alphas = genotypes.kinds_of(jax.device_get(state.alphas))
    softmax = {kind: genotypes.softmax(a) for kind, a in alphas.items()}
    shares, decided = softmax, 0
    if (restored := checkpoints.restore_latest(state)) and "shares" in restored[2]:
        _, state, times = restored
        shares = {kind: np.asarray(rows, np.float32) for kind, rows in times["shares"].items()}
        decided = times["decided"]
    plan = perturbation.decisions(shares, seed)
    names = dict.fromkeys(shares, searcher.model.operations)
    names[SEQUENCE] = searcher.model.sequence_operations
    batches = _batches(searcher, fold, seed, first_step=times["epochs"] * searcher.steps_per_epoch)
    val_batches = [next(batches)[1] for _ in range(s.perturbation_batches)]
    batches.close()
    batches = _batches(
        searcher,
        fold,
        seed,
        first_step=times["epochs"] * searcher.steps_per_epoch + decided * s.perturbation_steps,
    )

    def added(shares):
        return parallel.replicate(
            {kind: jnp.asarray(rows - softmax[kind]) for kind, rows in shares.items()}, searcher.devices
        )

    def evaluate(shares):
        instead = added(shares)
        figures = [searcher.steps.evaluate(state, batch, instead)["loss"] for batch in val_batches]
        return float(np.mean(jax.device_get(figures)))

    with Progress(total=len(plan), initial=decided, description=f"{name}, selection") as progress:
        for done, decision in enumerate(plan[decided:], decided + 1):
            shares = perturbation.decide(shares, decision, names=names, evaluate=evaluate)
            instead = added(shares)
            for _ in range(s.perturbation_steps):
                state, _ = searcher.steps.update_weights(state, next(batches)[0], instead)
            so_far = times["seconds"] + time.monotonic() - started
            kept = {kind: rows.tolist() for kind, rows in shares.items()}
            checkpoints.save(
                times["epochs"] + done,
                state,
                {**times, "seconds": so_far, "shares": kept, "decided": done},
            )
            progress.update()
    batches.close()
    return shares, times["seconds"] + time.monotonic() - started


def _probe(searcher: Searcher, fold: Fold, seed: int):
    """The validation batch on which the curvature of all epochs is measured: their first."""
    batches = _batches(searcher, fold, seed, first_step=0)
    _, val_data = next(batches)
    batches.close()
    return val_data


def _eigenvalue(searcher: Searcher, state: SearchState, val_data) -> float:
    """The dominant eigenvalue of d2 L_val / da2 (Zela et al. 2020, section 3)."""
    s = searcher.settings
    start, unravel = ravel_pytree(jax.device_get(state.alphas))

    def product(v):
        v = parallel.replicate(unravel(jnp.asarray(v, start.dtype)), searcher.devices)
        return ravel_pytree(jax.device_get(searcher.steps.curvature(state, val_data, v)))[0]

    value, _ = dominant_eigenvalue(
        product, start.size, most=s.eigenvalue_products, tolerance=s.eigenvalue_tolerance
    )
    return value


def _compile(searcher: Searcher, state: SearchState, batches, order: str) -> float:
    """Compiles what an order needs, where no earlier search of this process has; returns its seconds."""
    started = time.monotonic()
    logging.info("Compiling the search step, %s order: this takes about a minute the first time", order)
    searcher.steps.compile(state, *next(batches), order)
    batches.close()
    seconds = time.monotonic() - started
    logging.info("Compiled in %.0f s", seconds)
    return seconds


def _batches(searcher: Searcher, fold: Fold, seed: int, *, first_step: int):
    """Pairs of batches on the devices: (weights' part, alphas' part), from a step on, without end."""
    experiment, s = searcher.experiment, searcher.settings
    streams = [
        train_batches(
            part.data,
            normalisation=part.normalisation,
            batch_size=s.batch_size,
            frames=experiment.frames,
            seed=seed + stream,
            step=first_step,
            weights=part.weights,
            share=(hosts.index(), hosts.count()),
        )
        for stream, part in zip((0, ALPHAS_STREAM), experiment.search_parts(fold), strict=True)
    ]
    put = lambda pair: tuple(parallel.shard(batch, searcher.devices) for batch in pair)
    return prefetch(zip(*streams, strict=True), put)


def summarise(alphas: dict, figures: Sequence[dict], found: Genotype) -> dict:
    """What an epoch leaves in metrics.jsonl.

    Args:
        alphas: after the epoch.
        figures: of each step: "train" and, after the warm-up, "val" and (of some) "orders", dicts of numbers.
        found: the genotype they stand for.

    Returns:
        Means of the figures; alphas, and betas if there are any; genotype; entropy of the softmax weights in nats, a
        mean over edges; share of skip connections in each cell of the genotype.
    """
    kinds = genotypes.kinds_of(alphas)
    betas = {BETAS: alphas[BETAS]} if BETAS in alphas else {}
    weights = {name: genotypes.softmax(np.asarray(a, np.float64)) for name, a in kinds.items()}
    entropy = {name: float(-(w * np.log(w)).sum(axis=-1).mean()) for name, w in weights.items()}
    means = {
        part: jax.tree.map(lambda *x: float(np.mean(x)), *(f[part] for f in figures if part in f))
        for part in ("train", "val", "orders")
        if any(part in f for f in figures)
    }
    return {
        **means,
        "entropy": entropy,
        "skip_share": {name: found.skip_share(name) for name in found.cells},
        "genotype": found.to_json(),
        **jax.tree.map(lambda a: np.asarray(a).tolist(), {"alphas": kinds, **betas}),
    }


def _check_finite(summary, alphas, name, epoch):
    losses = [summary[part]["loss"] for part in ("train", "val") if part in summary]
    if not np.isfinite(losses).all() or not all(np.isfinite(a).all() for a in jax.tree.leaves(alphas)):
        raise DivergedError(
            f"{name}, epoch {epoch}: losses {losses} or the alphas are not finite. "
            " The last good epoch is in its checkpoints; lower config.search.learning_rate or "
            "config.search.clip, in another workdir."
        )
