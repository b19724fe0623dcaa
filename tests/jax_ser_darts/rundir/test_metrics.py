"""Metrics: every epoch once, whatever was killed when; always valid JSON; the same in TensorBoard."""

import errno
import json
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jax_ser_darts.devices import hosts
from jax_ser_darts.rundir.metrics import FILE_NAME, MetricsError, MetricsWriter, read


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a folder: tag -> [(step, value)]."""
    shown = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in shown.Scalars(tag)] for tag in shown.Tags()["scalars"]
    }


def write_epochs(folder, start: int, stop: int, run: int = 0) -> None:
    with MetricsWriter(folder, start=start) as writer:
        for epoch in range(start, stop):
            writer.write(epoch, {"train": {"loss": epoch + run / 10}, "ua": 0.5})


def test_what_is_written_is_read_back(tmp_path):
    with MetricsWriter(tmp_path / "new" / "run") as writer:
        writer.write(
            0, {"loss": 1.5, "train": {"ua": np.float32(0.5), "wa": jnp.float32(0.25)}, "note": "first"}
        )
        writer.write(1, {"loss": 1, "alphas": [[0.1, np.float64(0.2)], np.arange(2)], "skips": np.int64(3)})
    assert read(tmp_path / "new" / "run" / FILE_NAME) == [
        {"epoch": 0, "loss": 1.5, "train": {"ua": 0.5, "wa": 0.25}, "note": "first"},
        {"epoch": 1, "loss": 1, "alphas": [[0.1, 0.2], [0, 1]], "skips": 3},
    ]
    assert scalars(tmp_path / "new" / "run") == {
        "loss": [(0, 1.5), (1, 1.0)],
        "train/ua": [(0, 0.5)],
        "train/wa": [(0, 0.25)],
        "skips": [(1, 3.0)],
    }


def test_an_epoch_is_on_disk_before_the_next_begins(tmp_path):
    writer = MetricsWriter(tmp_path)
    for epoch in range(3):
        writer.write(epoch, {"loss": 0.5})
        assert len(read(tmp_path / FILE_NAME)) == epoch + 1
        assert scalars(tmp_path)["loss"][-1] == (epoch, 0.5)
    writer.close()


@pytest.mark.parametrize("first", [True, False])
def test_no_process_goes_on_before_the_lines_of_a_run_cut_off_are_gone(tmp_path, monkeypatch, first):
    write_epochs(tmp_path, 0, 3)
    left = []
    monkeypatch.setattr(hosts, "is_primary", lambda: first)
    monkeypatch.setattr(hosts, "barrier", lambda what: left.append(len(read(tmp_path / FILE_NAME))))
    MetricsWriter(tmp_path, start=1).close()
    assert left == [1 if first else 3], "each waits once, the first after it has removed them"


@pytest.mark.parametrize("restart", [0, 1, 3, 5])
def test_a_restarted_run_counts_no_epoch_twice(tmp_path, restart):
    write_epochs(tmp_path, 0, 5)
    write_epochs(tmp_path, restart, 7, run=1)
    wanted = [epoch + (0.1 if epoch >= restart else 0) for epoch in range(7)]
    assert [line["epoch"] for line in read(tmp_path / FILE_NAME)] == list(range(7))
    assert [line["train"]["loss"] for line in read(tmp_path / FILE_NAME)] == wanted
    assert scalars(tmp_path)["train/loss"] == [(e, pytest.approx(loss)) for e, loss in enumerate(wanted)]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_a_kill_cut_short_is_dropped_with_a_warning(tmp_path, caplog, cut):
    write_epochs(tmp_path, 0, 3)
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:cut])
    whole = cut >= len(lines[2]) - 1
    assert len(read(path)) == 2 + whole
    assert ("cut short" in caplog.text) == (not whole)
    write_epochs(tmp_path, 2, 4)
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [0, 1, 2, 3]


def test_damage_before_the_last_line_is_an_error_with_its_place(tmp_path):
    write_epochs(tmp_path, 0, 3)
    path = tmp_path / FILE_NAME
    path.write_text("\n".join([path.read_text().splitlines()[0], "{oops", '{"epoch": 2}']))
    for use in (read, lambda path: MetricsWriter(path.parent, start=3)):
        with pytest.raises(MetricsError, match=r"metrics.jsonl, line 2, .*\{oops"):
            use(path)


def test_what_is_not_finite_is_null_in_json_and_itself_in_tensorboard(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer.write(0, {"a": float("nan"), "b": {"c": np.float32("inf")}, "d": [1.0, -np.inf], "e": jnp.nan})

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    line = json.loads((tmp_path / FILE_NAME).read_text(), parse_constant=refuse)
    assert line == {"epoch": 0, "a": None, "b": {"c": None}, "d": [1.0, None], "e": None}
    assert np.isnan(scalars(tmp_path)["a"][0][1])
    assert np.isinf(scalars(tmp_path)["b/c"][0][1])


def test_epochs_only_grow(tmp_path):
    with MetricsWriter(tmp_path, start=2) as writer:
        with pytest.raises(MetricsError, match=r"Epoch 1 .*the next is 2"):
            writer.write(1, {})
        writer.write(4, {})
        with pytest.raises(MetricsError, match="the next is 5"):
            writer.write(4, {})
        with pytest.raises(MetricsError, match="called 'epoch'"):
            writer.write(5, {"epoch": 5})
    assert [line["epoch"] for line in read(tmp_path / FILE_NAME)] == [4]


def test_a_metric_that_json_cannot_hold_leaves_the_file_whole(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        writer.write(0, {"loss": 1.0})
        with pytest.raises(TypeError):
            writer.write(1, {"loss": object()})
        writer.write(1, {"loss": 2.0})
    assert [line["loss"] for line in read(tmp_path / FILE_NAME)] == [1.0, 2.0]


def test_writing_does_not_import_tensorflow(tmp_path):
    code = (
        "import sys; from jax_ser_darts.rundir.metrics import MetricsWriter\n"
        "MetricsWriter(sys.argv[1]).write(0, {'loss': 1.0})\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_full_disk_is_named_and_no_epoch_is_lost_or_counted_twice(small_disk):
    folder, losses = small_disk.folder / "run", [0.1 * epoch for epoch in range(10_000)]

    def run():
        with MetricsWriter(folder) as writer:
            small_disk.fill(leaving=8192)
            for epoch, loss in enumerate(losses):
                writer.write(epoch, {"loss": loss})

    with pytest.raises(OSError, match="make space and start again") as caught:
        run()
    assert caught.value.errno == errno.ENOSPC
    assert pathlib.Path(caught.value.filename).parent == folder
    small_disk.make_space()
    written = len(read(folder / FILE_NAME))
    assert 10 < written < len(losses)
    with MetricsWriter(folder, start=written) as writer:
        writer.write(written, {"loss": losses[written]})
    assert read(folder / FILE_NAME) == [{"epoch": i, "loss": losses[i]} for i in range(written + 1)]
    assert scalars(folder)["loss"][-1] == (written, pytest.approx(losses[written]))


def test_a_disk_that_is_full_at_the_start_is_named(small_disk):
    folder = small_disk.folder / "run"
    folder.mkdir()
    small_disk.fill()
    with pytest.raises(OSError, match="make space and start again"):
        MetricsWriter(folder)
    small_disk.make_space()
    write_epochs(folder, 0, 1)
    assert not list(folder.glob(".*")), "nothing half-written is left"
