"""Every test runs on eight virtual CPU devices, with strict types and shapes, and a compilation cache."""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Compilation is most of the tests' time, and what they compile runs once: the largest of the supernet's programs takes
# 33 s of processor time to test with these, without the last 46 to 56. An unknown flag aborts the process, so the
# versions that have lost one are named: jax 0.11 emits fusions by MLIR alone.
os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent / ".jax_cache"))

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(scope="session")
def ravdess() -> pathlib.Path:
    """Real speech: the RAVDESS folder below $SER_CORPORA or ../shared/corpora; skips where it is absent."""
    beside = pathlib.Path(__file__).parents[2] / "shared" / "corpora"
    root = pathlib.Path(os.environ.get("SER_CORPORA", beside)) / "ravdess"
    if not root.is_dir():
        pytest.skip(f"real speech is absent: no folder {root} (set SER_CORPORA to the corpora's folder)")
    return root


class SmallDisk:
    """A file system of its own, of 8 MiB, that can be filled.

    Attributes:
        folder: its root.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def fill(self, leaving: int = 0) -> None:
        """Takes all space but so many bytes, to a page."""
        size = max(shutil.disk_usage(self.folder).free - leaving, 0)
        (self.folder / "filler").write_bytes(bytes(size))

    def make_space(self) -> None:
        (self.folder / "filler").unlink()


@pytest.fixture
def small_disk(tmp_path):
    """A SmallDisk; skips where this process may not mount one."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk to fill: this process may not mount one")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
