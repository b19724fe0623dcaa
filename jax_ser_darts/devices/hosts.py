"""Several processes that are one run: who they are, who writes, and how they wait for each other.

Every process runs the same program on its share of each batch, and takes the same decisions: what they decide by
(files, gathered results) is the same for all. Process 0 alone writes; the workdir must be on a file system that all of
them see. Without `initialise` there is one process, and nothing here costs anything.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils

from jax_ser_darts.errors import UserError

HEARTBEAT = 60  # seconds without a sign of life after which a process counts as dead, and the others stop
SHUTDOWN = 30  # seconds that a process which ends waits for the others

ABSENT = "absent"
MOST_SHOWN = 10  # differences that a message names

_index, _count = 0, 1


class HostsError(UserError):
    """The processes cannot be one run; the message says why."""


def initialise(coordinator: str | None = None, count: int | None = None, index: int | None = None) -> None:
    """Joins the other processes; to be called before anything else of JAX.

    A process that dies ends the others: with a message of the runtime, after HEARTBEAT seconds at the latest.

    Args:
        coordinator: host:port of process 0. This and the others are found on Slurm, Open MPI, GKE and TPUs if None.
        count: how many processes there are.
        index: which of them this is, from 0.

    Raises:
        HostsError: they cannot be found, or do not come.
    """
    global _index, _count
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It would catch SIGTERM and go on; a run may be ended at any moment, so it is better ended at once.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator, count, index, heartbeat_timeout_seconds=HEARTBEAT, shutdown_timeout_seconds=SHUTDOWN
        )
    except (RuntimeError, TypeError, ValueError) as error:
        raise HostsError(f"the processes cannot be one run: {error}") from None
    _index, _count = jax.process_index(), jax.process_count()
    # A CPU's processes find each other at their first common operation, and wait 30 s for it: now none is late.
    barrier("joined")
    logging.info("Process %d of %d, %d devices in all", _index, _count, jax.device_count())


def count() -> int:
    """Processes of this run."""
    return _count


def index() -> int:
    """Which of them this is."""
    return _index


def is_primary() -> bool:
    """Whether this is the one that writes."""
    return _index == 0


def barrier(what: str) -> None:
    """Until all processes are here."""
    if _count > 1:
        multihost_utils.sync_global_devices(what)


def agree(facts: Mapping[str, Any]) -> None:
    """Whether all processes know the same; to be called by all of them, and before they do anything in common.

    Args:
        facts: name -> a value that JSON can hold.

    Raises:
        HostsError: in every process: they do not; the message names what differs, and in which process.
    """
    if _count == 1:
        return
    mine, *others = (json.loads(text) for text in _texts_of_all(json.dumps(facts)))
    differences = [
        f"  {name}: {_shown(mine, name)} in process 0, {_shown(other, name)} in process {i}"
        for i, other in enumerate(others, 1)
        for name in sorted({*mine, *other})
        if mine.get(name, ABSENT) != other.get(name, ABSENT)
    ]
    if differences:
        more = len(differences) - MOST_SHOWN
        raise HostsError(
            "\n".join(["the processes are not of one run:", *differences[:MOST_SHOWN]])
            + (f"\n  and {more} more" if more > 0 else "")
            + "\nStart all of them with the same command, code and data."
        )


def _texts_of_all(text: str) -> list[str]:
    """The text that each process has, in their order."""
    mine = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array([len(mine)], np.int32)).reshape(-1)
    padded = np.zeros(sizes.max(), np.uint8)
    padded[: len(mine)] = mine
    rows = multihost_utils.process_allgather(padded).reshape(_count, -1)
    return [bytes(row[:size]).decode() for row, size in zip(rows, sizes, strict=True)]


def _shown(facts: Mapping[str, Any], name: str) -> str:
    text = json.dumps(facts[name]) if name in facts else ABSENT
    return text if len(text) <= 60 else f"{text[:57]}..."


def abort() -> None:
    """Ends this process after an error, without waiting for the others: they would wait for it."""
    print(
        f"error: process {_index} of {_count} has failed, see above. If that names a connection (Gloo, NCCL), a "
        "barrier or a heartbeat, another process died: see its log. Started again, all go on from the last checkpoint.",
        file=sys.stderr,
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
