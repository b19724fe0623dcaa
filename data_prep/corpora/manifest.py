"""Any other corpus: a CSV manifest with one row an utterance.

Columns `path,speaker,emotion[,session][,sex][,start,end][,id]`, in any order; others are ignored, and named. Paths are
relative to the CSV, times are in seconds. Several rows may cut segments from one file. Where there is no id,
it is the path as written, with the times where there are any.
"""

import collections
import difflib
import math
import os
import pathlib
import re
import sys
from collections.abc import Sequence

from absl import logging

from data_prep.corpora.base import BadFile, CorpusError, Reading, Utterance, grouped
from data_prep.corpora.files import other_form, split_repeated
from data_prep.corpora.labels import csv_rows, header_flaws

LAYOUT = (
    "a CSV file, or a folder with manifest.csv; columns path,speaker,emotion[,session][,sex][,start,end][,id]"
)
REQUIRED = ("path", "speaker", "emotion")
OPTIONAL = ("session", "sex", "start", "end", "id")
# Columns that others have, and what becomes of what they mean.
NEAR_MISSES = {
    **dict.fromkeys(
        ("begin", "onset", "from", "start_time"), "is it start? Without start, sound is read from 0"
    ),
    **dict.fromkeys(("stop", "offset", "to", "end_time"), "is it end? Without end, sound is read to its end"),
    **dict.fromkeys(("duration", "length"), "an end = start + duration would cut the sound"),
    "gender": "is it sex?",
    **dict.fromkeys(
        ("split", "set", "fold", "partition"),
        "folds divide speakers by themselves; to divide by it, name it session and set data.group_by=session",
    ),
}
SEXES = {"": "", "f": "female", "female": "female", "m": "male", "male": "male"}
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")
_COMMA = re.compile(r"\d*,\d+")


def read(root: pathlib.Path) -> Reading:
    """Reads the manifest `root`, or `root`/manifest.csv.

    Emotions and sexes are lower-cased; a sex of another word is unknown, and a warning counts these. A path whose file
    has its name in another Unicode form finds it, with a warning. Every bad row is a BadFile, named
    `manifest.csv:line`, with all its faults.

    Raises:
        CorpusError: there is no manifest, it is not UTF-8 CSV, it has no rows, or its header lacks a column
            (the message then has the faults of the rows, too).
    """
    table = root / "manifest.csv" if root.is_dir() else root
    if not table.is_file():
        raise CorpusError(f"no manifest {table}\nexpected: {LAYOUT}")
    (_, header), *rows = csv_rows(table) or [(1, [])]
    columns = [name.strip().lower() for name in header]
    flaws = header_flaws(header, required=REQUIRED, optional=OPTIONAL) if rows else ["no rows"]

    utterances: list[tuple[str, Utterance]] = []
    bad_files: list[BadFile] = []
    other_sexes: collections.Counter[str] = collections.Counter()
    renamed: list[str] = []
    for line, cells in rows:
        source = f"{table}:{line}"
        row = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
        path = _file(row.get("path", ""), table.parent)
        faults = _faults(row, path, table.parent, required=[name for name in REQUIRED if name in columns])
        if len(cells) > len(columns):
            faults.append(f"{len(cells)} cells under {len(columns)} columns (quote a cell that has a comma)")
        if faults:
            bad_files.append(BadFile(source, "; ".join(faults)))
        elif not flaws and path is not None:
            utterances.append((source, _utterance(row, path)))
            if row.get("sex", "").lower() not in SEXES:
                other_sexes[row["sex"]] += 1
            if path.name not in row["path"]:
                renamed.append(row["path"])
    if flaws:
        lines = f"\n{grouped(bad_files)}" if bad_files else ""
        raise CorpusError(f"{table}: {'; '.join(flaws)}\nexpected: {LAYOUT}{lines}")
    notes = [*_ignored_columns(columns)]
    if other_sexes:
        counts = ", ".join(f"{word!r} {count} times" for word, count in other_sexes.most_common())
        notes.append(f"{table}: a sex that is not female or male is taken as unknown: {counts}")
    if renamed:
        notes.append(
            f"{table}: {len(renamed)} path(s) are spelled in another Unicode form than their files, such as "
            f"{renamed[0]!r}; these files are used"
        )
    for note in notes:
        logging.warning("%s", note)
    unique = split_repeated(_contradictions(utterances, bad_files))
    return Reading(unique.utterances, (*bad_files, *unique.bad_files), tuple(notes))


def _ignored_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """A sentence where the manifest has columns that are not read."""
    known = (*REQUIRED, *OPTIONAL)
    ignored = list(dict.fromkeys(name for name in columns if name and name not in known))
    if not ignored:
        return ()
    hints = []
    for name in ignored:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if hint := NEAR_MISSES.get(name) or (f"is it {near[0]}?" if near else ""):
            hints.append(f"{name}: {hint}")
    sentence = f"{len(ignored)} column(s) of the manifest are not read: {', '.join(ignored)}"
    return (sentence + (f" ({'; '.join(hints)})" if hints else ""),)


def _file(cell: str, folder: pathlib.Path) -> pathlib.Path | None:
    """The file that a cell names, perhaps in another Unicode form; None where there is none."""
    path = folder / os.path.expanduser(cell)
    # Unlike pathlib's, os.path's answer for a name that no file can have is False.
    if os.path.isfile(path):
        return path
    other = other_form(path) if "\0" not in cell else None
    return other if other is not None and other.is_file() else None


def _faults(
    row: dict[str, str], path: pathlib.Path | None, folder: pathlib.Path, *, required: list[str]
) -> list[str]:
    """All that is wrong with one row, and what to write instead."""
    advice = {"speaker": ": write who speaks, since folds are made of speakers", "emotion": "", "path": ""}
    faults = [f"no {name}{advice[name]}" for name in required if not row.get(name)]
    if row.get("path") and path is None:
        faults.append(_no_file(row["path"], folder))
    times = [name for name in ("start", "end") if row.get(name)]
    wrong = [name for name in times if not _is_time(row[name])]
    faults += [
        f"{name} {row[name]!r} is not a number of seconds from 0{_as_seconds(row[name])}" for name in wrong
    ]
    if "end" in times and not wrong and float(row["end"]) <= float(row.get("start") or 0):
        faults.append(f"end {row['end']} is not after start {row.get('start') or 0}")
    return faults


def _no_file(cell: str, folder: pathlib.Path) -> str:
    """That there is no such file, and where it may be."""
    fault = f"no file {str(folder / os.path.expanduser(cell))!r}"
    if "\\" in cell:
        there = _file(cell.replace("\\", "/"), folder) is not None
        return f"{fault} (write / between folders, not \\{': so it is there' if there else ''})"
    if not cell.isascii() and sys.getfilesystemencoding() != "utf-8":
        return f"{fault} (names of files are {sys.getfilesystemencoding()} to this Python: set PYTHONUTF8=1)"
    if os.path.isfile(cell):
        return f"{fault} (it is in the current folder, but paths are relative to the manifest's)"
    return f"{fault} (paths are relative to the manifest's folder)"


def _is_time(cell: str) -> bool:
    try:
        return 0 <= float(cell) < math.inf
    except ValueError:
        return False


def _as_seconds(cell: str) -> str:
    """What to write for a time of another notation."""
    if _COMMA.fullmatch(cell):
        return f": write a point, {cell.replace(',', '.')}"
    if match := _CLOCK.fullmatch(cell):
        hours, minutes, seconds = match.groups()
        total = 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
        return f": write seconds, {total:g}"
    return ""


def _contradictions(
    utterances: list[tuple[str, Utterance]], bad_files: list[BadFile]
) -> list[tuple[str, Utterance]]:
    """The rows but for those of one stretch of one file that name different speakers or emotions: bad files."""
    of_sound = collections.defaultdict(list)
    for source, one in utterances:
        of_sound[os.path.realpath(one.path), one.start, one.end].append((source, one))
    agreed = []
    for rows in of_sound.values():
        if len({(one.speaker, one.emotion) for _, one in rows}) == 1:
            agreed += rows
            continue
        for source, one in rows:
            others = ", ".join(
                f"{other!r} ({different.speaker!r}, {different.emotion!r})"
                for other, different in rows
                if other != source
            )
            reason = f"{one.speaker!r}, {one.emotion!r} of the same sound as {others}; keep one of them"
            bad_files.append(BadFile(source, reason))
    return agreed


def _utterance(row: dict[str, str], path: pathlib.Path) -> Utterance:
    """The utterance of one row that has no faults, and its file."""
    start = float(row.get("start") or 0)
    end = float(row["end"]) if row.get("end") else None
    id_ = pathlib.PurePath(os.path.normpath(row["path"])).as_posix()
    if start or end is not None:
        id_ += f"[{start:.3f}-{'end' if end is None else f'{end:.3f}'}]"
    return Utterance(
        id=row.get("id") or id_,
        path=path,
        speaker=row["speaker"],
        emotion=row["emotion"].lower(),
        session=row.get("session", ""),
        sex=SEXES.get(row.get("sex", "").lower(), ""),
        start=start,
        end=end,
    )
