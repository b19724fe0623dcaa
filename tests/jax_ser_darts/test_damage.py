"""The first cases of damage.py; SER_DAMAGE=200 for more of them, SER_DAMAGE_SEED for others."""

import os

import damage
import pytest

CASES, SEED = int(os.environ.get("SER_DAMAGE", 20)), int(os.environ.get("SER_DAMAGE_SEED", 0))
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*")]


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["read", "modes"])
def test_no_damage_gives_other_numbers_without_a_word(finished, tmp_path, monkeypatch, quick):
    """Of archives, bundles, records and workdirs; the slow ones are evaluated and exported, too."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # of hundreds of small files
    (records,) = (finished / "records").glob("*/[0-9]*")
    with damage.without_pictures():
        made = damage.readers(finished, records, tmp_path, quick=quick)
        outcomes = damage.run(made, first=0, count=CASES, seed=SEED, folder=tmp_path)
    assert not outcomes[damage.SILENT], outcomes
    assert not outcomes[damage.CRASHED], outcomes
    assert outcomes[damage.REFUSED], "the damage is not too small"


def test_other_numbers_are_seen_as_such(tmp_path):
    """The program's own check: a reader that believes everything."""

    class Believing(damage.Reader):
        def read(self, folder):
            return (folder / "a.txt").read_text(errors="replace") if (folder / "a.txt").exists() else ""

    for name in ("whole", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(f"12345 {name}")
    reader = Believing(tmp_path / "whole", tmp_path / "other")
    reader.expected = reader.read(reader.whole)
    outcomes = damage.run([reader], first=0, count=30, seed=0, folder=tmp_path)
    assert outcomes == {damage.SILENT: 30}
