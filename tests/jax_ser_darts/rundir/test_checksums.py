"""Checksums: what was written is read; what was edited, cut, swapped or lost is refused, and the message names it."""

import json

import pytest

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.rundir.checksums import (
    FILES,
    checked,
    enlist,
    files_of,
    has,
    read_sealed,
    write_sealed,
)

VALUE = {"ua": 0.1 + 0.2, "nested": {"b": [1, None, "ö"], "a": float("inf")}}


class TestSealed:
    def test_it_comes_back_as_it_was(self, tmp_path):
        write_sealed(tmp_path / "a.json", VALUE)
        assert read_sealed(tmp_path / "a.json", "ua") == VALUE
        write_sealed(tmp_path / "a.json", read_sealed(tmp_path / "a.json"))
        assert read_sealed(tmp_path / "a.json") == VALUE

    def test_every_flipped_bit_is_refused_or_changes_nothing(self, tmp_path):
        path = tmp_path / "a.json"
        write_sealed(path, VALUE)
        whole = path.read_bytes()
        refused = 0
        for place in range(8 * len(whole)):
            content = bytearray(whole)
            content[place // 8] ^= 1 << place % 8
            path.write_bytes(content)
            try:
                assert read_sealed(path) == VALUE
            except ConfigError:
                refused += 1
        assert refused > 4 * len(whole)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps(VALUE)])
    def test_what_has_no_checksum_is_refused(self, tmp_path, text):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(
            ConfigError, match=r"a\.json is damaged.*: restore it, or remove it and run again"
        ):
            read_sealed(tmp_path / "a.json")


class TestAJob:
    @pytest.fixture
    def folder(self, tmp_path):
        """A job that is done."""
        for name in ("metrics.jsonl", "network.json"):
            (tmp_path / name).write_text(f"of {name}")
        write_sealed(tmp_path / "job.json", {"wall": 1.0, FILES: files_of(tmp_path)})
        return tmp_path

    def test_what_it_has_written_is_read(self, folder):
        assert checked(folder / "metrics.jsonl") == folder / "metrics.jsonl"
        assert read_sealed(folder / "job.json")["wall"] == 1.0

    @pytest.mark.parametrize(
        ("damage", "why"), [("edit", "is not the file"), ("swap", "is not the file"), ("remove", "is gone")]
    )
    def test_what_has_changed_since_is_refused(self, folder, damage, why):
        path = folder / "metrics.jsonl"
        if damage == "remove":
            path.unlink()
        else:
            path.write_text("edited" if damage == "edit" else (folder / "network.json").read_text())
        with pytest.raises(ConfigError, match=f"{path} {why}.*restore it, or remove {folder} and do"):
            checked(path)

    def test_a_file_that_is_not_listed_is_not_of_it(self, folder):
        path = folder / "predictions.json"
        path.write_text("of a job that was killed here")
        assert not has(path)
        with pytest.raises(ConfigError, match="does not list it"):
            checked(path)
        enlist(path)
        assert has(path)
        assert checked(path) == path
        assert read_sealed(folder / "job.json")["wall"] == 1.0

    def test_a_job_that_is_not_done_lists_nothing(self, folder):
        (folder / "job.json").unlink()
        (folder / "metrics.jsonl").write_text("half")
        assert checked(folder / "metrics.jsonl") == folder / "metrics.jsonl"
        assert has(folder / "metrics.jsonl")
        enlist(folder / "metrics.jsonl")
        assert not (folder / "job.json").exists()
