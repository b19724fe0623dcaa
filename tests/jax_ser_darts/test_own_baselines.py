"""docs/extending_baselines.md: a user's network is trained, scored, compared and exported like those of the package."""

import json
import pathlib
import re
import sys

import flax.linen as nn
import numpy as np
import pytest
from tiny import tiny_config

from jax_ser_darts import main
from jax_ser_darts.checks import validated
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.models import baselines
from jax_ser_darts.models.baselines import BaselineError, register
from jax_ser_darts.models.description import DescriptionError, build, describe
from jax_ser_darts.serving.bundle import read_bundle
from jax_ser_darts.serving.predictor import Predictor

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "extending_baselines.md"
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*")]


class Linear(nn.Module):
    """No hidden layer, so no other size."""

    classes: int
    axis_name: str | None = None


@pytest.fixture(scope="module", autouse=True)
def module(tmp_path_factory):
    """The page's module on the path; what it registers does not outlive these tests."""
    folder = tmp_path_factory.mktemp("path")
    (text,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (folder / "my_networks.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "_registered", {})
        patch.syspath_prepend(folder)
        yield
        sys.modules.pop("my_networks", None)


def own_config():
    """The page's baseline at both sizes, and no search."""
    c = tiny_config()
    c.extensions = ("my_networks",)
    c.folds.run = (0,)
    c.search.methods = ()
    c.baselines.networks = ("mean_frame",)
    c.baselines.parameters = 500
    return c


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("own")
    main.run(own_config(), workdir, "all")
    return workdir


@pytest.fixture
def mean_frame():
    validated(own_config())  # imports the module
    return baselines.registered()["mean_frame"]


def test_it_is_a_row_of_the_table_at_both_sizes(run):
    def network(name):
        return json.loads((run / f"train/{name}/fold_0/seed_0/network.json").read_text())

    methods = json.loads((run / "report" / "summary.json").read_text())["methods"]
    assert list(methods) == ["mean_frame_paper", "mean_frame_matched"]
    paper, matched = map(network, methods)
    assert paper["parameters"] == methods["mean_frame_paper"]["parameters"] == 16 * 32 + 32 + 32 * 4 + 4
    assert matched["parameters"] == pytest.approx(500, rel=0.03)
    assert matched["baseline"]["name"] == "mean_frame"
    assert methods["mean_frame_paper"]["flops"] == 2 * (16 * 32 + 32 * 4)


def test_it_is_exported_and_predicts(run, mean_frame):
    config = own_config()
    config.bundle.method = "mean_frame_paper"
    main.run(config, run, "export")
    bundle = read_bundle(run / "bundle")
    assert type(bundle.network) is mean_frame
    sound = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    assert Predictor(bundle).predict(sound, 16_000).emotion in bundle.classes


def test_a_bundle_names_the_module_that_has_to_be_imported(mean_frame, monkeypatch):
    described = describe(mean_frame(classes=4, width=7))
    assert build(described) == mean_frame(classes=4, width=7)
    monkeypatch.setattr(baselines, "_registered", {})
    with pytest.raises(DescriptionError, match="registered by the module my_networks: import it first"):
        build(described)


@pytest.mark.parametrize("entries", [{"classes": -1}, {"classes": "many"}, {"layers": 3}, {"name": ["x"]}])
def test_a_damaged_description_is_refused(mean_frame, entries):
    described = describe(mean_frame(classes=4))
    with pytest.raises(DescriptionError):
        build({**described, **entries})


def test_a_module_without_a_width_has_one_size_alone(monkeypatch):
    monkeypatch.setitem(baselines._registered, "linear", Linear)
    assert describe(Linear(classes=4)).keys() == {"model", "name", "module", "classes"}
    c = own_config()
    c.baselines.networks = ("linear",)
    with pytest.raises(ConfigError, match=r"linear has one size alone.*'width'.*leave 'matched' out"):
        validated(c)
    c.baselines.sizes = ("paper",)
    validated(c)


class TestANameOrModuleThatCannotBe:
    def test_a_name_of_the_package(self):
        with pytest.raises(BaselineError, match="'cnn' is registered already, as jax_ser_darts"):
            register("cnn")(Linear)

    def test_a_name_of_another_module(self, mean_frame):
        with pytest.raises(BaselineError, match="'mean_frame' is registered already, as my_networks"):
            register("mean_frame")(Linear)

    def test_the_same_module_again(self, mean_frame):
        assert register("mean_frame")(mean_frame) is mean_frame

    def test_no_name(self):
        with pytest.raises(BaselineError, match="letters, digits and underscores"):
            register("my-net")(Linear)

    def test_a_module_that_lacks_an_attribute(self):
        class Bare(nn.Module):
            classes: int

        with pytest.raises(BaselineError, match="no attribute axis_name"):
            register("bare")(Bare)

    def test_a_name_of_random_architectures(self, monkeypatch):
        monkeypatch.setitem(baselines._registered, "random", Linear)
        c = own_config()
        c.baselines.networks = ("random",)
        with pytest.raises(ConfigError, match="the random architectures are called so"):
            validated(c)


def test_an_unknown_baseline_is_named_with_those_that_there_are():
    c = own_config()
    c.baselines.networks = ("transformer",)
    with pytest.raises(ConfigError, match=r"'transformer' is not one of cnn, .*mean_frame"):
        validated(c)
