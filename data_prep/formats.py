"""Files that are no sound to libsndfile: what they are by their first bytes, and what to do."""

import os
import pathlib
import struct

CONVERT = "convert it, for example: ffmpeg -i FILE -ac 1 FILE.flac"
# What a file begins with -> what it is.
_MAGIC = {
    b"version https://git-lfs": "a git-lfs pointer, not the sound: fetch it, in its repository, by: git lfs pull",
    b"\x1aE\xdf\xa3": f"WebM or Matroska, which is not read: {CONVERT}",
    b"0&\xb2u\x8ef\xcf\x11": f"Windows Media (WMA), which is not read: {CONVERT}",
    b"\xff\xf1": f"AAC, which is not read: {CONVERT}",
    b"\xff\xf9": f"AAC, which is not read: {CONVERT}",
    b"ADIF": f"AAC, which is not read: {CONVERT}",
    b"#!AMR": f"AMR, which is not read: {CONVERT}",
    b"MAC ": f"Monkey's Audio, which is not read: {CONVERT}",
    b"wvpk": f"WavPack, which is not read: {CONVERT}",
    b"PK\x03\x04": "a ZIP archive: unpack it",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"%PDF": "a PDF document, not sound: take it out of the corpus, or download it again",
}
_HTML = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
_ATOM = b"ftyp"  # of MP4 and what is made of it, after four bytes
_LOOKED_AT = 512


def what_is(path: pathlib.Path) -> str:
    """What a file is that cannot be decoded, and what to do; "" where that is not known.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
        size = file.seek(0, os.SEEK_END)
    if size and not start.strip(b"\0"):
        return "begins with zero bytes, as an unfinished download does: download it again"
    if start[4:8] == _ATOM:
        return f"MP4 or M4A (AAC), which is not read: {CONVERT}"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML):
        return "a web page (HTML) or XML, not sound: the download failed, so download it again"
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            return what
    if start.startswith((b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS")):
        return "its header is damaged, or the file is cut: copy or download it again"
    if (
        start.isascii()
        and start.decode("ascii").replace("\n", " ").replace("\r", " ").replace("\t", " ").isprintable()
    ):
        first = start.decode("ascii").strip().splitlines()[0] if start.strip() else ""
        return f"text, not sound; it begins {first[:40]!r}: download or copy it again"
    return (
        "no format that is known here; if it is sound without a header, give it one, for example: "
        "ffmpeg -f s16le -ar 16000 -ac 1 -i FILE FILE.flac"
    )


def bytes_after_empty_header(path: pathlib.Path) -> int:
    """Bytes of sound in a WAV file whose header says that it has none, as an interrupted recording's does; or 0.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(2**16)
        size = file.seek(0, os.SEEK_END)
    if start[:4] != b"RIFF" or start[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 <= len(start):
        name, length = start[at : at + 4], struct.unpack("<I", start[at + 4 : at + 8])[0]
        if name == b"data":
            return size - at - 8 if length == 0 else 0
        at += 8 + length + length % 2
    return 0
