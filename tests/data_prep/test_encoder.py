"""Features of kind "onnx": the frames of an encoder's file, whatever lies around them."""

import dataclasses
import pathlib

import numpy as np
import pytest

from data_prep import encoder
from data_prep.encoder import EncoderError
from data_prep.features import ONNX, FeatureSettings, extract, kind_of

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WINDOW, HOP, VALUES = 40, 32, 3
KERNEL = np.random.default_rng(0).normal(size=(VALUES, 1, WINDOW)).astype(np.float32)


def save(path, *, inputs=("waveform",), batch_first=True):
    """An encoder of one strided convolution."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "axis"], ["x"]),
        helper.make_node("Conv", ["x", "kernel"], ["y"], strides=[HOP]),
        helper.make_node("Transpose", ["y"], ["frames"], perm=[0, 2, 1] if batch_first else [1, 2, 0]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, "samples")) for name in inputs],
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [None] * 3)],
        [numpy_helper.from_array(KERNEL, "kernel"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture
def settings(tmp_path):
    path = save(tmp_path / "encoder.onnx")
    return FeatureSettings(kind=ONNX, encoder=str(path), hop=HOP, coefficients=VALUES, pool=1)


def noise(samples):
    return np.random.default_rng(samples).normal(size=samples).astype(np.float32)


def convolved(waveform):
    windows = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP]
    return windows @ KERNEL[:, 0].T


def test_frames_are_the_encoder_s(settings):
    waveform = noise(1000)
    np.testing.assert_allclose(
        extract(waveform, settings=settings), convolved(waveform), rtol=1e-4, atol=1e-4
    )


def test_frames_are_pooled_along_time(settings):
    waveform = noise(1000)
    frames = convolved(waveform)
    pooled = extract(waveform, settings=dataclasses.replace(settings, pool=4))
    np.testing.assert_allclose(pooled[0], frames[:4].mean(0), rtol=1e-4, atol=1e-4)
    assert len(pooled) == -(-len(frames) // 4)


@pytest.mark.parametrize("samples", [1, HOP, WINDOW, 2 * HOP])
def test_sound_shorter_than_a_window_still_has_a_frame(settings, samples):
    assert extract(noise(samples), settings=settings).shape[0] >= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coefficients": 4}, "set features.coefficients=3"),
        ({"hop": 100}, r"set features.hop=3\d or so"),
        ({"encoder": ""}, "needs features.encoder"),
        ({"encoder": "nowhere.onnx"}, "there is no encoder nowhere.onnx"),
    ],
)
def test_settings_that_do_not_fit_the_encoder_say_what_would(settings, change, message):
    with pytest.raises(EncoderError, match=message):
        extract(noise(4000), settings=dataclasses.replace(settings, **change))


def test_a_file_that_is_no_model_is_named(settings):
    pathlib.Path(settings.encoder).write_bytes(b"no model")
    with pytest.raises(EncoderError, match="no ONNX model that can be run"):
        extract(noise(1000), settings=settings)


def test_other_inputs_and_outputs_are_named(settings, tmp_path):
    path = save(tmp_path / "turned.onnx", batch_first=False)
    with pytest.raises(EncoderError, match=r"returns \[3, \d+, 1\] for one waveform"):
        extract(noise(1000), settings=dataclasses.replace(settings, encoder=str(path)))
    path = save(tmp_path / "many.onnx", inputs=("waveform", "mask"))
    with pytest.raises(EncoderError, match=r"takes waveform .*, mask"):
        extract(noise(1000), settings=dataclasses.replace(settings, encoder=str(path)))


def test_the_version_is_that_of_the_content_wherever_it_lies(settings, tmp_path):
    kind, first = kind_of(settings), kind_of(settings).version_for(settings)
    moved = pathlib.Path(settings.encoder).rename(tmp_path / "moved.onnx")
    again = dataclasses.replace(settings, encoder=str(moved))
    assert kind.version_for(again) == first
    moved.write_bytes(moved.read_bytes() + b"\0")
    assert kind.version_for(again) != first
    assert len(first) == 64
    assert encoder.version(again) != first
