"""The wheel: what is in it, and that it works from any folder, beside a user's own `configs`."""

import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile

import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
PACKAGES = ("configs", "data_prep", "jax_ser_darts")


def build(hook: str, folder: pathlib.Path) -> pathlib.Path:
    """What setuptools makes of the sources in a folder, without a package index."""
    code = f"from setuptools import build_meta; print(build_meta.{hook}('dist'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return folder / "dist" / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    """Built as a release is: from the source distribution, which is built from the checkout."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        shutil.copy(ROOT / name, folder)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with tarfile.open(build("build_sdist", folder)) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return build("build_wheel", unpacked)


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(*folders: str) -> set[str]:
    """Files of the checkout's folders, as paths in the wheel."""
    found = (
        path for folder in folders for path in (ROOT / folder).rglob("*") if "__pycache__" not in path.parts
    )
    return {path.relative_to(ROOT).as_posix() for path in found if path.is_file()}


def test_the_packages_are_whole(names):
    assert tracked("data_prep", "jax_ser_darts") - names == set()


def test_configs_are_a_part_of_the_package_and_not_beside_it(names):
    assert {f"jax_ser_darts/{name}" for name in tracked("configs")} <= names
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"data_prep", "jax_ser_darts"}


def test_the_metadata_has_the_command_and_the_extras(wheel):
    with zipfile.ZipFile(wheel) as archive:
        about = {
            name.split("/")[1]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    scripts = configparser.ConfigParser()
    scripts.read_string(about["entry_points.txt"])
    assert dict(scripts["console_scripts"]) == {"jax-ser-darts": "jax_ser_darts.cli:main"}
    needed = [
        Requirement(line) for line in re.findall(r"^Requires-Dist: (.*)$", about["METADATA"], re.MULTILINE)
    ]
    light = {one.name for one in needed if one.marker is None}
    assert not light & {
        "tensorflow",
        "tensorflow-datasets",
        "librosa",
        "scikit-learn",
        "matplotlib",
        "gradio",
    }
    extras = set(re.findall(r"^Provides-Extra: (.*)$", about["METADATA"], re.MULTILINE))
    assert {"train", "test", "page", "onnx", "baselines", "beam", "cuda", "tpu"} <= extras


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs commands of a fresh environment with the wheel, in an empty folder with a stray `configs` in it.

    The libraries are those of the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    scripts = folder / "venv" / "bin"
    (own,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (own / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(scripts / "python"),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    work = folder / "work"
    (work / "configs").mkdir(parents=True)
    for name in ("__init__.py", "demo.py", "ravdess.py"):
        (work / "configs" / name).write_text("raise RuntimeError('not the config that was asked for')\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / "tests" / ".jax_cache")

    def run(command: str, *arguments: str) -> str:
        done = subprocess.run(
            [scripts / command, *arguments],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run, work


@pytest.mark.slow
class TestInstalled:
    def test_the_package_is_the_installed_one(self, installed):
        run, work = installed
        place = run("python", "-c", "import jax_ser_darts; print(jax_ser_darts.__file__)").strip()
        assert pathlib.Path(place).is_relative_to(work.parent / "venv")

    def test_help_and_the_configs(self, installed):
        run, _ = installed
        assert "jax-ser-darts predict" in run("jax-ser-darts", "--help")
        assert "\nravdess " in run("jax-ser-darts", "list")
        assert "data.corpus = 'ravdess'  [config]" in run("jax-ser-darts", "show", "ravdess:quick,joint")
        assert "data.corpus = 'demo'  [config]" in run(
            "python", "-m", "jax_ser_darts.main", "--config=demo", "--show"
        )

    def test_the_first_step_of_the_demo(self, installed):
        run, work = installed
        out = run(
            "jax-ser-darts", "prepare", "--config=demo", "--workdir=runs/demo", "--config.data.workers=1"
        )
        assert f"Records: {work}/runs/demo/records/demo_" in out
        assert list(work.glob("runs/demo/records/*/*/*.tfrecord*"))

    def test_predictions(self, installed):
        from jax_ser_darts.serving.bundle import write_bundle

        sys.path.append(str(ROOT / "tests" / "jax_ser_darts"))
        import soundfile
        from small_bundles import CLASSES, make_bundle, speech

        run, work = installed
        write_bundle(work / "b", make_bundle(), card="# A card", versions={})
        soundfile.write(work / "speech.wav", speech(0.8), 16_000)
        header, line = run(
            "jax-ser-darts", "predict", "b", "speech.wav", "--format=csv", "--cache="
        ).splitlines()
        assert header == f"file,start,end,emotion,{','.join(CLASSES)},error"
        assert line.startswith("speech.wav,0.000,0.800,")
