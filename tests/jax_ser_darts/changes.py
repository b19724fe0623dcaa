"""Settings are frozen: a test that needs others makes an experiment of its own."""

import dataclasses

from jax_ser_darts.settings.convert import replaced


def changed(experiment, changes):
    """The experiment with some settings changed, by name, such as {"baselines.random": 2}."""
    return dataclasses.replace(experiment, config=replaced(experiment.config, changes))
