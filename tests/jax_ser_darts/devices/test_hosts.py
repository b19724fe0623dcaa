"""Two and four real processes on this machine are one run: they find, train and predict what one process does."""

import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import soundfile
from random_corpora import random_subset
from tiny import tiny_config, tiny_settings

from jax_ser_darts import main
from jax_ser_darts.data.augment import Augmentation
from jax_ser_darts.data.batches import eval_batches, steps_per_epoch, train_batches
from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.rundir.checkpoints import Checkpoints
from jax_ser_darts.rundir.metrics import read

ROOT = pathlib.Path(__file__).parents[3]
# What differs from the tiny config: a batch that leaves an uneven last one to the evaluation (64 = 48 + 16).
SETTINGS = {
    "search.epochs": 1,
    "train.epochs": 1,
    "search.batch_size": 48,
    "train.batch_size": 48,
    "space.operations": ("avg_pool_3x3", "skip_connect"),
    "train.auxiliary": 0.0,
    "folds.run": (0,),
}
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*")]


# What a process writes: imported by every Python of those below, before all else.
AUDIT = """
import os, sys
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
busy = False
def hook(event, arguments):
    global busy
    if busy or event not in ("open", "os.mkdir", "os.rename", "os.remove"):
        return
    path = str(arguments[0])
    if path.startswith(os.environ["WATCHED"]) and (event != "open" or arguments[2] & WRITES):
        busy = True
        with open(os.environ["WROTE"], "a") as log:
            log.write(f"{event} {path}\\n")
        busy = False
sys.addaudithook(hook)
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Processes:
    """Some processes of the program, a device each."""

    def __init__(self, folder, records, mode, count=2, *, own=(), places=(), site="", **settings):
        """`own` are flags of each, `places` the folders that they start in, `site` code that they begin with."""
        port = free_port()
        self.logs = [folder / f"{i}.log" for i in range(count)]
        (folder / "sitecustomize.py").write_text(AUDIT + site)
        common = [
            *(sys.executable, "-m", "jax_ser_darts.main", f"--config={ROOT}/tests/jax_ser_darts/tiny.py"),
            *(f"--workdir={folder / 'run'}", f"--mode={mode}", f"--config.data.records={records}"),
            *(f"--coordinator=127.0.0.1:{port}", f"--num_processes={count}", "--config.devices=1"),
            f"--compilation_cache={jax.config.jax_compilation_cache_dir}",
            *(f"--config.{name}={value!r}" for name, value in {**SETTINGS, **settings}.items()),
        ]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{folder}:{ROOT}"}
        environment["WATCHED"] = str(folder / "run")
        self.processes = []
        for i, log in enumerate(self.logs):
            with log.open("a") as output:
                self.processes.append(
                    subprocess.Popen(
                        [*common, f"--process_id={i}", *(own[i] if own else ())],
                        cwd=places[i] if places else None,
                        stdout=output,
                        stderr=output,
                        env={**environment, "WROTE": str(folder / f"{i}.wrote")},
                    )
                )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def wait(self, timeout):
        return [process.wait(timeout) for process in self.processes]


def pair_of(code, arguments=("", "")):
    """(status, output) of two processes that run code of two arguments, the address of the first and their index."""
    where = f"127.0.0.1:{free_port()}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, where, str(i), str(argument)],
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i, argument in enumerate(arguments)
    ]
    outputs = [process.communicate(timeout=180)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """The records that all runs have in common."""
    workdir = tmp_path_factory.mktemp("prepared")
    main.run(tiny_config(), workdir, "prepare")
    return workdir / "records"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((2, "first"), id="2-first", marks=pytest.mark.slow),
        pytest.param((4, "second"), id="4-second", marks=pytest.mark.slow),
    ],
)
def run(request):
    """How many processes there are, and the order of their search."""
    return request.param


@pytest.fixture(scope="module")
def count(run):
    return run[0]


@pytest.fixture(scope="module")
def order(run):
    return run[1]


@pytest.fixture(scope="module")
def single(records, count, order, tmp_path_factory):
    """The workdir of one process with as many devices."""
    workdir = tmp_path_factory.mktemp("single")
    own = {"devices": count, "data.records": str(records), "search.methods": (order,)}
    main.run(tiny_settings({**SETTINGS, **own}), workdir, "all")
    return workdir


@pytest.fixture(scope="module")
def several(records, count, order, tmp_path_factory):
    """The workdir of several processes with a device each."""
    folder = tmp_path_factory.mktemp("several")
    with Processes(folder, records, "all", count, **{"search.methods": (order,)}) as running:
        statuses = running.wait(timeout=600)
        assert statuses == [0] * count, "\n".join(log.read_text()[-3000:] for log in running.logs)
    return folder / "run"


class TestSeveralProcesses:
    def test_alphas_and_losses_are_those_of_one_process(self, single, several, order):
        where = f"search/{order}/seed_0/fold_0/metrics.jsonl"
        (actual,), (expected,) = read(several / where), read(single / where)
        for cell in ("normal", "reduction"):
            np.testing.assert_allclose(actual["alphas"][cell], expected["alphas"][cell], rtol=1e-4, atol=1e-6)
        assert actual["train"] == pytest.approx(expected["train"], rel=1e-4)
        assert actual["val"] == pytest.approx(expected["val"], rel=1e-3)
        assert actual["genotype"] == expected["genotype"]

    def test_weights_are_those_of_one_process(self, single, several, order):
        """Of the supernet and of the trained network, with their optimisers: all that the checkpoints hold."""
        for where in (f"search/{order}/seed_0/fold_0", f"train/{order}/search_0/fold_0/seed_0"):
            actual, expected = (last_checkpoint(workdir / where) for workdir in (several, single))
            assert len(jax.tree.leaves(actual)) > 10
            close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
            jax.tree.map(close, actual, expected)

    def test_training_goes_the_same_way(self, single, several, order):
        where = f"train/{order}/search_0/fold_0/seed_0/metrics.jsonl"
        (actual,), (expected,) = read(several / where), read(single / where)
        assert actual["train"] == pytest.approx(expected["train"], rel=1e-4)
        assert actual["validation"] == pytest.approx(expected["validation"])

    def test_every_test_utterance_is_predicted_once_and_alike(self, single, several, order):
        """64 of them in batches of 48: of the last one, the last of four processes have no utterance at all."""
        where = f"train/{order}/search_0/fold_0/seed_0/predictions.json"
        actual, expected = (json.loads((workdir / where).read_text()) for workdir in (several, single))
        assert len(set(actual["ids"])) == len(actual["ids"]) == 64
        assert actual == expected


def last_checkpoint(folder):
    """Name -> array, of the last state that was saved."""
    with Checkpoints(folder / "checkpoints") as checkpoints:
        last = str(checkpoints.steps[-1])
        about = json.loads((folder / "checkpoints" / last / "about" / "metadata").read_text())
        target = {
            name: np.empty(spec["shape"], spec["dtype"]) for name, spec in about["about"]["leaves"].items()
        }
        return checkpoints.restore_latest(target)[1]


def test_only_process_0_writes(single, several, count, order):
    wrote = lambda i: (several.parent / f"{i}.wrote").exists()
    assert [wrote(i) for i in range(count)] == [True] + [False] * (count - 1)
    files = lambda workdir: {p.relative_to(workdir) for p in workdir.rglob("*") if "tfevents" not in p.name}
    named = lambda workdir: {path for path in files(workdir) if path.suffix in (".json", ".jsonl", ".txt")}
    assert named(several) == {path for path in named(single) if path.parts[0] != "records"}
    events = lambda workdir: len(list(workdir.glob(f"search/{order}/seed_0/fold_0/*tfevents*")))
    assert events(several) == events(single) == 1


@pytest.mark.slow
def test_a_process_that_dies_ends_the_other_with_a_message_and_both_go_on(records, tmp_path):
    longer = {"search.epochs": 400, "search.methods": ("first",)}
    metrics = tmp_path / "run/search/first/seed_0/fold_0/metrics.jsonl"

    def wait_for(lines, pair):
        end = time.monotonic() + 200
        while not metrics.exists() or len(metrics.read_bytes().splitlines()) < lines:
            assert time.monotonic() < end
            assert all(process.poll() is None for process in pair.processes), pair.logs[0].read_text()[-3000:]
            time.sleep(0.1)

    with Processes(tmp_path, records, "search", **longer) as pair:
        wait_for(2, pair)
        pair.processes[1].kill()
        assert pair.processes[0].wait(timeout=120) not in (0, None)
        assert "another process died" in pair.logs[0].read_text()
    reached = [line["epoch"] for line in read(metrics)]
    with Processes(tmp_path, records, "search", **longer) as pair:
        wait_for(len(reached) + 2, pair)
    lines = [line["epoch"] for line in read(metrics)]
    assert lines == list(range(len(lines))), "no epoch is missing, none is there twice"


DIES = """
import os, sys
from jax_ser_darts.devices import hosts
hosts.HEARTBEAT = 10
hosts.initialise(sys.argv[1], 2, int(sys.argv[2]))
if hosts.index() == 1:
    os._exit(1)
try:
    hosts.barrier("of one alone")
except Exception:
    hosts.abort()
"""


def test_a_process_whose_partner_dies_ends_with_a_message():
    (first, output), (second, _) = pair_of(DIES)
    assert first not in (0, None)
    assert second == 1
    assert "another process died" in output


AGREES = """
import json, sys, time
from jax_ser_darts.devices import hosts
hosts.initialise(sys.argv[1], 2, int(sys.argv[2]))
facts = json.loads(sys.argv[3])
time.sleep(facts.pop("sleeps", 0))
try:
    hosts.agree(facts)
except hosts.HostsError as error:
    print(error, flush=True)
    hosts.abort()
print("agreed")
"""


def test_processes_that_know_the_same_go_on():
    facts = json.dumps({"commit": "a", "config.search.epochs": 3, "ö": ["ü"] * 99})
    for status, output in pair_of(AGREES, [facts, facts]):
        assert status == 0, output
        assert "agreed" in output


def test_processes_of_different_runs_both_end_and_name_what_differs_and_where():
    started = time.monotonic()
    mine = {"commit": "a", "config.search.epochs": 3, "same": 1}
    other = {"commit": "b", "config.train.epochs": 5, "same": 1, "sleeps": 3}
    for status, output in pair_of(AGREES, [json.dumps(mine), json.dumps(other)]):
        assert status == 1, output
        assert 'commit: "a" in process 0, "b" in process 1' in output
        assert "config.search.epochs: 3 in process 0, absent in process 1" in output
        assert "config.train.epochs: absent in process 0, 5 in process 1" in output
        assert "same" not in output.partition("processes are not of one run")[2].partition("Start all")[0]
        assert "Start all of them with the same command, code and data" in output
    assert time.monotonic() - started < 60


def refused(running, *names):
    """Whether all processes end within a minute, with a message of these words."""
    started = time.monotonic()
    statuses = running.wait(timeout=100)
    texts = [log.read_text() for log in running.logs]
    assert time.monotonic() - started < 60, texts[0][-2000:]
    assert all(status not in (0, None) for status in statuses), texts
    for text in texts:
        assert "the processes are not of one run" in text, text[-3000:]
        for name in names:
            assert name in text, text[-3000:]


def test_another_setting_in_one_of_two_processes_is_refused(records, tmp_path):
    with Processes(tmp_path, records, "search", own=[["--config.seed=0"], ["--config.seed=1"]]) as running:
        refused(running, "config.seed: 0 in process 0, 1 in process 1")
    assert not (tmp_path / "run/config.json").exists(), "the workdir is nobody's"


# One path, and of each process another folder, as on hosts with disks of their own: it is not resolved.
OWN = "/proc/self/cwd"
DISKS = f"""
import pathlib
resolve = pathlib.Path.resolve
pathlib.Path.resolve = lambda self, **how: self if str(self).startswith("{OWN}") else resolve(self, **how)
"""
SOURCE = {"data.corpus": "manifest", "data.source": f"{OWN}/corpus/manifest.csv", "data.emotions": {}}


def corpora(folder, count, what):
    """A folder for each process, with the corpus as it sees it; that of the last one differs in one thing."""
    places = [folder / str(i) for i in range(count)]
    for place in places:
        odd, rows = place == places[-1], ["path,speaker,emotion"]
        (place / "corpus").mkdir(parents=True)
        for i in range(24):
            path = place / "corpus" / f"{i}.wav"
            seed = 99 if odd and i == 0 and what in ("sound", "content") else i
            soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, 4000), 8000)
            os.utime(path, (1, 2 if odd and what == "sound" else 1))
            emotion = "sad" if i % 2 or (odd and i == 0 and what == "label") else "angry"
            rows.append(f"{path.name},s{i // 4},{emotion}")
        (place / "corpus/manifest.csv").write_text("\n".join(rows) + "\n")
    return places


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("what", ["nothing", "label", "sound", "content", "mode"])
def test_another_corpus_or_mode_in_one_process_is_refused(tmp_path, monkeypatch, count, what):
    """`content` is other sound of the same size and time: only what is loaded shows it."""
    places, records = corpora(tmp_path, count, what), tmp_path / "records"
    own = [[f"--config.{name}={value}" for name, value in SOURCE.items()] for _ in places]
    mode = "search" if what == "content" else "prepare"
    if what == "content":
        records = f"{OWN}/records"
        monkeypatch.setattr(pathlib.Path, "resolve", lambda self, **_: self)
        for place in places:
            monkeypatch.chdir(place)
            settings = tiny_settings({**SETTINGS, **SOURCE, "devices": 1, "data.records": records})
            main.run(settings, tmp_path / "prepared", "prepare")
        monkeypatch.undo()
    elif what == "mode":
        own[-1].append("--mode=train")
    said = {"mode": "--mode", "content": "content of the corpus"}.get(
        what, "records of the corpus (config.data)"
    )
    with Processes(tmp_path, records, mode, count, own=own, places=places, site=DISKS) as running:
        if what == "nothing":
            assert running.wait(timeout=100) == [0] * count, running.logs[0].read_text()[-3000:]
        else:
            refused(running, said, f"in process {count - 1}")


def test_a_mode_of_one_process_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(hosts, "_count", 2)
    monkeypatch.setattr(hosts, "agree", lambda _: None)
    with pytest.raises(ConfigError, match="several processes do not share"):
        main.run(tiny_config(), tmp_path, "export")


@pytest.fixture(scope="module")
def data():
    return random_subset(4)


def together(streams, count):
    """The first batches of all processes, each put together of its shares."""
    for shares in itertools.islice(zip(*streams, strict=True), count):
        yield {name: np.concatenate([share[name] for share in shares]) for name in shares[0]}


@pytest.mark.parametrize("count", [2, 4])
def test_an_epoch_of_all_processes_has_every_utterance(data, count):
    """And once, but for those that fill its last batch."""
    size = 8
    options = {
        "normalisation": Normalisation.of(data),
        "batch_size": size,
        "frames": data.corpus.frames(),
        "seed": 3,
    }
    steps = steps_per_epoch(data, batch_size=size)
    streams = (
        itertools.islice(train_batches(data, share=(i, count), **options), steps) for i in range(count)
    )
    shares = [np.concatenate([batch["index"] for batch in stream]) for stream in streams]
    assert {len(share) for share in shares} == {steps * size // count}, "each reads its own share"
    seen, times = np.unique(np.concatenate(shares), return_counts=True)
    assert seen.tolist() == sorted(data.indices.tolist())
    assert times.sum() - len(seen) == -len(data) % size


@pytest.mark.parametrize("augmentation", [None, Augmentation(time_masks=1, noise=0.1)])
def test_the_shares_of_a_training_batch_are_the_batch(data, augmentation):
    options = {
        "normalisation": Normalisation.of(data),
        "batch_size": 6,
        "frames": data.corpus.frames(),
        "seed": 3,
        "augmentation": augmentation,
    }
    streams = [train_batches(data, share=(i, 3), **options) for i in range(3)]
    for whole, parts in zip(train_batches(data, **options), together(streams, 5), strict=False):
        for name in whole:
            np.testing.assert_array_equal(parts[name], whole[name])


@pytest.mark.parametrize("count", [2, 4])
def test_every_utterance_is_evaluated_once_whatever_the_number_of_processes(data, count):
    options = {
        "normalisation": Normalisation.of(data),
        "batch_size": 8,
        "frames": data.corpus.frames(),
    }
    shares = ((i, count) for i in range(count))
    seen = [batch["index"] for share in shares for batch in eval_batches(data, share=share, **options)]
    seen = np.concatenate(seen)
    assert sorted(seen[seen >= 0]) == data.indices.tolist()


def test_a_batch_that_processes_cannot_share_is_an_error(data):
    stream = train_batches(
        data,
        normalisation=Normalisation.of(data),
        batch_size=5,
        frames=data.corpus.frames(),
        seed=0,
        share=(0, 2),
    )
    with pytest.raises(ValueError, match="a batch of 5 cannot be divided over 2 processes"):
        next(stream)


LATE = """
import sys, time
from jax_ser_darts.devices import hosts
hosts.initialise(sys.argv[1], 2, int(sys.argv[2]))
time.sleep(float(sys.argv[3]))
hosts.barrier("prepared")
print("here")
"""


@pytest.mark.parametrize("seconds", [2, pytest.param(35, marks=pytest.mark.slow)])
def test_a_process_may_be_late(seconds):
    """The first one prepares the corpus, for hours perhaps; processes that do not know each other yet wait 30 s."""
    started = time.monotonic()
    for status, output in pair_of(LATE, [seconds, 0]):
        assert status == 0, output
        assert "here" in output.splitlines(), output
    assert time.monotonic() - started > seconds
