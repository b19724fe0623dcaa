"""Configs by name: found from any folder, listed with their variants."""

import pathlib

import pytest

from jax_ser_darts import config_files
from jax_ser_darts.errors import ConfigError

ROOT = pathlib.Path(__file__).parents[2]


def test_a_name_is_the_packaged_file_whatever_lies_in_the_folder(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "ravdess.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    assert config_files.resolve("ravdess") == str(ROOT / "configs" / "ravdess.py")
    assert config_files.resolve("ravdess:quick,joint") == f"{ROOT / 'configs' / 'ravdess.py'}:quick,joint"


def test_a_file_is_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    for given in ("mine.py", "mine.py:small", f"{tmp_path}/mine.py:small"):
        assert config_files.resolve(given) == given


@pytest.mark.parametrize("given", ["ravdes", "ravdess.py", "configs/ravdess.py:quick", "", ":quick"])
def test_what_is_no_name_and_no_file_is_an_error_that_names_the_configs(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"there is no config .*by name there are: cnn_search, compare, .*tess"
    ):
        config_files.resolve(given)


def test_the_list_has_every_config_with_a_line_and_its_variants():
    text = config_files.listing()
    names = [path.stem for path in (ROOT / "configs").glob("[a-z]*.py")]
    assert config_files.names() == sorted(names)
    for name in names:
        assert f"\n{name} " in f"\n{text}"
    assert "quick full [,joint]" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", config_files.names())
def test_every_listed_variant_and_choice_is_taken(name):
    about = config_files.summary(name)
    get_config = config_files._module(name).get_config
    assert get_config().data.corpus
    for variant in about.variants:
        get_config(variant)
    for choice in about.choices:
        get_config(f"{about.variants[0]},{choice}")


def test_a_name_and_a_file_give_their_config(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from jax_ser_darts.configs import ravdess\n\n"
        "def get_config(variant='full'):\n    c = ravdess.get_config(variant)\n    c.search.epochs = 7\n    return c\n"
    )
    packaged, mine = config_files.load("ravdess:quick"), config_files.load(f"{tmp_path / 'mine.py'}:quick")
    assert packaged.search.epochs != mine.search.epochs == 7
    mine.search.epochs = packaged.search.epochs
    assert mine == packaged


def test_a_variant_that_there_is_not_is_an_error():
    with pytest.raises(ConfigError, match="this config has the variants quick, full"):
        config_files.load("ravdess:quik")
