"""Files of several processes: the first one writes, the others go on when they see it."""

import threading

import pytest

from jax_ser_darts import files


@pytest.fixture
def other(monkeypatch):
    """This is not the process that writes."""
    monkeypatch.setattr(files.hosts, "is_primary", lambda: False)


def test_a_process_goes_on_when_it_sees_what_the_first_one_wrote(tmp_path, other):
    """A network's file system may be late to say that there is a file now."""
    path = tmp_path / "new" / "genotype.json"
    late = threading.Timer(0.5, files.write_alone, [path, "{}"])
    late.start()
    files.write_text(path, "{}")
    assert path.exists()
    late.join()


def test_a_file_that_is_never_seen_is_told(tmp_path, other, monkeypatch):
    monkeypatch.setattr(files, "SEEN_WITHIN", 0.3)
    with pytest.raises(FileNotFoundError, match="on a file system that all processes see"):
        files.write_text(tmp_path / "new" / "genotype.json", "{}")
    assert not list(tmp_path.iterdir())
