"""The page: the predictor's predictions, clear problems, nothing that leaves the machine; by hand and in a browser."""

import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import soundfile
from small_bundles import BASELINE, make_bundle, make_provenance, speech

from data_prep import demo_corpus
from jax_ser_darts import page as pages
from jax_ser_darts.serving.bundle import write_bundle
from jax_ser_darts.serving.predictor import Predictor

ROOT = pathlib.Path(__file__).parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Runs the command where whoever looks for another machine is named, and does not get there.
GUARDED = """
import runpy, sys

def guard(event, arguments):
    host = {"socket.connect": lambda: arguments[1][0] if isinstance(arguments[1], tuple) else "localhost",
            "socket.getaddrinfo": lambda: arguments[0]}.get(event, lambda: None)()
    host = host.decode() if isinstance(host, bytes) else host
    if host and not (host.startswith("127.") or host in ("localhost", "::1")):
        print("LEFT THE MACHINE:", event, host, flush=True)
        raise OSError("no network")

sys.addaudithook(guard)
runpy.run_module("jax_ser_darts.page", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def predictor():
    return Predictor(make_bundle())


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A folder with a synthetic voice, and what is no speech."""
    folder = tmp_path_factory.mktemp("sounds")
    corpus = demo_corpus.make(folder / "corpus", speakers=1, sentences=1, progress=False)
    shutil.copy(min((corpus / "wav").glob("*.wav")), folder / "voice.wav")
    soundfile.write(folder / "long.flac", np.tile(speech(2.6, rate=44_100)[:, None], 2), 44_100)
    soundfile.write(folder / "too_long.wav", speech(6.5), 16_000)
    soundfile.write(folder / "quiet.wav", np.zeros(12_000), 16_000)
    soundfile.write(folder / "too_large.wav", speech(80.0), 16_000)
    (folder / "broken.wav").write_bytes(b"RIFF, but no more")
    return folder


def shares(html: str) -> dict[str, float]:
    """Class -> per cent, in the page's order."""
    return {
        name: float(share)
        for name, share in re.findall(r'class="name">([^<]*)<.*?class="share">([\d.]+) %', html, re.DOTALL)
    }


@pytest.mark.parametrize("name", ["voice.wav", "long.flac"])
def test_the_page_shows_the_prediction_the_likeliest_first(predictor, sounds, name):
    html = pages.Page(predictor, max_seconds=60).prediction(str(sounds / name))
    expected = predictor.predict_file(sounds / name)
    assert shares(html) == pytest.approx({k: 100 * p for k, p in expected.probabilities.items()}, abs=0.06)
    assert list(shares(html).values()) == sorted(shares(html).values(), reverse=True)
    assert next(iter(shares(html))) == expected.emotion
    assert f"in {len(expected.timeline)} window" in html
    assert 'aria-label="timeline"' in html


def test_real_speech_gets_its_prediction(predictor, ravdess):
    path = min(ravdess.rglob("*.flac"))
    html = pages.Page(predictor, max_seconds=60).prediction(str(path))
    assert next(iter(shares(html))) == predictor.predict_file(path).emotion


def test_what_is_no_speech_gets_a_reason_and_no_emotion(predictor, sounds):
    page = pages.Page(predictor, max_seconds=6)
    assert "silence" in page.prediction(str(sounds / "quiet.wav"))
    for name, reason in {
        "broken.wav": "cannot be decoded",
        "absent.wav": "no such file",
        "too_long.wav": "longer than 0.1 minutes",
    }.items():
        html = page.prediction(str(sounds / name))
        assert 'role="alert"' in html
        assert reason in html
    assert all(not shares(page.prediction(path)) for path in (None, *map(str, sounds.glob("[bq]*.wav"))))


def test_names_of_a_bundle_cannot_bring_anything_into_the_page(predictor, sounds):
    evil = dataclasses.replace(make_bundle(), classes=("<img src=//x>", "<script>", "&"))
    known = make_provenance()
    known["corpus"] |= {"name": "<img src=//y>", "licence": "<b>"}
    bundle = dataclasses.replace(evil, provenance=known)
    page = pages.Page(Predictor(bundle), max_seconds=60)
    for html in (page.heading(), page.prediction(str(sounds / "voice.wav")), page.network()):
        assert not re.search(r"<(img|script|b)\b", html.replace("<b>No prediction.</b>", ""))


def test_the_network_is_drawn_unless_it_was_designed_by_hand(predictor):
    html = pages.Page(predictor, max_seconds=60).network()
    for part in (
        "normal cell",
        "reduction cell",
        "dil_conv_3x3",
        "skip_connect",
        "max_pool_3x3",
        "16,000 Hz",
    ):
        assert part in html
    html = pages.Page(Predictor(make_bundle(network=BASELINE)), max_seconds=60).network()
    assert "designed by hand" in html
    assert "<svg" not in html


def test_loopback_is_this_machine_alone():
    assert all(map(pages.is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(pages.is_loopback, ("0.0.0.0", "::", "192.168.1.4", "example.org")))


def test_a_port_that_is_taken_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            pages.check_free("127.0.0.1", other.getsockname()[1])
    assert pages.check_free("127.0.0.1", 0) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "name one bundle"), (["absent"], "absent"), (["b", "--port=70000"], "--port")],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, arguments, message):
    if arguments == ["absent"] and importlib.util.find_spec("gradio") is None:
        message = "pip install"
    done = subprocess.run(
        [sys.executable, "-m", "jax_ser_darts.page", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(address, folder for temporary files, stop): the command with 0.1 minutes and 1 MB, without a network."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("gradio is not installed: pip install -e '.[page]'")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed: pip install -e '.[browser]'")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    folder = tmp_path_factory.mktemp("served")
    write_bundle(folder / "b", make_bundle(), card="# card", versions={})
    (folder / "tmp").mkdir()
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            GUARDED,
            "b",
            "--port=0",
            "--cache=",
            "--max_minutes=0.1",
            "--max_megabytes=1",
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder / "tmp"),
            "JAX_COMPILATION_CACHE_DIR": str(ROOT / "tests" / ".jax_cache"),
        },
    )

    def stop() -> str:
        server.send_signal(signal.SIGTERM)
        return server.communicate(timeout=60)[0]

    try:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if address := re.match(r"http://\S+", line):
                break
        else:
            pytest.fail(f"the page was not served: {''.join(lines)}")
        yield address[0], folder / "tmp", stop
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_in_a_browser_files_and_the_microphone_get_predictions_and_nothing_leaves_the_machine(
    served, sounds, predictor
):
    from playwright.sync_api import sync_playwright

    address, temporary, stop = served
    asked, faults = set(), []
    microphone = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", *microphone])
        tab = browser.new_page()
        tab.set_default_timeout(60_000)
        tab.on("request", lambda request: asked.add(request.url))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.goto(address)
        tab.wait_for_selector("#network svg")
        assert tab.locator("#network svg").count() == 2

        def drop(name: str, selector: str):
            if tab.locator("#file [aria-label=Clear]").count():
                tab.locator("#file [aria-label=Clear]").click()
                tab.wait_for_selector(".ser-empty")
            tab.set_input_files("#file input[type=file]", sounds / name)
            return tab.wait_for_selector(selector)

        drop("voice.wav", ".ser-prediction svg")
        expected = predictor.predict_file(sounds / "voice.wav")
        assert tab.locator(".ser-prediction h2").inner_text() == expected.emotion
        found = shares(tab.locator("#prediction").inner_html())
        assert found == pytest.approx({k: 100 * p for k, p in expected.probabilities.items()}, abs=0.06)
        assert drop("quiet.wav", ".ser-prediction h2").inner_text() == "silence"
        assert "cannot be decoded" in drop("broken.wav", ".ser-problem").inner_text()
        assert "longer than 0.1 minutes" in drop("too_long.wav", ".ser-problem").inner_text()

        tab.locator("#voice").get_by_role("button", name="Record").click()
        tab.wait_for_timeout(2_500)  # the fake microphone beeps twice a second
        tab.locator("#voice").get_by_role("button", name="Stop").first.click()
        tab.wait_for_selector(".ser-prediction .bars")
        assert tab.locator(".ser-prediction h2").inner_text() in predictor.classes
        tab.wait_for_selector("#file input[type=file]", state="attached")  # the file is gone

        assert "maximum allowed size" in drop("too_large.wav", "[data-testid=toast-body]").inner_text()
        browser.close()
    assert not faults
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()
    assert list(temporary.glob("jax_ser_darts_page.*/*/*.wav"))
    assert "LEFT THE MACHINE" not in stop()
    assert not list(temporary.glob("jax_ser_darts_page.*"))


HOLDS = """
import os, signal, sys
from jax_ser_darts import page
with page.recordings_folder() as folder:
    (folder / "voice.wav").write_bytes(b"a voice")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_recordings_of_a_killed_page_are_swept_and_those_of_another_that_lives_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with contextlib.ExitStack() as stack:
        processes = []
        for _ in range(2):
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            processes.append(
                stack.enter_context(subprocess.Popen([sys.executable, "-c", HOLDS], env=environment, **pipes))
            )
            stack.callback(processes[-1].kill)
        killed, living = processes
        of_killed, of_living = (pathlib.Path(os.fsdecode(one.stdout.readline().strip())) for one in processes)
        (tmp_path / "jax_ser_darts_page.link").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").mkdir()
        pages.sweep()
        assert (of_killed / "voice.wav").exists()
        killed.kill()
        killed.wait()
        pages.sweep()
        assert not of_killed.parent.exists()
        assert (of_living / "voice.wav").exists()
        assert (tmp_path / "elsewhere").exists()
        living.stdin.close()
        assert living.wait() == 0
        assert not of_living.parent.exists()
