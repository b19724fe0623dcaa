"""Speaker groups -> folds: who is tested, who validates, who trains. Pure, and deterministic in the seed."""

import collections
import dataclasses
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from data_prep.splits import TEST
from jax_ser_darts.errors import UserError

# Parts of a corpus that comes divided; TEST may have a number: test1, ...
TRAIN, VALIDATION = "train", "validation"


class FoldError(UserError):
    """These folds cannot be made; the message says why, and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fold:
    """The three parts of one fold, each a tuple of group names; no speaker is in two of them."""

    index: int
    test: tuple[str, ...]
    validation: tuple[str, ...]
    train: tuple[str, ...]


def make_folds(
    groups: Mapping[str, Sequence[str]],
    *,
    count: int,
    validation_groups: int,
    seed: int,
    balance: Mapping[str, Mapping[str, int]] | None = None,
    sexes: Mapping[str, str] | None = None,
) -> list[Fold]:
    """Divides speaker groups into folds for cross-validation.

    Each group is in the test part of exactly one fold, and the test parts differ by one group at most. The
    validation groups of a fold are taken from the test groups of the folds that follow it, so that all groups
    validate about equally often.

    Args:
        groups: group name -> its speakers. A group (one speaker, one session) is never divided.
        count: number of folds; 0 is leave-one-group-out.
        validation_groups: groups held out of the training part of each fold, to choose epochs by.
        seed: the folds depend on it and on the groups, not on the order in which these are given.
        balance: group name -> class -> utterances; where given, groups change places between test parts as
            long as that brings the class counts of the parts closer together.
        sexes: group name -> sex; where given, the numbers of one sex in any two test parts differ by one at
            most, and the validation groups are mixed like the rest.

    Raises:
        FoldError: a speaker is in two groups, there are fewer groups than folds, or no group is left to train
            on.
    """
    _check_speakers(groups.items(), "group")
    names = sorted(groups)
    count = count or len(names)
    largest_test = -(-len(names) // max(count, 1))
    if count < 2 or validation_groups < 0:
        raise FoldError(
            f"{count} fold(s) with {validation_groups} validation group(s) cannot be made of {len(names)} "
            "group(s): ask for at least 2 folds (0 = one for each group) and for 0 or more validation groups."
        )
    if len(names) < count:
        raise FoldError(
            f"There are {len(names)} group(s) for {count} folds: {names}. Ask for at most {len(names)} folds "
            "(0 = one for each group), or prepare the corpus with smaller groups."
        )
    if largest_test + validation_groups >= len(names):
        raise FoldError(
            f"No training group is left: of {len(names)} groups, {largest_test} are for testing and "
            f"{validation_groups} for validation. Take more folds or fewer validation groups "
            "(config.folds.count, config.folds.validation_groups)."
        )
    strata = _strata(names, sexes, "sexes")
    shuffled = _shuffle(names, seed)
    # Dealt like cards, one sex after the other: sizes and sexes both differ by one at most.
    deck = sorted(shuffled, key=lambda name: strata[name])
    tests = [deck[start::count] for start in range(count)]
    if balance is not None:
        tests = _even_out(tests, balance=_check_known(names, balance, "balance"), strata=strata)

    return _complete(tests, groups=groups, validation_groups=validation_groups, strata=strata)


def given_folds(
    groups: Mapping[str, Sequence[str]],
    *,
    tests: Sequence[Sequence[str]],
    validation_groups: int,
    seed: int,
    sexes: Mapping[str, str] | None = None,
) -> list[Fold]:
    """Folds whose test groups are named, as a published protocol does.

    The validation groups are taken from the test groups of the folds that follow, then from the groups that
    no fold tests; whatever is left trains.

    Args:
        groups: group name -> its speakers.
        tests: the groups that each fold tests; no group is in two of them.
        validation_groups: groups held out of the training part of each fold, to choose epochs by.
        seed: of the order in which groups that are not tested come to validate.
        sexes: group name -> sex; where given, the validation groups are mixed like the rest.

    Raises:
        FoldError: a speaker is in two groups, a group is unknown or tested twice, a test part is empty, or no
            group is left to train on.
    """
    _check_speakers(groups.items(), "group")
    named = [name for test in tests for name in test]
    if unknown := sorted(set(named) - set(groups)):
        raise FoldError(
            f"The folds test groups that the corpus lacks: {unknown}; it has {sorted(groups)}. Name some of these "
            "(config.folds.test), or divide by what was named (config.data.group_by)."
        )
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise FoldError(f"The folds test groups more than once: {twice}. Name each of them once.")
    if not tests or not all(tests):
        raise FoldError(
            f"A fold tests nothing: {[list(test) for test in tests]}. Name a group for each fold."
        )
    strata = _strata(groups, sexes, "sexes")
    rest = _shuffle(sorted(set(groups) - set(named)), seed)
    parts = [list(test) for test in tests]
    return _complete(parts, groups=groups, validation_groups=validation_groups, strata=strata, rest=rest)


def official_fold(groups: Mapping[str, Sequence[str]], *, parts: Mapping[str, Sequence[str]]) -> Fold:
    """The one fold of a corpus that comes divided: its parts train, validation (if any) and test, test1, ...

    Args:
        groups: group name -> its speakers.
        parts: part -> the groups in it.

    Raises:
        FoldError: there is no training or no test part, or a part of another name, or a speaker is in two.
    """
    tests = [part for part in sorted(parts) if part.startswith(TEST)]
    other = sorted(set(parts) - {*tests, TRAIN, VALIDATION})
    if other or not tests or TRAIN not in parts:
        raise FoldError(
            f"The corpus's own parts are {sorted(parts)}; a fold of them needs {TRAIN}, {TEST} (or {TEST}1, ...), "
            f"perhaps {VALIDATION}, and no others. Choose parts (data.parts), or divide speakers (data.group_by)."
        )
    test, validation, train = (
        tuple(sorted(name for part in parts_of for name in parts.get(part, ())))
        for parts_of in (tests, [VALIDATION], [TRAIN])
    )
    fold = Fold(0, test, validation, train)
    check_speakers(fold, groups)
    return fold


def halves(
    groups: Mapping[str, Sequence[str]],
    *,
    share: float,
    seed: int,
    sexes: Mapping[str, str] | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divides the training groups of a search: (groups for the weights, groups for the alphas).

    No speaker is in both, so that the alphas are chosen on speakers whom the params have not seen.

    Args:
        groups: name -> speakers of the training groups only, e.g. those of `Fold.train`.
        share: the fraction of groups, in (0, 1), for the weights; each half has at least one group.
        seed: the halves depend on it and on the groups, not on the order in which these are given.
        sexes: group name -> sex; where given, both halves have about the same mixture.

    Raises:
        FoldError: fewer than two groups, a share out of range, or a speaker in two groups.
    """
    _check_speakers(groups.items(), "group")
    if not 0 < share < 1:
        raise FoldError(f"The weights' share of the training groups is {share}; it must lie between 0 and 1.")
    if len(groups) < 2:
        raise FoldError(
            "A search needs two training groups, one for the params and one for the alphas; here is "
            f"{sorted(groups)}. Take more folds or fewer validation groups (config.folds.count, "
            "config.folds.validation_groups), or train a genotype that was found elsewhere (config.train.genotype)."
        )
    mixed = _mix(_shuffle(sorted(groups), seed), _strata(groups, sexes, "sexes"))
    cut = min(max(round(share * len(mixed)), 1), len(mixed) - 1)
    return tuple(sorted(mixed[:cut])), tuple(sorted(mixed[cut:]))


def check_speakers(fold: Fold, groups: Mapping[str, Sequence[str]]) -> None:
    """Makes sure that no speaker is in two parts of a fold, whoever made it.

    Raises:
        FoldError: a speaker is in two parts, or a group is unknown; the message names them.
    """
    unknown = sorted({*fold.test, *fold.validation, *fold.train} - set(groups))
    if unknown:
        raise FoldError(
            f"Fold {fold.index} names groups that the corpus lacks: {unknown}; it has {sorted(groups)}."
        )
    parts = {"test": fold.test, "validation": fold.validation, "train": fold.train}
    speakers = ((part, {s for name in names for s in groups[name]}) for part, names in parts.items())
    _check_speakers(speakers, f"part of fold {fold.index}")


def _complete(
    tests: Sequence[list[str]],
    *,
    groups: Mapping[str, Sequence[str]],
    validation_groups: int,
    strata: Mapping[str, str],
    rest: Sequence[str] = (),
) -> list[Fold]:
    """Test parts -> folds; `rest` are the groups that none of them tests."""
    folds = []
    for index, test in enumerate(tests):
        others = [name for part in [*tests[index + 1 :], *tests[:index], rest] for name in part]
        validation = _mix(others, strata)[:validation_groups]
        train = set(others) - set(validation)
        if not train:
            raise FoldError(
                f"No training group is left in fold {index}: of {len(groups)} groups, {len(test)} are for testing "
                f"and {len(validation)} for validation. Take fewer validation groups (config.folds.validation_groups)."
            )
        fold = Fold(index, tuple(sorted(test)), tuple(sorted(validation)), tuple(sorted(train)))
        check_speakers(fold, groups)
        folds.append(fold)
    return folds


def _check_speakers(speakers_of: Iterable[tuple[str, Iterable[str]]], kind: str) -> None:
    places = collections.defaultdict(list)
    for place, speakers in speakers_of:
        for speaker in set(speakers):
            places[speaker].append(place)
    shared = {speaker: where for speaker, where in sorted(places.items()) if len(where) > 1}
    if shared:
        lines = "\n".join(f"  speaker {speaker!r}: {', '.join(where)}" for speaker, where in shared.items())
        raise FoldError(
            f"A speaker is in more than one {kind}, so training and test would share a speaker:\n"
            f"{lines}\nPut all utterances of a speaker into one group."
        )


def _strata(names: Iterable[str], sexes: Mapping[str, str] | None, argument: str) -> Mapping[str, str]:
    return dict.fromkeys(names, "") if sexes is None else _check_known(names, sexes, argument)


def _check_known(names: Iterable[str], table: Mapping, argument: str) -> Mapping:
    missing = sorted(set(names) - set(table))
    if missing:
        raise FoldError(f"`{argument}` lacks the groups {missing}; give it for all groups or leave it out.")
    return table


def _shuffle(names: Sequence[str], seed: int) -> list[str]:
    return random.Random(seed).sample(names, len(names))


def _mix(names: Sequence[str], strata: Mapping[str, Hashable]) -> list[str]:
    """Interleaves the strata: each prefix holds them in proportion, each stratum keeps its order."""
    sizes = collections.Counter(strata[name] for name in names)
    seen = collections.Counter()
    position = {}
    for name in names:
        stratum = strata[name]
        position[name] = (seen[stratum] + 0.5) / sizes[stratum]
        seen[stratum] += 1
    return sorted(names, key=position.__getitem__)


def _even_out(
    parts: list[list[str]], *, balance: Mapping[str, Mapping[str, int]], strata: Mapping[str, Hashable]
) -> list[list[str]]:
    """Swaps groups of the same stratum between parts while that lowers the spread of the class counts.

    The spread is the sum, over parts and classes, of the squared count; as the totals are fixed, it is least
    where the counts are even. Every swap lowers it by a whole number, so this ends.
    """
    names = [name for part in parts for name in part]
    classes = sorted({label for name in names for label in balance[name]})
    counts = np.array([[balance[name].get(label, 0) for label in classes] for name in names], np.int64)
    kind = np.unique([str(strata[name]) for name in names], return_inverse=True)[1]
    part_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    totals = np.stack([counts[part_of == part].sum(axis=0) for part in range(len(parts))])

    improved = True
    while improved:
        improved = False
        for here in range(len(names)):
            moved = counts - counts[here]  # [groups, classes]: what its part gains by each swap
            gain = 2 * np.sum(moved * (totals[part_of[here]] - totals[part_of] + moved), axis=1)
            gain[(part_of == part_of[here]) | (kind != kind[here])] = 0
            other = int(np.argmin(gain))
            if gain[other] < 0:
                totals[part_of[here]] += moved[other]
                totals[part_of[other]] -= moved[other]
                part_of[[here, other]] = part_of[[other, here]]
                improved = True
    return [
        [name for name, where in zip(names, part_of, strict=True) if where == part]
        for part in range(len(parts))
    ]
