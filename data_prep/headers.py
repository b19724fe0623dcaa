"""Files are checked by their headers before anything is computed: in a minute, all that are bad are known."""

import collections
import concurrent.futures
from collections.abc import Sequence

import tqdm

from data_prep import audio
from data_prep.corpora.base import BadFile, Utterance

_THREADS = 16  # they wait for disks, or for a network
_PATIENCE = 3.0  # seconds before progress is shown


def check(utterances: Sequence[Utterance]) -> dict[str, BadFile]:
    """Id -> the bad file and why, of each utterance that cannot be read, as headers show (`audio.check`)."""
    of_path = collections.defaultdict(list)
    for utterance in utterances:
        of_path[utterance.path].append(utterance)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
        checked = threads.map(_check, of_path.values())
        bar = tqdm.tqdm(
            checked, total=len(of_path), desc="headers", unit="file", disable=None, delay=_PATIENCE
        )
        reasons = {id_: reason for of_file in bar for id_, reason in of_file.items()}
    return {one.id: BadFile(str(one.path), reasons[one.id]) for one in utterances if one.id in reasons}


def _check(utterances: Sequence[Utterance]) -> dict[str, str]:
    """Id -> reason, of the utterances of one file that cannot be read."""
    reasons = {}
    for utterance in utterances:
        try:
            audio.check(utterance)
        except audio.AudioError as error:
            reasons[utterance.id] = str(error)
    return reasons
