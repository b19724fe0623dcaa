"""The settings of a corpus: which it is, where it lies, and which of its emotions are taken."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from jax_ser_darts.fields import check_own, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusSettings:
    """Which corpus, and which of its emotions."""

    corpus: str = setting("manifest", "demo, manifest, or a corpus reader, such as iemocap")
    source: str = setting(
        "", "the corpus's folder, or the manifest; empty makes the demo corpus", resumable=True
    )
    records: str = setting("", "folder of the TFRecords; empty is WORKDIR/records", resumable=True)
    emotions: Mapping[str, str] = setting({}, "emotion -> class; empty takes every emotion as it is")
    aliases: tuple[tuple[str, str], ...] = setting(
        (),
        "(spelling, name) of speakers and labels that are one; a name as its own alias is apart from near ones",
    )
    parts: tuple[str, ...] = setting((), "parts of the corpus to take, such as improvised; empty takes all")
    intended_emotion: bool = setting(
        False, "take the emotion that the speaker was asked for, not the one perceived (msp_improv)"
    )
    group_by: Literal["speaker", "session", "part"] = setting(
        "speaker", "what folds divide; part is the corpus's own division"
    )
    on_bad_file: Literal["error", "skip"] = setting("error", "stop at unusable files, or leave them out")
    on_duplicate: Literal["error", "keep_one", "keep"] = setting(
        "error",
        "of a recording that comes twice: take one, and stop where speakers or classes differ; take the first always; "
        "or take all",
    )
    workers: int = setting(0, "processes that compute features; 0 is one a core", low=0, resumable=True)

    def __post_init__(self):
        check_own(self)
