"""A page to try a bundle: record, or drop a file, and see the emotions over time and the network behind them.

    jax-ser-darts page BUNDLE            # needs: pip install 'jax_ser_darts[page]'

The page serves this machine alone (--host changes that). It asks no other machine for anything, sends no statistics and
keeps no recording: recordings lie in a temporary folder, which is removed when the page is stopped. That of a page that
was killed is removed when the next one is started.
"""

import contextlib
import html
import importlib.util
import ipaddress
import os
import pathlib
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags, logging

from data_prep.audio import AudioError
from jax_ser_darts import commands, extras, predict
from jax_ser_darts.errors import UserError

if TYPE_CHECKING:
    import numpy as np

HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to serve at; another than this machine's lets others in."
)
PORT = flags.DEFINE_integer("port", 7860, "Port to serve at; 0 takes a free one.", 0, 65_535)
MAX_MINUTES = flags.DEFINE_float("max_minutes", 10.0, "Longest recording that is taken.", 0.01, 120.0)
MAX_MEGABYTES = flags.DEFINE_integer("max_megabytes", 64, "Largest file that is taken.", 1, 2_048)
for _name in ("overlap", "silence", "cache"):
    flags.declare_key_flag(_name)

_HAS_LOCKS = importlib.util.find_spec("fcntl") is not None  # Windows has none
_PREFIX, _LOCK = "jax_ser_darts_page.", "lock"  # of the folder of recordings
_HERE = pathlib.Path(__file__).parent
_SECONDS_KEPT = 600  # a recording is removed soon after, even while the page is served


class Page:
    """What the page shows: HTML of a prediction, of a problem, and of the network.

    Args:
        predictor: of the bundle.
        max_seconds: longest recording that is taken.
    """

    def __init__(self, predictor: Any, *, max_seconds: float):
        import jinja2

        from jax_ser_darts.report import style

        self._predictor, self._max_seconds = predictor, max_seconds
        self._colours = style.colours(predictor.classes)
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self._template: Any = environment.get_template("page.jinja").module

    def heading(self) -> str:
        """What the page is for, and how well the network did."""
        scores = self._predictor.bundle.provenance["scores"]["exported"]
        return str(self._template.heading(self._predictor.bundle, scores))

    def prediction(self, path: str | None) -> str:
        """The prediction of a file; None is no file yet."""
        if path is None:
            return str(self._template.waiting())
        from jax_ser_darts.report import style, timeline

        began = time.perf_counter()
        try:
            waveform = self._waveform(path)
            rate = self._predictor.sampling_rate
            prediction = self._predictor.predict(waveform, rate)
        except (AudioError, OSError) as error:
            return str(self._template.problem(_sentence(str(error))))
        with style.settings():
            figure = timeline.draw(waveform, rate, prediction.timeline, colours=self._colours)
            picture = _svg(figure, "timeline")
        shares = sorted((prediction.probabilities or {}).items(), key=lambda item: -item[1])
        seconds = time.perf_counter() - began
        return str(self._template.prediction(prediction, shares, self._colours, picture, seconds))

    def network(self) -> str:
        """The cells as drawings, and what is known of the training."""
        from jax_ser_darts.report import cells, style

        bundle = self._predictor.bundle
        drawings = {}
        with style.settings():
            for name, cell in (bundle.description.get("genotype") or {}).items():
                drawings[name] = _svg(cells.draw(cell), f"cell_{name}")
        return str(self._template.network(bundle, drawings, facts(bundle)))

    def _waveform(self, path: str) -> "np.ndarray":
        """float32 `[samples]` at the network's rate; reads no more than the page takes."""
        import numpy as np

        from jax_ser_darts.serving import sound

        rate = self._predictor.sampling_rate
        blocks, own_rate = sound.decode(path)
        try:
            parts, samples = [], 0
            for part in sound.mono(blocks, rate=own_rate, to=rate):
                parts.append(part)
                samples += len(part)
                if samples > self._max_seconds * rate:
                    raise AudioError(
                        f"is longer than {self._max_seconds / 60:g} minutes, the most that this page takes: cut it, "
                        "give --max_minutes, or use `jax-ser-darts predict`, which takes any length"
                    )
        finally:
            blocks.close()
        return np.concatenate(parts)


def facts(bundle: Any) -> dict[str, str]:
    """What is known of a bundle, for people."""
    corpus, training = bundle.provenance["corpus"], bundle.provenance["training"]
    about = {
        "takes": f"{bundle.window_samples / bundle.settings.sampling_rate:g} s at once, at "
        f"{bundle.settings.sampling_rate:,} Hz, as {bundle.settings.coefficients} {bundle.settings.kind} coefficients"
    }
    about |= {
        "parameters": f"{training['parameters']:,}",
        "method": f"{training['method']}, fold {training['fold']}, seed {training['seed']}",
        "trained on": f"{corpus['name']}: {len(training['speakers']['train'])} of {corpus['speakers']} speakers, "
        f"{corpus['utterances']} utterances in all",
    }
    if corpus["licence"]:
        about["licence of the corpus"] = corpus["licence"]
    if bundle.digest:
        about["bundle"] = f"SHA-256 {bundle.digest[:16]}..."
    return about


def build(page: Page) -> Any:
    """The page as gradio Blocks; nothing of it calls home."""
    import gradio as gr

    with gr.Blocks(
        title="jax_ser_darts", analytics_enabled=False, delete_cache=(_SECONDS_KEPT, _SECONDS_KEPT)
    ) as blocks:
        gr.HTML(page.heading())
        with gr.Row(equal_height=True):
            options: dict[str, Any] = {"type": "filepath", "buttons": [], "min_width": 300}
            voice = gr.Audio(sources="microphone", label="Speak", elem_id="voice", **options)
            file = gr.Audio(sources="upload", label="Or drop a file", elem_id="file", **options)
        shown = gr.HTML(page.prediction(None), elem_id="prediction")
        with gr.Accordion("The network", open=True):
            gr.HTML(page.network(), elem_id="network")
        # A prediction is of the sound that is shown: a new one removes the other.
        for source, other in ((voice, file), (file, voice)):
            source.input(
                lambda path: (page.prediction(path), None),
                source,
                [shown, other],
                api_visibility="private",
                show_progress="minimal",
                show_progress_on=shown,
                trigger_mode="always_last",
            )
    return blocks


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_free(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        OSError: it is taken, or the host is none of this machine's.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tried.bind(address)
        return tried.getsockname()[1]


@contextlib.contextmanager
def recordings_folder() -> Iterator[pathlib.Path]:
    """A folder for recordings, removed at the end; beside it is a file that is locked as long as this process lives."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = pathlib.Path(name)
        (folder / "recordings").mkdir()
        with (folder / "new_lock").open("w") as lock:
            if _HAS_LOCKS:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
                (folder / "new_lock").rename(folder / _LOCK)  # where it is seen, it is locked
            yield folder / "recordings"


def sweep() -> None:
    """Removes the recordings of pages whose process was killed: whose lock nobody holds."""
    if not _HAS_LOCKS:
        return
    import fcntl

    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or a page that lives: it is locked
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)


def run(bundle: str) -> int:
    """Serves until it is interrupted; returns the exit status.

    Raises:
        BundleError: of the bundle.
        UserError: gradio is not installed, or the port is taken.
    """
    extras.check_installed("gradio", "matplotlib")
    try:
        port = check_free(HOST.value, PORT.value)
    except OSError as error:
        raise UserError(
            f"cannot serve at {HOST.value}, port {PORT.value}: {error.strerror}; give another --port or --host"
        ) from error
    sweep()
    with recordings_folder() as recordings:
        # gradio reads these when it is imported; it asks itself whether it serves, which is no matter for a proxy.
        os.environ.update(
            GRADIO_ANALYTICS_ENABLED="False",
            GRADIO_TEMP_DIR=str(recordings),
            HF_HUB_OFFLINE="1",
            HF_HUB_DISABLE_TELEMETRY="1",
            NO_PROXY=",".join(filter(None, [os.environ.get("NO_PROXY"), HOST.value])),
        )
        from jax_ser_darts.devices import compilation
        from jax_ser_darts.serving import predictor as predictors

        compilation.cache_compilations(predict.CACHE.value)
        predictor = predictors.load(
            bundle, overlap=predict.OVERLAP.value, silence=predict.SILENCE_LEVEL.value
        )
        import gradio as gr

        blocks = build(Page(predictor, max_seconds=60 * MAX_MINUTES.value)).queue(
            default_concurrency_limit=1, max_size=16
        )
        if not is_loopback(HOST.value):
            print(
                f"warning: {HOST.value} is not this machine alone: whoever reaches port {port} can send recordings "
                "here, unencrypted and without a password. Browsers lend a page from elsewhere no microphone.",
                file=sys.stderr,
            )
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        blocks.launch(
            server_name=HOST.value,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            inbrowser=False,
            ssr_mode=False,
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            footer_links=[],
            max_file_size=MAX_MEGABYTES.value * 2**20,
            theme=gr.themes.Default(
                font=["system-ui", "Segoe UI", "Roboto", "sans-serif"],
                font_mono=["ui-monospace", "monospace"],
            ),
            css_paths=_HERE / "page.css",
        )
        print(f"http://{_in_url(HOST.value)}:{port} serves {bundle}; Ctrl-C stops it", flush=True)
        stopped.wait()
        blocks.close(verbose=False)
    return 0


def _svg(figure: Any, name: str) -> str:
    import io

    from jax_ser_darts.report import style

    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return style.inline(text.getvalue(), name)


def _sentence(text: str) -> str:
    text = text.rstrip(".")
    return f"This recording {text}." if text[:1].islower() else f"{text}."


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else html.escape(host)


def main(argv: Sequence[str]) -> int:
    """The command; returns the exit status."""
    logging.set_verbosity(logging.WARNING)
    if len(argv) != 2:
        return commands.fail("name one bundle: jax-ser-darts page BUNDLE; see --help", status=2)
    return run(argv[1])


def cli() -> None:
    """Entry point."""
    flags.FLAGS.set_gnu_getopt(True)
    commands.start(main, status=2)


if __name__ == "__main__":
    cli()
