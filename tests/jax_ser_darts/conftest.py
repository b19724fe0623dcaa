"""What several files read and none of them has to make again."""

import pytest
from tiny import tiny_config

from jax_ser_darts import main


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The workdir of a run of mode `all` of the tiny config; who changes anything in it copies it first."""
    workdir = tmp_path_factory.mktemp("run")
    main.run(tiny_config(), workdir, "all")
    return workdir
