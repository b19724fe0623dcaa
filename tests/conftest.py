"""Every test runs on eight virtual CPU devices, with strict types and shapes, and a compilation cache."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
# Compilation is most of the tests' time, and what they compile runs once.
os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(__file__).parent / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(scope="session")
def ravdess() -> pathlib.Path:
    """Real speech: the RAVDESS folder below $SER_CORPORA or ../shared/corpora; skips where it is absent."""
    beside = pathlib.Path(__file__).parents[2] / "shared" / "corpora"
    root = pathlib.Path(os.environ.get("SER_CORPORA", beside)) / "ravdess"
    if not root.is_dir():
        pytest.skip(f"real speech is absent: no folder {root} (set SER_CORPORA to the corpora's folder)")
    return root
