"""docs/extending.md: operations of a module of the user's are searched, trained and described as DARTS's are."""

import functools
import json
import pathlib
import re
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jax_ser_darts import bilevel, checks
from jax_ser_darts.devices import parallel
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.extensions import ExtensionError, load_extensions
from jax_ser_darts.models.cost import flops
from jax_ser_darts.models.description import DescriptionError, build, describe
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.network import Network
from jax_ser_darts.models.relaxed import SCAN, UNROLL
from jax_ser_darts.models.supernet import Supernet, init_alphas
from jax_ser_darts.ops.backend import CUSTOM, REFERENCE
from jax_ser_darts.search.search_step import init_state, make_search_steps, supernet_loss
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space import operations
from jax_ser_darts.search_space.genotype import Edge, Genotype, GenotypeError
from jax_ser_darts.search_space.operations import Convolution, OperationError, Pooling, register
from jax_ser_darts.training.train_step import TrainState, make_train_steps

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "extending.md"
OWN = ("sep_conv_7x7", "gated_conv_3x3", "max_pool_5x5")
OPERATIONS = (*OWN, "skip_connect", "none")
GENOTYPE = {
    "normal": [[["sep_conv_7x7", 0], ["gated_conv_3x3", 1]], [["max_pool_5x5", 0], ["gated_conv_3x3", 2]]],
    "reduction": [[["gated_conv_3x3", 0], ["sep_conv_7x7", 1]], [["max_pool_5x5", 1], ["sep_conv_7x7", 2]]],
}
LENGTHS = np.array([10, 7, 4, 0], np.int32)

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(autouse=True)
def _no_operation_outlives_its_test(monkeypatch):
    monkeypatch.setattr(operations, "_registered", dict(operations._registered))


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The page's module, on the path and not imported yet."""
    (text,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_operations.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_operations", raising=False)
    yield "my_operations"
    sys.modules.pop("my_operations", None)


@pytest.fixture
def loaded(module):
    load_extensions([module])


def batch(seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {
        "features": rng.normal(size=(len(LENGTHS), 10, 6)).astype(dtype),
        "num_frames": LENGTHS,
        "label": np.array([0, 1, 2, 0], np.int32),
        "weight": np.array([1, 1, 1, 0], np.float32),
    }


@pytest.fixture
def float64():
    """Double precision, and a module of it among the operations."""
    with jax.enable_x64(True):
        register("max_pool_5x5", Pooling("max", window=5))

        @register("own_conv")
        def own_conv(channels, stride):
            conv = nn.Conv(channels, (3, 3), strides=stride, param_dtype=jnp.float64)
            return nn.Sequential([nn.tanh, conv])

        yield


def supernet(operations=OPERATIONS, **options):
    return Supernet(
        classes=3,
        operations=operations,
        cells=2,
        nodes=2,
        channels=2,
        reductions=frozenset({1}),
        project=4,
        hidden=3,
        attention=3,
        **options,
    )


def alphas_of(model, dtype=jnp.float32):
    count = len(model.operations)
    return init_alphas(jax.random.key(1), nodes=model.nodes, operations=count, scale=0.3, dtype=dtype)


def shapes_of(data):
    return tuple(
        jax.ShapeDtypeStruct((1, *data[name].shape[1:]), data[name].dtype)
        for name in ("features", "num_frames")
    )


class TestLoading:
    def test_a_config_names_the_module_and_its_operations(self, module):
        changes = {"space": {"operations": OPERATIONS}, "baselines": {"random": 1}}
        with pytest.raises(ConfigError, match="unknown operations"):
            checks.validated(changes)
        settings = checks.validated({**changes, "extensions": (module,)})
        assert settings.space.operations == OPERATIONS

    def test_a_module_that_is_not_there_is_named(self):
        with pytest.raises(ExtensionError, match="no module 'not_there'"):
            load_extensions(["json", "not_there"])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("import not_there_either", "my_broken imports not_there_either"),
            ("1 / 0", "my_broken cannot be imported: ZeroDivisionError"),
            (
                "from jax_ser_darts.search_space.operations import Convolution, register\n"
                "register('skip_connect', Convolution(3))",
                "my_broken: operation 'skip_connect' is registered already",
            ),
        ],
    )
    def test_a_module_that_fails_is_named_with_its_error(self, tmp_path, monkeypatch, text, message):
        (tmp_path / "my_broken.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ExtensionError, match=message):
            load_extensions(["my_broken"])

    def test_a_name_is_one_operations(self, loaded):
        register("sep_conv_7x7", Convolution(kernel=7))  # the same again
        with pytest.raises(OperationError, match="'sep_conv_7x7' is registered already"):
            register("sep_conv_7x7", Convolution(kernel=9))
        with pytest.raises(OperationError, match="letters"):
            register("sep conv", Convolution(kernel=9))


class TestSearch:
    @pytest.fixture
    def problem(self, loaded):
        model = supernet(axis_name=parallel.AXIS)
        devices = jax.devices()[:2]
        tx, alphas_tx = optax.sgd(0.1), optax.sgd(1.0)
        steps = make_search_steps(
            loss=supernet_loss(model, parallel.AXIS),
            tx=tx,
            alphas_tx=alphas_tx,
            devices=devices,
            compiler_options={"xla_backend_optimization_level": 0},
        )
        data = [parallel.shard(batch(seed), devices) for seed in range(2)]
        alphas = alphas_of(model)
        params = init_variables(model.clone(axis_name=None), 0, *shapes_of(batch(0)), alphas, train=False)[
            "params"
        ]
        state = init_state(
            params=params, alphas=alphas, tx=tx, alphas_tx=alphas_tx, key=jax.random.key(0), devices=devices
        )
        return steps, state, *data

    @pytest.mark.slow
    def test_a_step_of_either_order_moves_all_that_is_theirs(self, problem):
        steps, state, train, val = problem
        for order in bilevel.ORDERS:
            before = jax.device_get((state.params, state.alphas))
            state, metrics = steps.update_alphas(state, train, val, order)
            assert (metrics["correction"] > 0) == (order == bilevel.SECOND)
            state, _ = steps.update_params(state, train)
            params, alphas = jax.device_get((state.params, state.alphas))
            for kind, values in alphas.items():
                assert (np.abs(values - before[1][kind])[:, :3].max(axis=0) > 0).all()
            for cell, strides in (("cell_0", ["stride_1"]), ("cell_1", ["stride_1", "stride_2"])):
                own = params[cell]["own"]["gated_conv_3x3"]
                assert sorted(own) == strides
                moved = jax.tree.map(
                    lambda a, b: np.abs(a - b).max(), own, before[0][cell]["own"]["gated_conv_3x3"]
                )
                assert min(jax.tree.leaves(moved)) > 0

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "changes", [{"edges": SCAN}, {"edges": UNROLL, "remat": True}], ids=["scan", "remat"]
    )
    def test_a_module_is_one_function_however_edges_are_compiled(self, float64, changes):
        """Loss, gradients of both, and the second order's product, beside the reference kernels with edges unrolled."""
        model = supernet(operations=("own_conv", "max_pool_5x5", "skip_connect", "none"), dtype=jnp.float64)
        alphas, data = alphas_of(model, jnp.float64), batch(0, np.float64)
        params = init_variables(model, 0, *shapes_of(data), alphas, train=False)["params"]

        def derivatives(model):
            gradients = bilevel.make_gradients(supernet_loss(model, None))
            compute = lambda params, *rest: (
                gradients.grad_both(params, *rest),
                gradients.hvp_mixed(params, *rest, jax.tree.map(jnp.cos, params)),
            )
            return jit(compute)(params, alphas, (data, jax.random.key(0)))

        expected = derivatives(model.clone(edges=UNROLL, backend=REFERENCE))
        found = derivatives(model.clone(backend=CUSTOM, **changes))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(b).max())))

    @pytest.mark.slow
    def test_padding_changes_nothing(self, loaded):
        model, data = supernet(), batch(0)
        alphas = alphas_of(model)
        params = init_variables(model, 0, *shapes_of(data), alphas, train=False)["params"]
        apply = jit(lambda x: model.apply({"params": params}, x, LENGTHS, alphas, train=False))
        padding = np.arange(10)[None, :] >= LENGTHS[:, None]
        spoilt = np.where(padding[..., None], np.float32(99), data["features"])
        np.testing.assert_allclose(apply(spoilt), apply(data["features"]), rtol=1e-5)


class TestInitialisation:
    @pytest.mark.slow
    def test_a_module_of_the_users_is_initialised_by_itself_on_each_edge(self, loaded):
        model = supernet()
        data = batch(0)
        made = [
            init_variables(model, seed, *shapes_of(data), alphas_of(model), train=False) for seed in (0, 0, 1)
        ]
        first, again, other = (tree["params"]["cell_0"]["own"]["gated_conv_3x3"]["stride_1"] for tree in made)
        kernel = first["Conv_0"]["kernel"]
        assert kernel.shape == (5, 3, 3, 2, 2)
        assert len(np.unique(kernel)) == kernel.size, "each edge has its own"
        assert abs(kernel.std() - (1 / 18) ** 0.5) < 0.05, "lecun_normal, which Flax's layers have"
        jax.tree.map(np.testing.assert_array_equal, first, again)
        assert (kernel != other["Conv_0"]["kernel"]).all()


class TestNetwork:
    @pytest.fixture
    def network(self, loaded):
        return Network(
            classes=3,
            genotype=genotypes.from_json(GENOTYPE),
            cells=2,
            channels=2,
            reductions=frozenset({1}),
            project=4,
            hidden=3,
            attention=3,
        )

    def test_a_training_step_moves_its_params(self, network):
        devices, tx = jax.devices()[:1], optax.sgd(0.1)
        variables = init_variables(network, 0, *shapes_of(batch(0)), train=False)
        steps = make_train_steps(
            network=network.clone(axis_name=parallel.AXIS),
            tx=tx,
            devices=devices,
            auxiliary_weight=0.0,
            label_smoothing=0.0,
            drop_path=False,
        )
        state = TrainState(
            variables=variables,
            opt_state=tx.init(variables["params"]),
            step=jnp.zeros((), jnp.int32),
            key=jax.random.key(0),
        )
        state = parallel.replicate(state, devices)
        state, metrics = steps.train(state, parallel.shard(batch(0), devices), np.float32(0))
        assert np.isfinite(metrics["loss"])
        name = "node_0_from_1"
        before, after = (
            v["params"]["cell_0"][name]["own"] for v in (variables, jax.device_get(state.variables))
        )
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), before, after)
        assert min(jax.tree.leaves(moved)) > 0

    def test_its_arithmetic_is_counted(self, network):
        smaller = network.clone(
            genotype=genotypes.from_json(json.loads(json.dumps(GENOTYPE).replace("7x7", "5x5")))
        )
        assert flops(network, *shapes_of(batch(0))) > flops(smaller, *shapes_of(batch(0)))

    def test_its_genotype_survives_json_and_is_refused_without_the_module(
        self, network, tmp_path, monkeypatch
    ):
        network.genotype.save(tmp_path / "genotype.json")
        assert genotypes.load(tmp_path / "genotype.json") == network.genotype
        monkeypatch.setattr(operations, "_registered", {})
        with pytest.raises(GenotypeError, match="nor registered by an extension"):
            genotypes.load(tmp_path / "genotype.json")

    def test_its_description_registers_what_it_can(self, network, monkeypatch):
        description = json.loads(json.dumps(describe(network)))
        assert build(description) == network
        with monkeypatch.context() as fresh:
            without = {name: spec for name, spec in operations._registered.items() if name not in OWN}
            fresh.setattr(operations, "_registered", without)
            with pytest.raises(
                DescriptionError, match="'gated_conv_3x3' is registered by the module my_operations"
            ):
                build(description)
        cell = ((Edge("sep_conv_7x7", 0), Edge("max_pool_5x5", 1)),)
        plain = network.clone(genotype=Genotype(cell, cell))
        description = json.loads(json.dumps(describe(plain)))
        monkeypatch.setattr(operations, "_registered", without)
        assert build(description) == plain
        assert operations.specification("sep_conv_7x7") == Convolution(kernel=7)

    @pytest.mark.parametrize(
        "entry",
        [
            3,
            {},
            {"type": "convolution", "kernel": 4},
            {"type": "convolution", "size": 3},
            {"type": "pooling", "kind": 3},
        ],
    )
    def test_a_description_of_no_operation_is_refused(self, network, entry):
        with pytest.raises(DescriptionError, match="other"):
            build({**describe(network), "operations": {"other": entry}})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, :-1], r"makes float32\[4, 9, 6, 2\] of float32\[4, 10, 6, 2\]"),
        (lambda x: x.astype(jnp.bfloat16), "makes bfloat16"),
    ],
)
def test_a_function_that_makes_something_else_is_named(function, message):
    register("other")(lambda channels, stride: function)
    cell = ((Edge("other", 0), Edge("skip_connect", 1)),)
    network = Network(classes=3, genotype=Genotype(cell, cell), cells=1, channels=2, reductions=frozenset())
    data = batch(0)
    with pytest.raises(OperationError, match=f"operation 'other': its module {message}"):
        jax.eval_shape(lambda: network.init(jax.random.key(0), data["features"], LENGTHS, train=False))
