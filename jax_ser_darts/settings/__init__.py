"""The settings of a run: typed sections, resolved once from the config that users override.

    sections.py   every setting: its default, meaning, unit and range
    convert.py    to and from the ml_collections config of configs/*.py and `--config.x.y=`
    show.py       the table of `--show` and of docs/all_settings.md

What settings must be together is checked by ../checks.py. Below `run.py` nobody sees a ConfigDict.
"""

from jax_ser_darts.settings.convert import default_config as default_config
from jax_ser_darts.settings.convert import from_json as from_json
from jax_ser_darts.settings.convert import resolve as resolve
from jax_ser_darts.settings.convert import to_config as to_config
from jax_ser_darts.settings.convert import to_json as to_json
from jax_ser_darts.settings.sections import Search as Search
from jax_ser_darts.settings.sections import Settings as Settings
