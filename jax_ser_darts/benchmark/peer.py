"""The authors' PyTorch step beside ours: a process of its own that does one step whenever it is asked.

Two processes that take turns see the same machine, whatever else it does; two runs one after the other do not. The
answers are lines of JSON on standard output; a step is asked for by an empty line.
"""

import contextlib
import json
import pathlib
import subprocess
import tempfile

from jax_ser_darts.errors import UserError

WORKER = pathlib.Path(__file__).with_name("peer_worker.py")


class PeerError(UserError):
    """Their code does not run; the message holds what it said."""


class Peer:
    """Their step, in a process of its own, ready to be timed.

    Args:
        what: of `cases.WHAT`.
        python: an interpreter that has torch.
        folder: that of their search.py.
        sizes: batch, frames, coefficients, cells, nodes, channels, and the genotype as JSON.

    Raises:
        PeerError: it does not start.
    """

    def __init__(self, what: str, *, python: str, folder: str, sizes: dict):
        command = [python, str(WORKER), folder, what, json.dumps(sizes)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed by `close`)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
            )
        except OSError as error:
            raise PeerError(f"--peer_python={python}: {error.strerror}") from error
        assert self._process.stdin is not None  # pipes, see above
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.torch = self._answer()["torch"]

    def step(self) -> dict:
        """One step: {"seconds", "peak_gb"}."""
        with contextlib.suppress(BrokenPipeError):  # it has stopped: its answer says why
            self._stdin.write("\n")
            self._stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines()[-1:]
            how = f"was killed by signal {-status} (9: out of memory)" if status < 0 else "stopped"
            raise PeerError(f"the authors' code {how}: {''.join(said)}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()
        self._errors.close()


def check(python: str, folder: str) -> None:
    """Whether there is something to run.

    Raises:
        PeerError: the folder is not theirs.
    """
    if not (pathlib.Path(folder) / "architect.py").is_file():
        raise PeerError(f"--peer={folder}: no architect.py there; it is the folder of their search.py")
    if not python:
        raise PeerError("--peer needs --peer_python, an interpreter that has torch")
