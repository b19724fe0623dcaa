"""Folds: no speaker on both sides, every group tested once, even parts; for any structure of groups."""

import collections
import random

import numpy as np
import pytest

from jax_ser_darts.data.folds import (
    Fold,
    FoldError,
    check_speakers,
    given_folds,
    halves,
    make_folds,
    official_fold,
)

SEEDS = range(60)


def random_corpus(seed: int):
    """Groups of one to three speakers, and numbers of folds and validation groups that leave one to train."""
    rng = random.Random(seed)
    size = rng.randint(3, 40)
    speakers = iter(range(1000))
    groups = {f"g{i}": [f"s{next(speakers)}" for _ in range(rng.randint(1, 3))] for i in range(size)}
    count = rng.choice([0, rng.randint(2, size)])
    room = size - -(-size // (count or size)) - 1
    validation_groups = rng.randint(0, room)
    sexes = {name: rng.choice(["female", "male", ""]) for name in groups}
    balance = {name: {label: rng.randint(0, 30) for label in ("angry", "sad", "happy")} for name in groups}
    return groups, {"count": count, "validation_groups": validation_groups, "seed": seed}, sexes, balance


@pytest.fixture(params=["plain", "sexes", "balance", "both"])
def options(request):
    def choose(sexes, balance):
        return {
            "plain": {},
            "sexes": {"sexes": sexes},
            "balance": {"balance": balance},
            "both": {"sexes": sexes, "balance": balance},
        }[request.param]

    return choose


def test_every_group_is_tested_once_and_is_in_one_part_of_each_fold(options):
    for seed in SEEDS:
        groups, how, sexes, balance = random_corpus(seed)
        folds = make_folds(groups, **how, **options(sexes, balance))
        assert [fold.index for fold in folds] == list(range(how["count"] or len(groups)))
        assert sorted(name for fold in folds for name in fold.test) == sorted(groups)
        for fold in folds:
            assert sorted(fold.test + fold.validation + fold.train) == sorted(groups)
            assert len(fold.validation) == how["validation_groups"]
            assert fold.train


def test_test_parts_differ_by_one_group_and_by_one_of_a_sex_at_most(options):
    for seed in SEEDS:
        groups, how, sexes, balance = random_corpus(seed)
        chosen = options(sexes, balance)
        folds = make_folds(groups, **how, **chosen)
        sizes = [len(fold.test) for fold in folds]
        assert max(sizes) - min(sizes) <= 1
        if "sexes" in chosen:
            for sex in set(sexes.values()):
                numbers = [sum(sexes[name] == sex for name in fold.test) for fold in folds]
                assert max(numbers) - min(numbers) <= 1


def test_the_same_seed_gives_the_same_folds_in_whatever_order_the_groups_come(options):
    for seed in SEEDS:
        groups, how, sexes, balance = random_corpus(seed)
        backwards = dict(reversed(groups.items()))
        chosen = options(sexes, balance)
        assert make_folds(groups, **how, **chosen) == make_folds(backwards, **how, **chosen)
    groups = {f"g{i}": [f"s{i}"] for i in range(20)}
    assert make_folds(groups, count=5, validation_groups=2, seed=0) != make_folds(
        groups, count=5, validation_groups=2, seed=1
    )


def test_balance_evens_out_the_classes_of_the_test_parts():
    def unevenness(folds, balance):
        counts = [
            sum((collections.Counter(balance[name]) for name in fold.test), collections.Counter())
            for fold in folds
        ]
        return sum(np.var([count[label] for count in counts]) for label in ("angry", "sad", "happy"))

    for seed in SEEDS:
        groups, how, _, balance = random_corpus(seed)
        plain, even = make_folds(groups, **how), make_folds(groups, **how, balance=balance)
        assert unevenness(even, balance) <= unevenness(plain, balance)
        if how["count"] and len(groups) >= 4 * how["count"]:  # room to choose
            assert unevenness(even, balance) < unevenness(plain, balance) / 2


def test_leave_one_out_tests_one_group_a_fold():
    folds = make_folds(
        {f"session{i}": [f"{i}F", f"{i}M"] for i in range(5)}, count=0, validation_groups=1, seed=0
    )
    assert sorted(fold.test for fold in folds) == [(f"session{i}",) for i in range(5)]


def test_pairs_of_both_sexes_test_and_validate():
    sexes = {f"actor{i:02d}": "female" if i % 2 else "male" for i in range(12)}
    groups = {name: [name] for name in sexes}
    for seed in range(20):
        for fold in make_folds(groups, count=6, validation_groups=2, seed=seed, sexes=sexes):
            for part in (fold.test, fold.validation):
                assert sorted(sexes[name] for name in part) == ["female", "male"]


def test_all_groups_validate_about_equally_often():
    groups = {f"g{i}": [f"s{i}"] for i in range(12)}
    folds = make_folds(groups, count=6, validation_groups=2, seed=0)
    times = collections.Counter(name for fold in folds for name in fold.validation)
    assert set(times.values()) == {1}


def test_a_speaker_in_two_groups_is_named():
    groups = {"a": ["anna", "ben"], "b": ["carl"], "c": ["ben"], "d": ["dora"]}
    with pytest.raises(FoldError, match="speaker 'ben': a, c"):
        make_folds(groups, count=2, validation_groups=0, seed=0)
    with pytest.raises(FoldError, match="speaker 'ben': a, c"):
        halves(groups, share=0.5, seed=0)


def test_a_fold_made_by_another_is_checked():
    groups = {"a": ["anna"], "b": ["ben"], "c": ["carl"]}
    check_speakers(Fold(0, test=("a",), validation=("b",), train=("c",)), groups)
    with pytest.raises(FoldError, match=r"part of fold 4.*\n.*'ben': validation, train"):
        check_speakers(Fold(4, test=("a",), validation=("b",), train=("b", "c")), groups)
    with pytest.raises(FoldError, match=r"lacks: \['x'\]"):
        check_speakers(Fold(0, test=("x",), validation=(), train=("c",)), groups)


@pytest.mark.parametrize(
    ("count", "validation_groups", "said"),
    [
        (5, 1, "4 group.s. for 5 folds.*at most 4"),
        (2, 2, "No training group is left.*more folds or fewer validation groups"),
        (4, 3, "No training group is left"),
        (1, 1, "at least 2 folds"),
        (-1, 1, "at least 2 folds"),
        (2, -1, "0 or more validation groups"),
    ],
)
def test_what_cannot_be_divided_is_refused_with_advice(count, validation_groups, said):
    groups = {name: [name] for name in "abcd"}
    with pytest.raises(FoldError, match=said):
        make_folds(groups, count=count, validation_groups=validation_groups, seed=0)


def test_facts_about_groups_must_be_complete():
    groups = {name: [name] for name in "abcd"}
    with pytest.raises(FoldError, match=r"`sexes` lacks the groups \['d'\]"):
        make_folds(groups, count=2, validation_groups=0, seed=0, sexes=dict.fromkeys("abc", "female"))
    with pytest.raises(FoldError, match=r"`balance` lacks the groups \['d'\]"):
        make_folds(groups, count=2, validation_groups=0, seed=0, balance={name: {} for name in "abc"})


def test_halves_share_the_groups_and_no_speaker():
    for seed in SEEDS:
        groups, _, sexes, _ = random_corpus(seed)
        share = random.Random(seed).uniform(0.01, 0.99)
        weights, alphas = halves(groups, share=share, seed=seed, sexes=sexes)
        assert sorted(weights + alphas) == sorted(groups)
        assert weights
        assert alphas
        assert abs(len(weights) - share * len(groups)) <= 1
        assert (weights, alphas) == halves(
            dict(reversed(groups.items())), share=share, seed=seed, sexes=sexes
        )


def test_halves_mix_the_sexes_alike():
    sexes = {f"g{i}": "female" if i < 4 else "male" for i in range(12)}
    for seed in range(20):
        weights, _ = halves({name: [name] for name in sexes}, share=0.5, seed=seed, sexes=sexes)
        assert sum(sexes[name] == "female" for name in weights) == 2


@pytest.mark.parametrize("share", [0, 1, -0.5, 2])
def test_a_half_of_nothing_is_refused(share):
    with pytest.raises(FoldError, match="between 0 and 1"):
        halves({"a": ["a"], "b": ["b"]}, share=share, seed=0)


def test_one_group_has_no_halves():
    with pytest.raises(FoldError, match=r"two training groups.*\['a'\]"):
        halves({"a": ["a"]}, share=0.5, seed=0)


def test_named_tests_are_tested_and_the_others_validate_and_train():
    for seed in SEEDS:
        groups, how, sexes, _ = random_corpus(seed)
        names = sorted(groups)
        tests = [[name] for name in names[: max(len(names) // 2, 1)]]
        validation_groups = min(how["validation_groups"], len(names) - 2)
        folds = given_folds(groups, tests=tests, validation_groups=validation_groups, seed=seed, sexes=sexes)
        assert [list(fold.test) for fold in folds] == tests
        assert [fold.index for fold in folds] == list(range(len(tests)))
        for fold in folds:
            assert sorted(fold.test + fold.validation + fold.train) == names
            assert len(fold.validation) == validation_groups
            assert fold.train


def test_the_tests_of_the_next_fold_validate_first():
    groups = {name: [name] for name in "abcdef"}
    folds = given_folds(groups, tests=[["a", "b"], ["c", "d"]], validation_groups=2, seed=0)
    assert [fold.validation for fold in folds] == [("c", "d"), ("a", "b")]
    (only,) = given_folds(groups, tests=[["a"]], validation_groups=1, seed=0)
    assert set(only.validation) < set("bcdef")


@pytest.mark.parametrize(
    ("tests", "validation_groups", "said"),
    [
        ([["a"], ["x"]], 1, r"the corpus lacks: \['x'\]"),
        ([["a"], ["b", "a"]], 1, r"more than once: \['a'\]"),
        ([["a", "a"]], 1, r"more than once: \['a'\]"),
        ([["a"], []], 1, "tests nothing"),
        ([], 1, "tests nothing"),
        ([["a", "b"]], 2, "No training group is left in fold 0"),
        ([["a", "b", "c", "d"]], 0, "No training group is left in fold 0"),
    ],
)
def test_named_tests_that_cannot_be_are_refused(tests, validation_groups, said):
    with pytest.raises(FoldError, match=said):
        given_folds(
            {name: [name] for name in "abcd"}, tests=tests, validation_groups=validation_groups, seed=0
        )


def test_named_tests_do_not_let_a_speaker_into_two_groups():
    with pytest.raises(FoldError, match="speaker 'ben': a, b"):
        given_folds({"a": ["ben"], "b": ["ben"], "c": ["c"]}, tests=[["a"]], validation_groups=0, seed=0)


def test_a_corpus_that_comes_divided_has_one_fold():
    groups = {name: [name] for name in "abcdef"}
    parts = {"train": ["a", "b"], "test1": ["c"], "test2": ["d"], "validation": ["f", "e"]}
    assert official_fold(groups, parts=parts) == Fold(0, ("c", "d"), ("e", "f"), ("a", "b"))
    del parts["validation"], parts["test2"]
    assert official_fold(groups, parts=parts) == Fold(0, ("c",), (), ("a", "b"))


@pytest.mark.parametrize(
    "parts", [{}, {"train": ["a"]}, {"test": ["a"]}, {"train": "a", "test": "b", "x": "c"}]
)
def test_parts_that_are_no_division_are_refused(parts):
    with pytest.raises(FoldError, match="own parts are"):
        official_fold({name: [name] for name in "abc"}, parts=parts)


def test_a_speaker_in_two_parts_of_a_divided_corpus_is_named():
    groups = {"a": ["anna"], "b": ["ben"], "c": ["anna"]}
    with pytest.raises(FoldError, match="speaker 'anna': test, train"):
        official_fold(groups, parts={"train": ["a"], "test": ["b", "c"]})
    with pytest.raises(FoldError, match="speaker 'ben': test, train"):
        official_fold(groups, parts={"train": ["a", "b"], "test": ["b"]})
