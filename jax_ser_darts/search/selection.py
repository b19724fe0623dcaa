"""The loop of a selection after the epochs of a search: perturbation.py decides, the supernet learns on."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_ser_darts.devices import parallel
from jax_ser_darts.rundir.checkpoints import Checkpoints
from jax_ser_darts.rundir.progress import Progress
from jax_ser_darts.search import perturbation
from jax_ser_darts.search.search_run import SearchRun, Times
from jax_ser_darts.search.search_step import SearchState
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import SEQUENCE


def select(
    run: SearchRun,
    state: SearchState,
    times: Times,
    checkpoints: Checkpoints,
    *,
    epochs: int,
    extra: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Decides edge by edge what stays, see perturbation.py; a checkpoint after each decision.

    Args:
        run: which search.
        state: after its epochs, or after the decisions that are made.
        times: of the search so far; added to.
        checkpoints: of the search.
        epochs: how many it had.
        extra: of the checkpoint that it goes on from: `shares` and `decided`, where decisions are made.

    Returns:
        The shares at the end, from which `Searcher.derive` reads the genotype.
    """
    started, before = time.monotonic(), times.seconds
    searcher, s = run.searcher, run.searcher.settings
    alphas = genotypes.kinds_of(jax.device_get(state.alphas))
    softmax = {kind: genotypes.softmax(a) for kind, a in alphas.items()}
    shares, decided = softmax, extra.get("decided", 0)
    if decided:
        shares = {kind: np.asarray(rows, np.float32) for kind, rows in extra["shares"].items()}
    plan = perturbation.decisions(shares, run.seed)
    names = dict.fromkeys(shares, searcher.model.operations)
    names[SEQUENCE] = searcher.model.sequence_operations
    first_step = epochs * searcher.steps_per_epoch
    batches = run.batches(first_step)
    val_batches = [next(batches)[1] for _ in range(s.perturbation_batches)]
    batches.close()
    batches = run.batches(first_step + decided * s.perturbation_steps)

    def added(shares):
        return parallel.replicate(
            {kind: jnp.asarray(rows - softmax[kind]) for kind, rows in shares.items()}, searcher.devices
        )

    def evaluate(shares):
        instead = added(shares)
        losses = [searcher.steps.evaluate(state, batch, instead)["loss"] for batch in val_batches]
        return float(np.mean(jax.device_get(losses)))

    with Progress(total=len(plan), initial=decided, description=f"{run.name}, selection") as progress:
        for done, decision in enumerate(plan[decided:], decided + 1):
            shares = perturbation.decide(shares, decision, names=names, evaluate=evaluate)
            instead = added(shares)
            for _ in range(s.perturbation_steps):
                state, _ = searcher.steps.update_params(state, next(batches)[0], instead)
            times.seconds = before + time.monotonic() - started
            decisions = {
                "epochs": epochs,
                "shares": {kind: rows.tolist() for kind, rows in shares.items()},
                "decided": done,
            }
            checkpoints.save(epochs + done, state, {**dataclasses.asdict(times), **decisions})
            progress.update()
    batches.close()
    times.seconds = before + time.monotonic() - started
    return shares
