"""The ONNX model: ONNX Runtime's way from the waveform to the same probabilities."""

import dataclasses
import json
import sys
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from small_bundles import BASELINE, NETWORK, SETTINGS, direct, make_bundle, speech

from jax_ser_darts.extras import MissingExtraError
from jax_ser_darts.search_space.genotype import Edge
from jax_ser_darts.serving import onnx_model
from jax_ser_darts.serving.bundle import BundleError, read_bundle, write_bundle


class TestUsualForms:
    """What is given to the converter; it needs no converter."""

    def check(self, function, *shapes):
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        usual = onnx_model.usual_forms(function, inputs)
        np.testing.assert_allclose(usual(*arrays), function(*arrays), rtol=1e-5, atol=1e-6)
        return jax.make_jaxpr(usual)(*inputs).jaxpr.eqns

    @pytest.mark.parametrize("right", [0, 1])
    def test_a_product_contracts_the_last_axis_of_its_left(self, right):
        def product(a, b):
            return jax.jit(lambda a, b: lax.dot_general(a, b, (((0,), (right,)), ((), ()))))(a, b)

        (call,) = self.check(product, (3, 3), (3, 3))
        (found,) = [one for one in call.params["jaxpr"].eqns if one.primitive.name == "dot_general"]
        assert found.params["dimension_numbers"][0] == ((1,), (right,))

    @pytest.mark.parametrize("layout", [("CHWN", "OIHW", "CHWN"), ("NHWC", "HWIO", "CWNH")])
    def test_a_convolution_is_nchw(self, layout):
        sizes = [{"N": 2, "C": 4, "H": 7, "W": 6}, {"O": 6, "I": 2, "H": 3, "W": 2}]
        shapes = [tuple(size[axis] for axis in names) for size, names in zip(sizes, layout[:2], strict=True)]

        def convolution(x, w):
            return lax.conv_general_dilated(
                x, w, (2, 1), "VALID", rhs_dilation=(1, 2), dimension_numbers=layout, feature_group_count=2
            )

        equations = self.check(convolution, *shapes)
        (found,) = [one for one in equations if one.primitive.name == "conv_general_dilated"]
        assert set(found.params["dimension_numbers"]) == {(0, 1, 2, 3)}

    @pytest.mark.parametrize("padding", ["SAME", "VALID"])
    def test_a_pooling_is_a_maximum_of_slices(self, padding):
        def pool(x):
            return nn.max_pool(x, (3, 2), strides=(2, 2), padding=padding)

        equations = self.check(pool, (2, 8, 7, 3))
        assert "reduce_window_max" not in {one.primitive.name for one in equations}

    def test_what_nothing_reads_is_left_out(self):
        equations = self.check(lambda x: (jax.random.split(jax.random.key(0)), x + 1)[1], (2,))
        assert {one.primitive.name for one in equations} == {"add"}


def test_it_is_added_to_a_bundle_and_all_else_stays(tmp_path, monkeypatch):
    folder = tmp_path / "b"
    versions = {"jax_ser_darts": "0", "jax": "1"}
    made = make_bundle()
    provenance = {**made.provenance, "versions": {**versions, "records": {}}}
    bundle = dataclasses.replace(made, artifact=b"bytes", provenance=provenance)
    write_bundle(folder, bundle, card="# A card", versions=versions)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(onnx_model, "make", lambda _: b"a model")
    monkeypatch.setattr(onnx_model.model_card, "render", lambda one: f"# A card with {one.onnx.decode()}")
    for _ in range(2):  # it is replaced
        onnx_model.add(folder)
        after = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert {name for name in after if after[name] != before.get(name)} == {
            "model.onnx",
            "README.md",
            "bundle.json",
        }
        assert after["model.onnx"] == read_bundle(folder).onnx == b"a model"
        assert after["README.md"] == b"# A card with a model"
        old, new = (json.loads(files["bundle.json"]) for files in (before, after))
        assert set(new["files"]) - set(old["files"]) == {"model.onnx"}
        assert new["versions"] == old["versions"]
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match="is not the file that was exported"):
        read_bundle(folder)


JOINT = NETWORK.clone(
    genotype=dataclasses.replace(NETWORK.genotype, sequence=((Edge("rnn_att_1", 0), Edge("lstm_2", 1)),)),
    sequence_cells=1,
    sequence_width=4,
)


def converted(bundle):
    for name in ("jax2onnx", "onnxruntime"):
        pytest.importorskip(name, reason="needs the extra onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter's
        return onnx_model.make(bundle)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"network": BASELINE},
        {"network": JOINT, "settings": dataclasses.replace(SETTINGS, kind="mfcc", pool_kind="max")},
    ],
    ids=["genotype", "baseline", "joint-mfcc"],
)
def test_onnx_runtime_gives_the_networks_probabilities(options):
    bundle = make_bundle(**options)
    model = converted(bundle)
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for seed, seconds in enumerate((1.0, 0.6, 0.01)):
        sound = speech(seconds, seed=seed)[: bundle.window_samples]
        waveform = np.full((1, bundle.window_samples), 7, np.float32)  # what is after the sound is ignored
        waveform[0, : len(sound)] = sound
        inputs = {"waveform": waveform, "num_samples": np.array([len(sound)], np.int32)}
        (probabilities,) = session.run(["probabilities"], inputs)
        np.testing.assert_allclose(probabilities, direct(bundle, [sound]), atol=1e-5)


def test_a_wrong_conversion_is_refused(monkeypatch):
    right = onnx_model.usual_forms

    def wrong(function, inputs):
        return right(lambda *sound: function(*sound) * 0.99, inputs)

    monkeypatch.setattr(onnx_model, "usual_forms", wrong)
    with pytest.raises(BundleError, match="gives other probabilities"):
        converted(make_bundle(network=BASELINE))


def test_without_the_converter_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(MissingExtraError, match=r"jax2onnx is not installed: pip install .*\[onnx\]"):
        onnx_model.make(make_bundle())
