"""Small trees of the licensed corpora's layout, with generated sound and all that makes the real ones awkward."""

import itertools
import pathlib

import numpy as np
import soundfile


def sound(path: pathlib.Path, *, rate: int = 16_000, channels: int = 1) -> pathlib.Path:
    """A fifth of a second of noise; each file has its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(path.name.encode()))
    soundfile.write(path, 0.1 * rng.standard_normal((rate // 5, channels)), rate)
    return path


def write(path: pathlib.Path, text: str | bytes) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


IEMOCAP_LABELS = ("ang", "hap", "sad", "neu", "exc", "fru", "xxx")
IEMOCAP_DIALOGUES = ("F_impro01", "M_impro01", "F_script01_1", "M_script02_2")


def iemocap_line(name: str, label: str) -> str:
    return f"[6.2901 - 8.2357]\t{name}\t{label}\t[2.5000, nan, 2.5000]\n"


def iemocap(root: pathlib.Path) -> pathlib.Path:
    """5 sessions x 4 dialogues x 2 speakers x 7 labels."""
    for session, kind in itertools.product("12345", IEMOCAP_DIALOGUES):
        dialogue = f"Ses0{session}{kind}"
        folder = root / "IEMOCAP_full_release" / f"Session{session}"
        text = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        for sex, (turn, label) in itertools.product("FM", enumerate(IEMOCAP_LABELS)):
            name = f"{dialogue}_{sex}{turn:03d}"
            text += iemocap_line(name, label)
            text += "C-E2:\tNeutral;\t()\nC-F1:\tAnger; Sadness;\t(na\xefve)\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"
            sound(folder / "sentences/wav" / dialogue / f"{name}.wav")
        labels = folder / "dialog/EmoEvaluation"
        write(labels / f"{dialogue}.txt", text.encode("latin-1"))
        write(labels / f"._{dialogue}.txt", b"\0\5\x16\7[0 - 1]\tnothing\tang\t[1]")
        write(labels / f"Categorical/{dialogue}_e2_cat.txt", f"{dialogue}_F000 :Sadness; ()\n")
        write(labels / f"Self-evaluation/{dialogue}_f1_atr.txt", f"{dialogue}_F000 :act 3; :val 3; ()\n")
        write(folder / "sentences/wav" / dialogue / f"._{dialogue}_F000.wav", b"\0\5\x16\7")
        sound(folder / "dialog/wav" / f"{dialogue}.wav", channels=2)
    return root


IMPROV_LABELS = {"A": "A", "H": "X", "S": "N", "N": "O"}  # target: what was heard; of two turns, in one


def improv_names() -> list[tuple[str, str, str, str, str]]:
    """(turn's name, target, heard, session, scenario)."""
    return [
        (
            f"IMPROV-S01{target}-{sex}0{session}-{scenario}-{sex}M0{take}",
            target,
            target if take == 1 else IMPROV_LABELS[target],
            session,
            scenario,
        )
        for session in "123456"
        for sex in "FM"
        for scenario in "PRST"
        for target in "AHSN"
        for take in (1, 2)
    ]


def msp_improv(root: pathlib.Path, *, table: str = "Evalution.txt") -> pathlib.Path:
    """6 sessions x 2 speakers x 4 scenarios x 4 targets x 2 turns, of which one is heard as something else."""
    text = ""
    for name, target, heard, session, scenario in improv_names():
        text += f"UTD-{name}.avi; {heard}; A:2.400000; V:NaN; D:NaN ; N:3.600000;\n"
        text += "20130402_a_1; Sad; Sad,Other-UTD-IMPROV; A:2.000000; V:3.000000; D:NaN; N:4.000000;\n\n"
        folder = root / f"session{session}" / f"S01{target}" / scenario
        sound(folder / f"MSP-{name}.wav", rate=44_100, channels=2 if scenario == "T" else 1)
        write(folder / f"._MSP-{name}.wav", b"\0\5\x16\7")
    write(root / table, text)
    write(root / f"._{table}", b"\0\5\x16\7")
    return root


PODCAST_HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
PODCAST_SPEAKERS = {"Train": (1, 2, 3, 4), "Development": (5, 6), "Test1": (7, 8), "Test2": (9,)}


def podcast_rows() -> list[list[str]]:
    """8 utterances for each speaker, and of half of them nobody knows that."""
    rows = []
    for part, speakers in PODCAST_SPEAKERS.items():
        for speaker, label, take in itertools.product(speakers, "AHSN", (1, 2)):
            name = f"MSP-PODCAST_{speaker:04d}_{'AHSN'.index(label)}{take}.wav"
            who = ["Unknown", "Unknown"] if take == 2 else [str(speaker), "Female" if speaker % 2 else "Male"]
            rows.append([name, label, "4.2", "nan", "", *who, part])
    return rows


def msp_podcast(
    root: pathlib.Path,
    rows: list[list[str]] | None = None,
    *,
    table: str = "Labels/labels_consensus.csv",
    audio: str = "Audios",
) -> pathlib.Path:
    """The table and a sound for each of its rows."""
    rows = podcast_rows() if rows is None else rows
    for row in rows:
        sound(root / audio / row[0])
        write(root / audio / f"._{row[0]}", b"\0\5\x16\7")
    write(root / table, "\ufeff" + PODCAST_HEADER + "".join(",".join(row) + "\n" for row in rows))
    write(root / "Labels/labels_detailed.csv", "FileName,Worker\nx,y\n")
    sound(root / audio / "MSP-PODCAST_test3_0001.wav")  # its label is withheld
    earlier = root / "Previous_releases_information"
    for release, folder in {
        "v1.6": "label/labels_concensus.csv",
        "v1.10": "Labels/labels_consensus.csv",
    }.items():
        write(earlier / "previous_releases_info" / release / folder, PODCAST_HEADER)
    sound(earlier / "files_removed_from_prev_versions/v1.6_removed_files" / rows[0][0])
    sound(earlier / "files_removed_from_prev_versions/v1.6_removed_files/MSP-PODCAST_9999.wav")
    return root
