"""Checkpoints: what is saved comes back, bit by bit, or the reader is told why not."""

import errno
import pathlib
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import jax_utils, struct
from jax.sharding import NamedSharding, PartitionSpec

from jax_ser_darts.devices import parallel
from jax_ser_darts.rundir.checkpoints import CheckpointError, Checkpoints, checksum


@struct.dataclass
class State:
    weights: dict
    alphas: jax.Array
    optimizer: optax.OptState
    key: jax.Array
    step: int
    order: np.ndarray


def make_state(seed: int = 0, width: int = 3) -> State:
    weights = {
        "conv": {"kernel": jax.random.normal(jax.random.key(seed), (2, width))},
        "half": jnp.full((width,), seed, jnp.bfloat16),
    }
    return State(
        weights=weights,
        alphas=jnp.full((4, 8), 1e-3 * seed),
        optimizer=optax.chain(optax.clip_by_global_norm(5.0), optax.sgd(0.1, momentum=0.9)).init(weights),
        key=jax.random.key_data(jax.random.key(seed)),
        step=seed,
        order=np.random.default_rng(seed).permutation(7),
    )


def assert_same(one, other) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert type(a) is type(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """Checkpoints of steps 1 and 2, of make_state(1) and make_state(2)."""
    with Checkpoints(tmp_path / "run") as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, make_state(step), {"epoch": step})
    return tmp_path / "run"


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    with Checkpoints(tmp_path / "new") as checkpoints:
        assert checkpoints.steps == ()
        assert checkpoints.restore_latest(make_state()) is None


def test_a_second_run_finds_the_newest_state_exactly(folder):
    with Checkpoints(folder) as checkpoints:
        step, state, extra = checkpoints.restore_latest(make_state())
        assert (step, extra) == (2, {"epoch": 2})
        assert_same(state, make_state(2))
        checkpoints.save(3, state, {"epoch": 3})
        assert checkpoints.steps == (2, 3), "the oldest goes"


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_every_kind_of_leaf_keeps_its_kind(tmp_path, impl):
    class Kinds(NamedTuple):
        whole: int
        real: float
        truth: bool
        scalar: np.float32
        array: jax.Array
        host: np.ndarray
        key: jax.Array
        none: None

    state = Kinds(
        2**40,
        0.1,
        True,
        np.float32(0.3),
        jnp.arange(3.0),
        np.ones((2, 2), np.int16),
        jax.random.key(5, impl=impl),
        None,
    )
    target = Kinds(
        0,
        0.0,
        False,
        np.float32(0),
        jnp.zeros(3),
        np.zeros((2, 2), np.int16),
        jax.random.key(0, impl=impl),
        None,
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, state)
        _, restored, extra = checkpoints.restore_latest(target)
    assert extra == {}
    assert restored.key.dtype == state.key.dtype
    assert_same(
        restored._replace(key=jax.random.key_data(restored.key)),
        state._replace(key=jax.random.key_data(state.key)),
    )


def test_an_array_returns_to_the_devices_of_the_target(tmp_path):
    mesh = jax.make_mesh((8,), ("device",), axis_types=(jax.sharding.AxisType.Auto,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    target = {
        "replicated": jax.device_put(np.zeros(3, np.float32), everywhere),
        "third": jax.device_put(np.zeros(2, np.float32), jax.devices()[3]),
        "anywhere": jnp.zeros(2),
    }
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, jax.tree.map(lambda leaf: leaf + jnp.ones_like(leaf), target))
        _, restored, _ = checkpoints.restore_latest(target)
    assert restored["replicated"].sharding == everywhere
    assert restored["third"].devices() == {jax.devices()[3]}
    assert not restored["anywhere"].committed
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, 1), restored)


@pytest.mark.parametrize("count", [1, 8])
def test_a_run_goes_on_with_another_number_of_devices(tmp_path, count):
    on = lambda devices, value: parallel.replicate({"w": jnp.full(3, value)}, devices)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, on(parallel.local_devices(2), 0.5))
        devices = parallel.local_devices(count)
        _, restored, _ = checkpoints.restore_latest(on(devices, 0.0))
    assert restored["w"].devices() == set(devices)
    np.testing.assert_array_equal(restored["w"], np.full(3, 0.5))


def test_a_replicated_state_is_saved_after_unreplicate(tmp_path):
    state = jax_utils.replicate({"w": jnp.arange(3.0)})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, jax_utils.unreplicate(state))
        _, restored, _ = checkpoints.restore_latest({"w": jnp.zeros(3)})
    np.testing.assert_array_equal(restored["w"], np.arange(3))


def test_saved_buffers_may_be_donated_and_the_host_array_changed(tmp_path):
    step = jax.jit(
        lambda state: jax.tree.map(lambda leaf: leaf * jnp.full_like(leaf, 2), state), donate_argnums=0
    )
    state, host = {"w": jnp.arange(1000.0)}, np.arange(4)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"state": state, "host": host})
        state = step(state)
        host[:] = 0
        _, restored, _ = checkpoints.restore_latest(
            {"state": {"w": jnp.zeros(1000)}, "host": np.zeros(4, int)}
        )
    np.testing.assert_array_equal(restored["state"]["w"], np.arange(1000.0))
    np.testing.assert_array_equal(restored["host"], np.arange(4))


def test_saving_and_restoring_make_no_hidden_transfer(tmp_path):
    state = {"w": jnp.arange(3.0), "key": jax.random.key(1), "n": 3}
    with jax.transfer_guard("disallow"), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        checkpoints.restore_latest(state)


def test_a_training_loop_cut_in_two_ends_where_an_uncut_one_ends(tmp_path):
    optimizer = optax.sgd(0.1, momentum=0.9)

    @jax.jit
    def step(weights, optimizer_state, key):
        key, noise = jax.random.split(key)
        gradient = weights - jax.random.normal(noise, weights.shape)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, weights)
        return optax.apply_updates(weights, updates), optimizer_state, key

    fresh = (jnp.ones(5), optimizer.init(jnp.ones(5)), jax.random.key(0))
    uncut = cut = fresh
    for _ in range(6):
        uncut = step(*uncut)
    for _ in range(3):
        cut = step(*cut)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, cut)
    with Checkpoints(tmp_path) as checkpoints:
        first, cut, _ = checkpoints.restore_latest(fresh)
    for _ in range(first, 6):
        cut = step(*cut)
    np.testing.assert_array_equal(cut[0], uncut[0])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda state: make_state(width=4),
            r"weights/conv/kernel: the folder has float32\[2, 3\], this run float32\[2, 4\]",
        ),
        (
            lambda state: state.replace(alphas=state.alphas.astype(jnp.bfloat16)),
            r"alphas: .* this run bfloat16\[4, 8\]",
        ),
        (
            lambda state: state.replace(weights={"conv": state.weights["conv"]}),
            r"weights/half: .* this run nothing",
        ),
        (lambda state: state.replace(order={"a": state.order}), r"order/a: the folder has nothing"),
    ],
    ids=["shape", "dtype", "leaf missing", "leaf more"],
)
def test_another_configuration_is_told_apart(folder, change, named):
    with Checkpoints(folder) as checkpoints:
        with pytest.raises(CheckpointError, match="another configuration") as caught:
            checkpoints.restore_latest(change(make_state()))
        assert caught.match(named)
        assert checkpoints.steps == (1, 2), "and nothing is lost by it"


def damage(path: pathlib.Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
@pytest.mark.parametrize(
    "what", ["state/manifest.ocdbt", "state/d/*", "state/ocdbt.process_0/d/*", "about/metadata"]
)
def test_an_unreadable_newest_checkpoint_is_named_and_the_one_before_is_used(folder, caplog, what, how):
    for path in (folder / "2").glob(what):
        damage(path, how)
    with Checkpoints(folder) as checkpoints:
        step, state, extra = checkpoints.restore_latest(make_state())
        if step == 2:  # this file held nothing that is not elsewhere: then all must be right
            assert_same(state, make_state(2))
            return
        assert (step, extra) == (1, {"epoch": 1})
        assert_same(state, make_state(1))
        assert str(folder / "2") in caplog.text
        assert (folder / "2.unreadable").is_dir()
        checkpoints.save(2, make_state(2), {"epoch": 2})
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.steps == (1, 2)
        assert_same(checkpoints.restore_latest(make_state())[1], make_state(2))


def test_a_bit_that_flipped_on_the_disk_is_never_restored(tmp_path):
    noise = np.random.default_rng(0).normal(
        size=5000
    )  # does not compress: nearly each byte on disk is a value's
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": noise})
        checkpoints.save(2, {"w": noise})
    largest = max((tmp_path / "2").rglob("*"), key=lambda path: path.stat().st_size)
    damage(largest, "flipped")
    with Checkpoints(tmp_path) as checkpoints:
        step, restored, _ = checkpoints.restore_latest({"w": np.zeros(5000)})
    assert step == 1
    np.testing.assert_array_equal(restored["w"], noise)


def test_a_digit_that_changed_in_the_description_is_noticed(folder):
    about = folder / "2" / "about" / "metadata"
    text = about.read_text()
    assert "epoch" in text
    at = text.index("2", text.index("epoch"))
    about.write_text(text[:at] + "9" + text[at + 1 :])
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.restore_latest(make_state())[::2] == (1, {"epoch": 1})


def test_with_nothing_readable_the_run_does_not_start_over_in_silence(folder):
    for step in (1, 2):
        damage(folder / str(step) / "about" / "metadata", "cut")
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(CheckpointError, match=r"None of the checkpoints \[2, 1\]"),
    ):
        checkpoints.restore_latest(make_state())


@pytest.mark.parametrize("leaving", [0, 200_000], ids=["full", "nearly full"])
def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_space(small_disk, leaving):
    noise = lambda step: {"w": np.random.default_rng(step).normal(size=50_000)}
    folder = small_disk.folder / "run"
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, noise(1), {"epoch": 1})
        small_disk.fill(leaving)
        with pytest.raises(
            CheckpointError, match=r"step 2 \(0.4 MiB\) cannot be written to .*/run: "
        ) as caught:
            checkpoints.save(2, noise(2))
        assert caught.match("No space left on device")
        assert caught.match("start again")
    small_disk.make_space()
    with Checkpoints(folder) as checkpoints:
        step, state, extra = checkpoints.restore_latest(noise(0))
        assert (step, extra) == (1, {"epoch": 1})
        assert_same(state, noise(1))
        checkpoints.save(2, noise(2))
        assert_same(checkpoints.restore_latest(noise(0))[1], noise(2))
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "of_the_disk"),
    [
        (OSError(errno.EROFS, "Read-only file system"), True),
        (caused(ValueError("the save failed"), OSError(errno.EIO, "Input/output error")), True),
        (ValueError("UNKNOWN: Error writing x [OS error 28: No space left on device]"), True),
        (ValueError("Disk quota exceeded"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: writing x"), True),
        (TypeError("save() got an unexpected keyword argument 'args'"), False),
        (caused(RuntimeError("the save failed"), KeyError("state")), False),
    ],
)
def test_only_what_is_of_the_disk_is_told_as_such(folder, monkeypatch, error, of_the_disk):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(ocp.CheckpointManager, "save", fail)
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(CheckpointError if of_the_disk else type(error)) as caught,
    ):
        checkpoints.save(3, make_state())
    assert (caught.value.__cause__ if of_the_disk else caught.value) is error


def test_steps_only_grow(folder):
    with Checkpoints(folder) as checkpoints:
        for step in (0, 2):
            with pytest.raises(CheckpointError, match="holds step 2"):
                checkpoints.save(step, make_state())


@pytest.mark.parametrize("leaf", ["word", object(), np.array(["word"])])
def test_what_is_no_number_is_refused_by_name(tmp_path, leaf):
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(TypeError, match="leaf inner/x"):
        checkpoints.save(1, {"inner": {"x": leaf}})


def test_one_checkpoint_alone_is_too_few(tmp_path):
    with pytest.raises(ValueError, match="at least 2"):
        Checkpoints(tmp_path, keep=1)


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    saver = (
        "import sys, numpy as np\n"
        "from jax_ser_darts.rundir.checkpoints import Checkpoints\n"
        "checkpoints = Checkpoints(sys.argv[1])\n"
        "found = checkpoints.restore_latest({'w': np.zeros(500_000)})\n"
        "step = found[0] if found else 0\n"
        "assert not found or (found[1]['w'] == step).all()\n"
        "while True:\n"
        "    step += 1\n"
        "    checkpoints.save(step, {'w': np.full(500_000, float(step))}, {'step': step})\n"
        "    print(step, flush=True)\n"
    )
    for wait in (0.0, 0.013):
        with subprocess.Popen(
            [sys.executable, "-c", saver, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            printed = [int(process.stdout.readline()) for _ in range(3)]
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        with Checkpoints(tmp_path) as checkpoints:
            step, state, extra = checkpoints.restore_latest({"w": np.zeros(500_000)})
        assert step >= printed[-1]
        assert extra == {"step": step}
        np.testing.assert_array_equal(state["w"], step)
    assert printed[0] > 3, "the second run went on from the first"


class TestOneStep:
    def test_it_is_that_step_and_no_other(self, folder):
        with Checkpoints(folder) as checkpoints:
            for step in (1, 2):
                assert_same(checkpoints.restore(step, make_state()), make_state(step))
            with pytest.raises(
                CheckpointError, match=r"run/3 is missing or unreadable \(the folder has 1, 2\)"
            ):
                checkpoints.restore(3, make_state())

    @pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
    def test_a_damaged_one_is_refused_and_stays(self, folder, how):
        damage(folder / "2" / "about" / "metadata", how)
        with Checkpoints(folder) as checkpoints:
            with pytest.raises(CheckpointError, match="run/2 is missing or unreadable"):
                checkpoints.restore(2, make_state())
            assert checkpoints.steps == (1, 2)


def test_a_checksum_changes_with_any_name_shape_dtype_or_bit():
    tree = {"a": jnp.zeros((2, 3)), "b": np.float32(1.0)}
    others = (
        {"a": jnp.zeros((2, 3)), "c": np.float32(1.0)},
        {"a": jnp.zeros((3, 2)), "b": np.float32(1.0)},
        {"a": jnp.zeros((2, 3), jnp.int32), "b": np.float32(1.0)},
        {"a": jnp.zeros((2, 3)), "b": np.nextafter(np.float32(1.0), np.float32(2.0))},
    )
    assert checksum(dict(reversed(tree.items()))) == checksum(tree)
    assert len({checksum(tree), *map(checksum, others)}) == 5
