"""Scores as text: aligned, with how the intervals were made, and each warning once."""

import dataclasses

from made_up import CLASSES, make_predictions

from jax_ser_darts.scoring.scores import pool, score
from jax_ser_darts.scoring.text import confusion_table, interval, score_table


def test_a_warning_stands_once_in_the_table_whomever_it_is_for():
    few = [pool([make_predictions(seed, speakers=3)]) for seed in range(3)]
    many = pool([make_predictions(3)])
    shared = score_table({"a": few[0], "b": few[1], "c": few[2]}).splitlines()
    assert [line for line in shared if "too narrow" in line] == [f"all: {few[0].warnings[0]}"]
    some = score_table({"a": few[0], "b": few[1], "c": many}).splitlines()
    assert [line for line in some if "too narrow" in line] == [f"a, b: {few[0].warnings[0]}"]


def test_the_tables_are_aligned_and_report_how_the_intervals_were_made():
    scores = score(make_predictions(0))
    lines = score_table({"a": scores, "a longer name": scores}).splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    assert f"{scores.ua.value:.3f} [{scores.ua.low:.3f}, {scores.ua.high:.3f}]" in lines[2]
    assert lines[-1] == "[95 % intervals: bootstrap over utterances, 2000 resamples]"
    lines = confusion_table(scores).splitlines()
    assert len({len(line) for line in lines[:6]}) == 1
    assert all(name in lines[0] for name in CLASSES)
    assert f"{100 * scores.shares[3][0].value:.0f} [" in lines[5]


def test_a_class_without_utterances_has_no_shares():
    scores = score(make_predictions(0))
    empty = dataclasses.replace(scores, shares=((None,) * 4, *scores.shares[1:]))
    assert confusion_table(empty).splitlines()[2].split()[-4:] == ["-"] * 4


def test_what_is_unknown_is_a_dash():
    assert interval(None) == "-"
