"""Run configurations: `get_config(variant)` in each, for --config=configs/NAME.py[:VARIANT]."""
