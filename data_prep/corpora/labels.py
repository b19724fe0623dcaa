"""What the readers of corpora with label files share: read the files, and give every label its sound."""

import codecs
import csv
import dataclasses
import io
import pathlib
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

from data_prep.corpora.base import BadFile, CorpusError, NoSpeechError, Reading, Utterance
from data_prep.corpora.files import UnreadableName, find, find_sounds, split_repeated

_Row = TypeVar("_Row")


def find_table(
    root: pathlib.Path, names: Sequence[str], *, layout: str, passed_over: Collection[str] = ()
) -> pathlib.Path:
    """The one file below `root` that has one of these names, in whatever case.

    Args:
        root: the folder.
        names: of the file.
        layout: the corpus, and what its files look like, for errors.
        passed_over: folders, as of `find`.

    Raises:
        CorpusError: there is none, or more than one.
    """
    wanted = {name.lower() for name in names}
    # What the walk cannot open is reported by the walk for sound.
    tables = list(find(root, lambda name: name.lower() in wanted, [], passed_over=passed_over))
    if not tables:
        raise CorpusError(f"no file {' or '.join(names)} below {root}\nexpected: {layout}")
    if len(tables) > 1:
        listing = "".join(f"\n  {table}" for table in tables)
        raise CorpusError(f"{len(tables)} files of labels below {root}; keep one of them:{listing}")
    return tables[0]


def text_lines(table: pathlib.Path) -> list[tuple[int, str]]:
    """(line number, stripped line) of every line that is not blank; raters' comments may be in any 8-bit coding.

    Raises:
        CorpusError: it is UTF-16.
    """
    text = _content(table).decode("utf-8-sig", errors="replace")
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, line) for number, line in lines if line]


def csv_rows(table: pathlib.Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not blank.

    Raises:
        CorpusError: it is not UTF-8, or not CSV.
    """
    try:
        text = _content(table).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise CorpusError(f"{table}:{line}: byte 0x{byte:02x} is not UTF-8; save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise CorpusError(f"{table}:{reader.line_num}: not CSV: {error}") from None


def _content(table: pathlib.Path) -> bytes:
    """The bytes of a file that is not UTF-16, of which every other byte would be zero."""
    content = table.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or content.count(0) > len(content) // 4:
        raise CorpusError(f"{table} is UTF-16; save it as UTF-8")
    return content


def header_flaws(header: Sequence[str], *, required: Sequence[str], optional: Sequence[str]) -> list[str]:
    """What is wrong with the first row of a CSV file; columns may have their names in any case."""
    columns = [name.strip().lower() for name in header]
    flaws = []
    if missing := [name for name in required if name.lower() not in columns]:
        flaws.append(f"no column {', '.join(missing)} among: {', '.join(header) or 'none'}")
        if any(";" in name or "\t" in name for name in columns):
            flaws.append("separate the columns with commas")
    flaws += [
        f"column {name} comes {columns.count(name.lower())} times"
        for name in (*required, *optional)
        if columns.count(name.lower()) > 1
    ]
    return flaws


def parse_rows(
    table: pathlib.Path,
    rows: Iterable[tuple[int, _Row]],
    parse: Callable[[pathlib.Path, _Row], Utterance | None],
    bad_files: list[BadFile],
) -> list[Utterance]:
    """The utterances that rows of a table name; what cannot be read goes to `bad_files`.

    Args:
        table: the file.
        rows: (line number, row).
        parse: (`table:line`, row) -> its utterance, whose path is `table:line` until `pair` finds the sound,
            or None for a row of another kind; raises UnreadableName.
        bad_files: gets every row that cannot be read.
    """
    labels = []
    for number, row in rows:
        source = table.with_name(f"{table.name}:{number}")
        try:
            label = parse(source, row)
        except UnreadableName as error:
            bad_files.append(BadFile(str(source), str(error)))
        else:
            if label is not None:
                labels.append(label)
    return labels


def pair(
    root: pathlib.Path,
    labels: Sequence[Utterance],
    identify: Callable[[pathlib.Path], str | None],
    *,
    layout: str,
    bad_files: Sequence[BadFile],
    no_label: Callable[[pathlib.Path], str] = lambda _: "no label",
    passed_over: Collection[str] = (),
) -> Reading:
    """Gives every label its sound file, by their ids; a label or a sound that is left alone is a bad file.

    Args:
        root: the folder; sound files may lie at any depth.
        labels: one utterance a label, as `parse_rows` returns them.
        identify: sound file -> its utterance's id, or None for a file that is no utterance; raises
            UnreadableName.
        layout: the corpus, and what its files look like, for errors.
        bad_files: what is known already to be unusable.
        no_label: sound file -> the reason, for one without a label.
        passed_over: folders, as of `find`.

    Raises:
        CorpusError: not one sound file below `root` has a label.
    """
    unique = split_repeated((str(label.path), label) for label in labels)
    label_of = {label.id: label for label in unique.utterances}
    reported = {label.id for label in labels} - set(label_of)  # more than one label
    bad_files = [*bad_files, *unique.bad_files]
    utterances = []
    notes: list[str] = []
    for path in find_sounds(root, bad_files, passed_over=passed_over, notes=notes):
        try:
            name = identify(path)
        except UnreadableName as error:
            bad_files.append(BadFile(str(path), str(error)))
            continue
        if name in label_of:
            utterances.append(dataclasses.replace(label_of[name], path=path))
        elif name is not None and name not in reported:
            bad_files.append(BadFile(str(path), no_label(path)))
    silent = set(label_of) - {utterance.id for utterance in utterances}
    bad_files += [
        BadFile(str(label_of[name].path), f"no sound file of utterance {name}") for name in sorted(silent)
    ]
    if not utterances:
        raise NoSpeechError("sound file of the corpus with a label", root, bad_files, layout=layout)
    return Reading(
        tuple(sorted(utterances, key=lambda utterance: utterance.id)), tuple(bad_files), tuple(notes)
    )
