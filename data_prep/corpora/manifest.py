"""Any other corpus: a CSV manifest with one row an utterance.

Columns `path,speaker,emotion[,session][,sex][,start,end][,id]`, in any order; others are ignored. Paths are
relative to the CSV, times are in seconds. Several rows may cut segments from one file. Where there is no id,
it is the path as written, with the times where there are any.
"""

import math
import os
import pathlib

from data_prep.corpora.base import BadFile, CorpusError, Reading, Utterance
from data_prep.corpora.files import split_repeated
from data_prep.corpora.labels import csv_rows, header_flaws

LAYOUT = (
    "a CSV file, or a folder with manifest.csv; columns path,speaker,emotion[,session][,sex][,start,end][,id]"
)
REQUIRED = ("path", "speaker", "emotion")
OPTIONAL = ("session", "sex", "start", "end", "id")
SEXES = {"": "", "f": "female", "female": "female", "m": "male", "male": "male"}


def read(root: pathlib.Path) -> Reading:
    """Reads the manifest `root`, or `root`/manifest.csv.

    Emotions and sexes are lower-cased. Every bad row is a BadFile, named `manifest.csv:line`, with all its
    faults.

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

    utterances, bad_files = [], []
    for line, cells in rows:
        source = f"{table}:{line}"
        row = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
        faults = _faults(row, table.parent, required=[name for name in REQUIRED if name in columns])
        if len(cells) > len(columns):
            faults.append(f"{len(cells)} cells under {len(columns)} columns (quote a cell that has a comma)")
        if faults:
            bad_files.append(BadFile(source, "; ".join(faults)))
        elif not flaws:
            utterances.append((source, _utterance(row, table.parent)))
    if flaws:
        lines = "".join(f"\n  {bad.path}: {bad.reason}" for bad in bad_files)
        raise CorpusError(f"{table}: {'; '.join(flaws)}\nexpected: {LAYOUT}{lines}")
    unique = split_repeated(utterances)
    return Reading(unique.utterances, (*bad_files, *unique.bad_files))


def _faults(row: dict[str, str], folder: pathlib.Path, *, required: list[str]) -> list[str]:
    """All that is wrong with one row."""
    faults = [f"no {name}" for name in required if not row.get(name)]
    path = row.get("path")
    # Unlike pathlib's, os.path's answer for a name that no file can have is False.
    if path and not os.path.isfile(folder / path):
        faults.append(f"no file {folder / path}" + (" (write / between folders)" if "\\" in path else ""))
    if row.get("sex", "").lower() not in SEXES:
        faults.append(f"unknown sex {row['sex']!r}; known: female, male, f, m or nothing")
    times = [name for name in ("start", "end") if row.get(name)]
    wrong = [name for name in times if not _is_time(row[name])]
    faults += [f"{name} {row[name]!r} is not a number of seconds from 0" for name in wrong]
    if "end" in times and not wrong and float(row["end"]) <= float(row.get("start") or 0):
        faults.append(f"end {row['end']} is not after start {row.get('start') or 0}")
    return faults


def _is_time(cell: str) -> bool:
    try:
        return 0 <= float(cell) < math.inf
    except ValueError:
        return False


def _utterance(row: dict[str, str], folder: pathlib.Path) -> Utterance:
    """The utterance of one row that has no faults."""
    start = float(row.get("start") or 0)
    end = float(row["end"]) if row.get("end") else None
    id_ = pathlib.PurePath(os.path.normpath(row["path"])).as_posix()
    if start or end is not None:
        id_ += f"[{start:.3f}-{'end' if end is None else f'{end:.3f}'}]"
    return Utterance(
        id=row.get("id") or id_,
        path=folder / row["path"],
        speaker=row["speaker"],
        emotion=row["emotion"].lower(),
        session=row.get("session", ""),
        sex=SEXES[row.get("sex", "").lower()],
        start=start,
        end=end,
    )
