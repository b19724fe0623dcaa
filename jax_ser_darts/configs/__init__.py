"""The packaged configs. In a checkout they lie in its folder `configs`, which a wheel has in the place of this file."""

import pathlib

__path__ = [str(pathlib.Path(__file__).parents[2] / "configs")]
