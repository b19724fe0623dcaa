"""What a file is that is no sound: told by its first bytes, whatever its name, with a way out."""

import struct

import pytest
import soundfile

from data_prep import audio, formats
from data_prep.corpora.base import Utterance

KINDS = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n": "git lfs pull",
    b"\0\0\0\x1cftypM4A \0\0\2\0" + b"x" * 99: "MP4 or M4A .* ffmpeg",
    b"\x1aE\xdf\xa3" + b"webm" * 99: "WebM .* ffmpeg",
    b"0&\xb2u\x8ef\xcf\x11" + b"\1" * 99: "WMA.* ffmpeg",
    b"\xff\xf1\x50\x80" + b"\1" * 99: "AAC.* ffmpeg",
    b"#!AMR\n" + b"\1" * 99: "AMR.* ffmpeg",
    b"<!DOCTYPE html><html>404</html>": "web page.* download it again",
    b"\xef\xbb\xbf\n <HTML>": "web page.* download it again",
    b"PK\x03\x04" + b"\1" * 99: "ZIP archive: unpack it",
    b"\0" * 999: "zero bytes.* download it again",
    b"I am no sound\n" * 99: "text, not sound; it begins 'I am no sound'",
    b"RIFF": "header is damaged",
    bytes(range(256)): "ffmpeg -f s16le",
}


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize(("content", "says"), KINDS.items())
def test_a_file_that_is_no_sound_says_what_it_is_and_what_to_do(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    utterance = Utterance(id="one", path=tmp_path / name, speaker="s", emotion="angry")
    for refuse in (audio.check, lambda one: audio.read(one, sampling_rate=8_000)):
        with pytest.raises(audio.AudioError, match=f"cannot be decoded: .*{says}"):
            refuse(utterance)


def test_a_wav_file_whose_header_says_that_it_is_empty_has_its_bytes_counted(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, [0.1] * 500, 8_000)
    assert formats.bytes_after_empty_header(path) == 0
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 0)
    path.write_bytes(content)
    assert formats.bytes_after_empty_header(path) == 1000
    utterance = Utterance(id="one", path=path, speaker="s", emotion="angry")
    with pytest.raises(
        audio.AudioError, match=r"its header says so, though 1000 bytes follow.*--ignore-length"
    ):
        audio.check(utterance)
