"""Hand-designed networks: a prediction depends on its utterance alone; the papers' sizes; sizes on demand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts.models.baselines import (
    BASELINES,
    CNN,
    CNN_LSTM,
    CNN_LSTM_ATTENTION,
    LSTM,
    Baseline,
    matched_width,
    paper_sizes,
    parameters,
    sizes,
)

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

T, F, CLASSES = 12, 8, 3
LENGTHS = np.array([12, 5, 9, 0], np.int32)  # the last only fills the batch
SHAPES = (jax.ShapeDtypeStruct((1, T, F), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.int32))


@pytest.fixture(scope="module", autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


class Compiled:
    """A baseline with random weights and its two functions."""

    def __init__(self, kind):
        self.kind = kind
        self.model = Baseline(kind=kind, classes=CLASSES, channels=2, units=4, dtype=jnp.float64)
        shapes = jax.eval_shape(
            lambda: self.model.init(jax.random.key(0), np.zeros((4, T, F)), LENGTHS, train=False)
        )
        leaves, structure = jax.tree.flatten(shapes)
        values = [np.abs(0.5 * normal(i, *leaf.shape)) + 0.1 * i for i, leaf in enumerate(leaves)]
        signs = [np.sign(normal(100 + i, *leaf.shape)) for i, leaf in enumerate(leaves)]
        self.variables = jax.tree_util.tree_map_with_path(
            lambda path, x, sign: x if path[-1].key == "variance" else 0.3 * x * sign,
            jax.tree.unflatten(structure, values),
            jax.tree.unflatten(structure, signs),
        )
        self.predict = jit(lambda *a: self.model.apply(self.variables, *a, train=False)[0])
        self.gradient = jit(jax.grad(self._loss, has_aux=True))

    def _loss(self, params, features, num_frames):
        (logits, auxiliary), changed = self.model.apply(
            {**self.variables, "params": params}, features, num_frames, train=True, mutable=["batch_stats"]
        )
        assert auxiliary is None
        return jnp.sum(jnp.sin(logits[:3]) @ jnp.arange(1.0, 1.0 + CLASSES)), (logits, changed)


@pytest.fixture(scope="module", params=BASELINES)
def compiled(request):
    with jax.enable_x64(True):
        return Compiled(request.param)


@pytest.fixture(scope="module")
def features():
    return normal(7, len(LENGTHS), T, F)


def assert_close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def with_noise_on_padding(features):
    padding = np.arange(T)[None, :, None] >= LENGTHS[:, None, None]
    return np.where(padding, 50 * normal(9, *features.shape), features)


def test_a_prediction_depends_on_nothing_but_its_utterance(compiled, features):
    together = compiled.predict(features, LENGTHS)
    assert np.isfinite(together).all()
    others = np.concatenate([features[1:2], normal(11, 3, T, F)])
    alone = compiled.predict(others, np.array([5, 12, 1, 7], np.int32))
    assert_close(alone[0], together[1])
    changed = features.copy()
    changed[1, 4] += 1  # the last valid frame is heard
    assert np.abs(compiled.predict(changed, LENGTHS)[1] - together[1]).max() > 1e-6


def test_padding_changes_nothing(compiled, features):
    expected = compiled.predict(features, LENGTHS)
    assert_close(compiled.predict(with_noise_on_padding(features), LENGTHS), expected)
    if compiled.kind != CNN:  # whose dense layer has weights for T frames
        longer = np.pad(features, ((0, 0), (0, 8), (0, 0)), constant_values=9.0)
        assert_close(compiled.predict(longer, LENGTHS)[:3], expected[:3])


def test_padding_changes_nothing_in_training(compiled, features):
    gradient, (logits, changed) = compiled.gradient(compiled.variables["params"], features, LENGTHS)
    noisy = compiled.gradient(compiled.variables["params"], with_noise_on_padding(features), LENGTHS)
    assert_close(noisy, (gradient, (logits, changed)))


def test_the_gradient_reaches_every_weight(compiled, features):
    gradient, _ = compiled.gradient(compiled.variables["params"], features, LENGTHS)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


def test_time_is_the_order_of_the_frames(compiled, features):
    """Reversed in time an utterance is another one: no baseline pools time away before it has heard it."""
    backwards = features[:, ::-1]
    full = np.full(len(LENGTHS), T, np.int32)
    difference = compiled.predict(features, full) - compiled.predict(backwards, full)
    assert np.abs(difference).max() > 1e-3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Of 128 x 128 MFCCs, 4 classes. Convolution 4 + norm 2; 32 x 32 positions.
        (CNN, 6 + (32 * 32 * 32 + 32) + (32 * 4 + 4)),
        (LSTM, 4 * 512 * (128 + 512 + 1) + (512 * 32 + 32) + (32 * 4 + 4)),
        (CNN_LSTM, 6 + 2 * 4 * 128 * (32 + 128 + 1) + (256 * 32 + 32) + (32 * 4 + 4)),
        (
            CNN_LSTM_ATTENTION,
            6 + 2 * 4 * 128 * (32 + 128 + 1) + (256 * 256 + 256 + 256) + (512 * 256 + 256) + (256 * 4 + 4),
        ),
    ],
)
def test_parameters_at_the_papers_size(kind, expected):
    shapes = (jax.ShapeDtypeStruct((1, 128, 128), jnp.float32), SHAPES[1])
    assert parameters(Baseline(kind=kind, classes=4, **paper_sizes(kind)), *shapes) == expected


@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize("target", [1, 3_000])
def test_no_width_is_closer_to_the_target_than_the_matched_one(kind, target):
    def of(width):
        return parameters(Baseline(kind=kind, classes=CLASSES, **sizes(kind, width)), *SHAPES)

    of = functools.cache(of)
    width = matched_width(of, target)
    assert width >= 1
    assert of(width) < of(width + 1), "so that its neighbours stand for all others"
    assert all(abs(of(width) - target) <= abs(of(w) - target) for w in (max(width - 1, 1), width + 1))


@pytest.mark.parametrize("target", range(1, 60))
def test_the_matched_width_of_any_target(target):
    squares = lambda width: width * width + 3
    best = min(range(1, 20), key=lambda width: abs(squares(width) - target))
    assert matched_width(squares, target) == best
