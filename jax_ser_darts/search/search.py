"""The search loop: for each method, seed and fold, from fresh params and even alphas to a genotype."""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.flatten_util import ravel_pytree

from jax_ser_darts.bilevel import FIRST
from jax_ser_darts.data.folds import Fold
from jax_ser_darts.devices import hosts, memory, parallel
from jax_ser_darts.files import write_json
from jax_ser_darts.losses import DivergedError
from jax_ser_darts.rundir.checkpoints import Checkpoints
from jax_ser_darts.rundir.checksums import checked
from jax_ser_darts.rundir.metrics import FILE_NAME as METRICS_FILE
from jax_ser_darts.rundir.metrics import MetricsWriter
from jax_ser_darts.rundir.metrics import read as read_metrics
from jax_ser_darts.rundir.progress import Progress
from jax_ser_darts.search import selection
from jax_ser_darts.search.lanczos import dominant_eigenvalue
from jax_ser_darts.search.search_run import SearchRun, Times
from jax_ser_darts.search.search_step import SearchState
from jax_ser_darts.search.searcher import Searcher
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import BETAS, Genotype


def search(searcher: Searcher, method: str, fold: Fold, seed: int) -> Genotype:
    """Runs one search, or goes on with it, or returns the genotype of one that is done.

    Args:
        searcher: the method's, see `make_searchers`.
        method: a name of config.search.variants.
        fold: its test part is not touched.
        seed: of the params, the alphas, the dropout and the order of the batches.

    Returns:
        The genotype of the last epoch's alphas, or of the epoch that a rule of early_stopping.py names; also in
        genotype.json of the search's folder.

    Raises:
        DivergedError: a loss or an alpha is not finite.
    """
    run, s = SearchRun(searcher, method, fold, seed), searcher.settings
    if (run.folder / "genotype.json").exists():
        logging.info("%s: done, %s", run.name, run.folder / "genotype.json")
        return genotypes.load(checked(run.folder / "genotype.json"))

    with Checkpoints(run.folder / "checkpoints") as checkpoints:
        epoch, state, times, extra = _start(run, checkpoints)
        times.compiling += _compile(run, state, epoch)
        state, lines = _epochs(run, state, times, checkpoints, start=epoch)
        stop = searcher.rules(lines)
        if stop:
            logging.info("%s: stopped after epoch %d, %s", run.name, stop.epoch, stop.reason)
        epochs = stop.epoch + 1 if stop else s.epochs
        if s.perturbation:
            shares = selection.select(run, state, times, checkpoints, epochs=epochs, extra=extra)
            genotype = searcher.derive(shares)
        elif stop:
            (line,) = (line for line in lines if line["epoch"] == stop.genotype_epoch)
            genotype = genotypes.from_json(line["genotype"])
        else:
            genotype = searcher.derive(jax.device_get(state.alphas))
    write_json(
        run.folder / "search.json",
        {
            "method": method,
            "order": run.order,
            "seed": seed,
            "fold": dataclasses.asdict(fold),
            "epochs": epochs,
            "stopped": dataclasses.asdict(stop) if stop else None,
            "seconds": times.seconds,
            "compiling": times.compiling,
            "peak_memory": memory.peak_memory(),
        },
    )
    genotype.save(run.folder / "genotype.json")
    return genotype


def _start(run: SearchRun, checkpoints: Checkpoints) -> tuple[int, SearchState, Times, dict]:
    """The last checkpoint's epochs, state, times, and what else is in it; or what a search starts from."""
    fresh = run.searcher.fresh_state(run.seed)
    restored = checkpoints.restore_latest(fresh)
    if restored is None:
        return 0, fresh, Times(), {}
    epoch, state, extra = restored
    epoch = extra.get("epochs", epoch)  # later steps are the decisions of a selection
    logging.info("%s: resumes after epoch %d", run.name, epoch)
    return epoch, state, Times.of(extra), extra


def _compile(run: SearchRun, state: SearchState, epoch: int) -> float:
    """Compiles what an order needs, where no earlier search of this process has; returns its seconds."""
    pair = run.first_pair(epoch * run.searcher.steps_per_epoch)
    started = time.monotonic()
    logging.info("Compiling the search step, %s order: this takes about a minute the first time", run.order)
    run.searcher.steps.compile(state, *pair, run.order)
    seconds = time.monotonic() - started
    logging.info("Compiled in %.0f s", seconds)
    return seconds


def _epochs(
    run: SearchRun, state: SearchState, times: Times, checkpoints: Checkpoints, *, start: int
) -> tuple[SearchState, list[dict]]:
    """All epochs from `start` on, until a rule ends them; `times` is added to.

    Returns:
        The state after the last, and the lines of metrics.jsonl.
    """
    searcher, s = run.searcher, run.searcher.settings
    first_step = start * searcher.steps_per_epoch
    progress = Progress(
        total=s.epochs * searcher.steps_per_epoch,
        initial=first_step,
        description=run.name,
        enabled=hosts.is_primary(),
    )
    # The curvature of all epochs is measured on one batch.
    probe = run.first_pair(0)[1] if s.eigenvalue else None
    batches = run.batches(first_step)
    with MetricsWriter(run.folder, start=start) as writer, progress:
        lines = read_metrics(run.folder / METRICS_FILE)
        for epoch in range(start, s.epochs):
            if searcher.rules(lines):
                break
            started = time.monotonic()
            state, metrics, waited = _epoch(run, state, batches, epoch, progress)
            alphas, metrics = jax.device_get((state.alphas, metrics))
            summary = summarise(alphas, metrics, searcher.derive(alphas))
            _check_finite(summary, alphas, run.name, epoch)
            summary["learning_rate"] = float(searcher.learning_rate(epoch * searcher.steps_per_epoch))
            if probe is not None:
                summary["eigenvalue"] = _eigenvalue(searcher, state, probe)
            lines.append({"epoch": epoch, **summary})
            stepped = time.monotonic()
            so_far = {"seconds": times.seconds + stepped - started, "overhead_s": times.overhead_s + waited}
            writer.write(epoch, {**summary, **so_far})
            progress.update(0, loss=summary["train"]["loss"])
            written = time.monotonic()
            times.seconds += written - started
            times.overhead_s += waited + written - stepped
            checkpoints.save(epoch + 1, state, dataclasses.asdict(times))
            saving = time.monotonic() - written
            times.seconds += saving
            times.overhead_s += saving
    batches.close()
    return state, lines


def _epoch(
    run: SearchRun, state: SearchState, batches: Iterator, epoch: int, progress: Progress
) -> tuple[SearchState, list[dict], float]:
    """One epoch's steps: the state after them, the metrics of each, and the seconds they waited for batches."""
    steps, order, collected, waited = run.searcher.steps, run.order, [], 0.0
    for step in range(run.searcher.steps_per_epoch):
        asked = time.monotonic()
        train_data, val_data = next(batches)
        waited += time.monotonic() - asked
        metrics = {}
        if epoch >= run.searcher.settings.warmup_epochs:
            log_cosine = step == 0 and order != FIRST  # once an epoch: it costs a gradient
            state, metrics["val"] = steps.update_alphas(state, train_data, val_data, order, log_cosine)
            if log_cosine:
                metrics["agreement"] = {"cosine": metrics["val"].pop("cosine")}
        state, metrics["train"] = steps.update_params(state, train_data)
        collected.append(metrics)
        progress.update()
    return state, collected, waited


def _eigenvalue(searcher: Searcher, state: SearchState, val_data: Any) -> float:
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


def summarise(alphas: dict, metrics: Sequence[dict], genotype: Genotype) -> dict:
    """What an epoch leaves in metrics.jsonl.

    Args:
        alphas: after the epoch.
        metrics: of each step: "train" and, after the warm-up, "val" and (of some) "agreement", dicts of numbers.
        genotype: what they stand for.

    Returns:
        Means of the metrics; alphas, and betas if there are any; genotype; entropy of the op weights in nats, a mean
        over edges; share of skip connections in each cell of the genotype.
    """
    kinds = genotypes.kinds_of(alphas)
    betas = {BETAS: alphas[BETAS]} if BETAS in alphas else {}
    op_weights = {kind: genotypes.softmax(np.asarray(a, np.float64)) for kind, a in kinds.items()}
    entropy = {kind: float(-(w * np.log(w)).sum(axis=-1).mean()) for kind, w in op_weights.items()}
    means = {
        part: jax.tree.map(lambda *x: float(np.mean(x)), *(step[part] for step in metrics if part in step))
        for part in ("train", "val", "agreement")
        if any(part in step for step in metrics)
    }
    return {
        **means,
        "entropy": entropy,
        "skip_share": {kind: genotype.skip_share(kind) for kind in genotype.cells},
        "genotype": genotype.to_json(),
        **jax.tree.map(lambda a: np.asarray(a).tolist(), {"alphas": kinds, **betas}),
    }


def _check_finite(summary, alphas, name, epoch):
    losses = [summary[part]["loss"] for part in ("train", "val") if part in summary]
    if not np.isfinite(losses).all() or not all(np.isfinite(a).all() for a in jax.tree.leaves(alphas)):
        raise DivergedError(
            f"{name}, epoch {epoch}: the losses {losses} or the alphas are not finite. The last good epoch is in its "
            "checkpoints; lower config.search.learning_rate or config.search.clip, in another workdir"
        )
