"""launch/slurm.sh on a real Slurm: two nodes, which are this machine twice, with all daemons in a temporary folder.

It needs Debian's packages (about 30 MB), and root, as whom the daemons run; nothing of the machine's own Slurm is used:

    apt-get install --no-install-recommends slurm-wlm munge
    python -m pytest tests/launch/test_slurm.py

Without them the tests skip.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "setpriv")
missing = [name for name in NEEDED if not shutil.which(name)]
pytestmark = [
    pytest.mark.skipif(
        bool(missing),
        reason=f"no {', '.join(missing)}: apt-get install --no-install-recommends slurm-wlm munge",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start Slurm's daemons"),
]

# Two partitions, so that a job of the second one preempts; a credential's life is also what a requeued job waits.
CONF = """
ClusterName=tests
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName={nodes[0]} NodeHostname={host} Port={ports[1]} CPUs=2 RealMemory=8000
NodeName={nodes[1]} NodeHostname={host} Port={ports[2]} CPUs=2 RealMemory=8000
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1
PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=2
"""


class Slurm:
    """A cluster of two nodes."""

    def __init__(self, folder):
        host = socket.gethostname()
        self.nodes = (host, "localhost")  # both are names of this machine, as JAX looks one of them up
        self.folder, self.conf = folder, folder / "slurm.conf"
        self.conf.write_text(CONF.format(folder=folder, host=host, nodes=self.nodes, ports=free_ports(3)))
        # Everything that is started here has it, so that at the end nothing is left of it.
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        self.daemons = []
        (folder / "munge.key").write_bytes(os.urandom(64))
        (folder / "munge.key").chmod(0o600)

    def start(self):
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "seed")]
        self._daemon("munged", "--foreground", "--force", f"--socket={self.folder}/munge.sock", *files)
        wait_for((self.folder / "munge.sock").exists)
        self._daemon("slurmctld", "-D")
        for node in self.nodes:
            self._daemon("slurmd", "-D", "-N", node)
        ready = ("sinfo", "--noheader", "--partition=low", "--format=%T %D")
        wait_for(lambda: self(*ready, check=False) == "idle 2", log=self.folder / "daemons.log")

    def _daemon(self, *command):
        with (self.folder / "daemons.log").open("a") as log:
            dies_with_this = ("setpriv", "--pdeathsig", "KILL")
            self.daemons.append(
                subprocess.Popen([*dies_with_this, *command], env=self.environment, stdout=log, stderr=log)
            )

    def stop(self):
        for _ in range(2):  # a process may start another one while it is looked for
            for pid in self._processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
        for daemon in self.daemons:
            daemon.wait(10)
        assert not self._processes()

    def _processes(self):
        mark = f"SLURM_CONF={self.conf}".encode()
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    def __call__(self, *command, check=True):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.strip()

    def launch(self, *arguments):
        """The number of the job that launch/slurm.sh submits."""
        said = self(ROOT / "launch" / "slurm.sh", "--gpus=0", "--cpus=1", "--mem=1G", *arguments)
        return re.fullmatch(r"Submitted batch job (\d+)", said)[1]

    def job(self, job):
        """What Slurm knows of a job: its state, its restarts and more."""
        return dict(re.findall(r"(\w+)=(\S*)", self("scontrol", "show", "job", job)))


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(what, seconds=60, log=None):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, log.read_text()[-3000:] if log and log.exists() else "in vain"
        time.sleep(0.1)


EPOCHS = 80  # of a fraction of a second: long enough to be interrupted twice
SETTINGS = (
    f"--config={ROOT}/tests/jax_ser_darts/tiny.py",
    f"--config.search.epochs={EPOCHS}",
    "--config.search.methods=('first',)",
    "--config.space.operations=('avg_pool_3x3','skip_connect')",
    "--config.folds.run=(0,)",
    "--config.train.epochs=1",
    "--config.train.auxiliary=0.0",
)


def flags(*more):
    return (*SETTINGS, f"--compilation_cache={jax.config.jax_compilation_cache_dir}", *more)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The workdir of one process with two devices, without Slurm."""
    workdir = tmp_path_factory.mktemp("alone")
    command = [sys.executable, "-m", "jax_ser_darts.main", *flags(), f"--workdir={workdir}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return workdir


def launch(slurm, workdir, *more):
    """A job of two nodes, a process with one device each."""
    python = f"--setup=PATH={pathlib.Path(sys.executable).parent}:$PATH"
    asked = flags("--config.devices=1", *more, f"--workdir={workdir}")
    return slurm.launch("--partition=low", "--nodes=2", python, *asked)


def metrics(workdir):
    path = workdir / "search/first/seed_0/fold_0/metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_job_that_is_preempted_and_then_out_of_time_ends_as_one_process_left_alone(slurm, alone, tmp_path):
    log = tmp_path / "log.txt"
    job = launch(slurm, tmp_path, f"--config.data.records={alone}/records")
    state = lambda: slurm.job(job)["JobState"]

    def goes_on(restarts):
        """Waits until it has done two more epochs since it was started again."""
        wait_for(lambda: (slurm.job(job)["Restarts"], state()) == (str(restarts), "RUNNING"), 120, log)
        done = len(metrics(tmp_path))
        wait_for(lambda: len(metrics(tmp_path)) >= done + 2 or state() != "RUNNING", 400, log)
        assert state() == "RUNNING", log.read_text()[-3000:]
        assert len(metrics(tmp_path)) < EPOCHS, "it was too fast to be interrupted"

    goes_on(0)
    slurm("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=true")
    goes_on(1)
    slurm("scancel", "--signal=USR1", "--batch", job)  # as Slurm does two minutes before the end
    goes_on(2)
    wait_for(lambda: state() not in ("RUNNING", "COMPLETING"), 300, log)
    assert state() == "COMPLETED"

    text = log.read_text()
    assert text.count("Process 0 of 2, ") == text.count("Process 1 of 2, ") == 3
    assert text.count("out of time: queued again") == 1
    ours, theirs = metrics(tmp_path), metrics(alone)
    assert [line["epoch"] for line in ours] == list(range(EPOCHS)), "no epoch is missing, none is there twice"
    for mine, other in zip(ours, theirs, strict=True):
        for cell in ("normal", "reduction"):
            np.testing.assert_allclose(mine["alphas"][cell], other["alphas"][cell], rtol=1e-4, atol=1e-6)
        assert mine["genotype"] == other["genotype"]
    where = "train/first/search_0/fold_0/seed_0/predictions.json"
    assert json.loads((tmp_path / where).read_text()) == json.loads((alone / where).read_text())


def test_a_run_that_fails_is_not_queued_again(slurm, tmp_path):
    job = launch(slurm, tmp_path, "--config.search.epochs=0")
    ended = lambda: slurm.job(job)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING")
    wait_for(ended, 300, tmp_path / "log.txt")
    found = slurm.job(job)
    assert (found["JobState"], found["Restarts"]) == ("FAILED", "0")
    assert "config.search.epochs = 0 must be above 0" in (tmp_path / "log.txt").read_text()
