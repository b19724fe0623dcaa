"""A bundle: one folder with all that is needed to use a trained network, and to know what it is.

    bundle.json         format, versions, size and SHA-256 of every other file
    model.safetensors   weights, running averages, normalisation, the front end's arrays
    network.json        the network, classes, feature settings, windows of long recordings, a probe
    provenance.json     corpus, folds, scores, config, versions
    README.md           the model card
    model.stablehlo     waveform -> probabilities for other programs (see artifact.py); may be absent
    model.onnx          the same for ONNX Runtime (see onnx_model.py); may be absent

Reading runs nothing of it: JSON and arrays are parsed and checked against the network that the entries describe, and
what that network would ask of the machine is limited before it is built (limits.py). The hashes show damage, not
forgery: whoever can write the folder can write the hashes.
"""

import dataclasses
import errno
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from data_prep import features
from data_prep.features import FeatureSettings, SettingsError
from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.files import sync_folder, write_json, writing
from jax_ser_darts.models.description import DescriptionError, build, with_reference_kernels
from jax_ser_darts.search_space.genotype import GenotypeError
from jax_ser_darts.serving import frontend, limits
from jax_ser_darts.serving import provenance as provenances
from jax_ser_darts.serving.reading import BundleError, json_object, read

FORMAT = 1
MANIFEST, WEIGHTS, NETWORK = "bundle.json", "model.safetensors", "network.json"
PROVENANCE, CARD, ARTIFACT, ONNX = "provenance.json", "README.md", "model.stablehlo", "model.onnx"
NEEDED, OPTIONAL = (WEIGHTS, NETWORK, PROVENANCE, CARD), (ARTIFACT, ONNX)
_SPARE_FRAMES = 64  # T is rounded up to a multiple; see experiment.FRAMES_MULTIPLE
# Bytes of each file. Real ones have a few thousand, besides provenance (of thousands of speakers) and the last three.
LARGEST = {
    MANIFEST: 2**18,
    NETWORK: 2**20,
    PROVENANCE: 2**23,
    CARD: 2**22,
    WEIGHTS: 2**28,
    ARTIFACT: 2**29,
    ONNX: 2**29,
}
_LARGEST_HEADER = 2**22  # bytes, of the weights' file
_MOST_CLASSES, _LONGEST_NAME = 1024, 200
_VARIABLES, _FRONTEND, _NORMALISATION = "network", "frontend", "normalisation"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A trained network and what it needs, on the host.

    Attributes:
        description: of the network, see `models.description`.
        variables: "params" and, where it has any, "batch_stats": trees of float32 arrays.
        classes: names, in the order of the probabilities.
        settings: of the features.
        frames: T of the network's input, `[B, T, F]`.
        normalisation: of the features.
        arrays: of the front end, see `data_prep.features.arrays`.
        windowing: overlap (share of a window) and silence (dBFS), see `config.bundle`.
        probe: probabilities `[K]` that the network gave for `probe_waveform` when the bundle was made.
        provenance: what is known of the training.
        artifact: bytes of the StableHLO artifact, or None.
        onnx: bytes of the ONNX model, or None.
        digest: SHA-256 of the manifest, as hex digits; "" before it is written.
    """

    description: Mapping[str, Any]
    variables: Mapping[str, Any]
    classes: tuple[str, ...]
    settings: FeatureSettings
    frames: int
    normalisation: Normalisation
    arrays: Mapping[str, np.ndarray]
    windowing: Mapping[str, float]
    probe: tuple[float, ...]
    provenance: Mapping[str, Any]
    artifact: bytes | None = None
    onnx: bytes | None = None
    digest: str = ""

    @property
    def window_samples(self) -> int:
        """Samples of a window: the longest sound that the network takes at once."""
        return frontend.window_samples(self.settings, self.frames)

    @property
    def network(self) -> nn.Module:
        """The network, to be used with `variables`."""
        return build(self.description)

    def weights(self) -> dict[str, Any]:
        """All arrays that `probabilities` needs, as one tree."""
        return {
            _VARIABLES: self.variables,
            _FRONTEND: dict(self.arrays),
            _NORMALISATION: {"mean": self.normalisation.mean, "std": self.normalisation.std},
        }


def probabilities(
    weights: Mapping[str, Any],
    waveform: jax.Array,
    num_samples: jax.Array,
    *,
    network: nn.Module,
    settings: FeatureSettings,
    frames: int,
) -> jax.Array:
    """Waveforms -> probabilities of the classes, in one program.

    Args:
        weights: as `Bundle.weights`.
        waveform: float32 `[B, S]`, S = window_samples, at settings.sampling_rate, full scale at 1.
        num_samples: int32 `[B]`, how many are sound, 1 to S.
        network: see `Bundle.network`.
        settings: of the features.
        frames: T.

    Returns:
        float32 `[B, K]`; each row sums to 1.
    """
    values, num_frames = frontend.features(
        waveform, num_samples, arrays=weights[_FRONTEND], settings=settings, frames=frames
    )
    values = frontend.normalised(values, num_frames, **weights[_NORMALISATION])
    logits, _ = network.apply(weights[_VARIABLES], values, num_frames, train=False)
    return jax.nn.softmax(logits)


def probe_waveform(samples: int, sampling_rate: int) -> np.ndarray:
    """float32 [samples]: a gliding, beating tone that every version of this program makes alike."""
    t = np.arange(samples) / sampling_rate
    pitch = 2 * np.pi * (120 * t + 15 * np.sin(2 * np.pi * 0.7 * t))
    tone = sum(np.sin(k * pitch) / k for k in range(1, 12))
    return (0.1 * tone * (0.55 + 0.45 * np.sin(2 * np.pi * 3.1 * t))).astype(np.float32)


def write_bundle(
    folder: str | os.PathLike, bundle: Bundle, *, card: str, versions: Mapping[str, str]
) -> None:
    """Writes the folder, whole or not at all; an older bundle of this name is replaced.

    Whenever the process is killed, `read_bundle` finds the older bundle or this one.

    Raises:
        BundleError: the folder holds something else.
    """
    folder = pathlib.Path(folder).absolute()
    _recover(folder)
    if folder.exists() and not ((folder / MANIFEST).is_file() or _is_empty(folder)):
        raise BundleError(f"{folder} is not a bundle and not empty: name another folder")
    flat = flax.traverse_util.flatten_dict(bundle.weights(), sep="/")
    # Little-endian float32 in C order is what the format holds, whatever the machine.
    arrays = {name: np.ascontiguousarray(array, "<f4") for name, array in sorted(flat.items())}
    described = {
        "network": dict(bundle.description),
        "classes": list(bundle.classes),
        "features": dataclasses.asdict(bundle.settings),
        "frames": bundle.frames,
        "window_samples": bundle.window_samples,
        "windowing": dict(bundle.windowing),
        "probe": list(bundle.probe),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        new = pathlib.Path(beside, "new")
        new.mkdir()
        _write_bytes(new / WEIGHTS, safetensors.numpy.save(arrays, metadata={"format": str(FORMAT)}))
        write_json(new / NETWORK, described)
        write_json(new / PROVENANCE, dict(bundle.provenance))
        _write_bytes(new / CARD, card.encode())
        for name, content in ((ARTIFACT, bundle.artifact), (ONNX, bundle.onnx)):
            if content is not None:
                _write_bytes(new / name, content)
        files = {path.name: _stamp(path.read_bytes()) for path in sorted(new.iterdir())}
        write_json(new / MANIFEST, {"format": FORMAT, "versions": dict(versions), "files": files})
        _put_in_place(new, folder)
    sync_folder(folder.parent)


def _put_in_place(new: pathlib.Path, folder: pathlib.Path) -> None:
    """Renames; an older bundle waits beside until the new one is there."""
    old = _beside(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)  # a writer was killed while it removed this
        os.replace(folder, old)
    try:
        os.replace(new, folder)
    except OSError as error:
        _recover(folder)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise BundleError(f"another process is writing {folder}: try again") from None
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(folder: pathlib.Path) -> pathlib.Path:
    return folder.with_name(f".{folder.name}.old")


def _recover(folder: pathlib.Path) -> None:
    """Puts an older bundle back whose writer was killed between its renames."""
    if not folder.exists() and _beside(folder).exists():
        os.replace(_beside(folder), folder)


def read_bundle(folder: str | os.PathLike) -> Bundle:
    """Reads and checks a bundle.

    Raises:
        BundleError: no bundle, one of another format, damaged, or with parts that do not fit together.
    """
    folder = pathlib.Path(folder).expanduser().absolute()
    folder = folder if folder.exists() or not _beside(folder).exists() else _beside(folder)
    manifest_bytes = read(folder / MANIFEST, largest=LARGEST[MANIFEST])
    manifest = json_object(manifest_bytes, folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{folder}: bundle format {manifest.get('format')!r}, this version reads {FORMAT}: export it again, or "
            f"install the version of jax_ser_darts that made it ({_made_by(manifest)})"
        )
    contents = _checked_files(folder, manifest)
    try:
        return dataclasses.replace(
            _assemble(contents, folder), digest=hashlib.sha256(manifest_bytes).hexdigest()
        )
    except (DescriptionError, GenotypeError, SettingsError) as error:
        raise BundleError(f"{folder / NETWORK}: {error}") from error


def _assemble(contents: Mapping[str, bytes], folder: pathlib.Path) -> Bundle:
    where = folder / NETWORK
    described = json_object(contents[NETWORK], where)

    def entry(name: str, kind: type) -> Any:
        if not isinstance(described.get(name), kind) or isinstance(described.get(name), bool):
            raise BundleError(f"{where}: {name!r} is missing or not a {kind.__name__}")
        return described[name]

    classes = entry("classes", list)
    if not 2 <= len(classes) <= _MOST_CLASSES or not all(map(_is_name, classes)):
        raise BundleError(f"{where}: the classes must be 2 to {_MOST_CLASSES} names: {str(classes)[:200]}")
    if len(set(classes)) < len(classes):
        raise BundleError(f"{where}: the classes must be all different: {str(classes)[:200]}")
    limits.check_features(entry("features", dict))
    settings = FeatureSettings.from_mapping(described["features"])
    frames = entry("frames", int)
    if not 1 <= frames <= settings.num_frames(settings.max_samples) + _SPARE_FRAMES:
        raise BundleError(f"{where}: {frames} frames do not go with {settings.seconds:g} s of sound")
    limits.check_window(settings, frames)
    description = entry("network", dict)
    network = build(description)
    if network.classes != len(classes):
        raise BundleError(f"{where}: a network of {network.classes} classes, and {len(classes)} names")
    windowing = entry("windowing", dict)
    check_windowing(windowing, where=str(where))
    probe = entry("probe", list)
    if len(probe) != len(classes) or not all(isinstance(value, float) for value in probe):
        raise BundleError(f"{where}: the probe must have a probability for each of {len(classes)} classes")
    provenance = json_object(contents[PROVENANCE], folder / PROVENANCE)
    provenances.check(provenance, classes=classes, where=str(folder / PROVENANCE))
    tree = _weights(contents[WEIGHTS], folder / WEIGHTS, network=network, settings=settings, frames=frames)
    return Bundle(
        description=description,
        variables=tree[_VARIABLES],
        classes=tuple(classes),
        settings=settings,
        frames=frames,
        normalisation=Normalisation.from_json(tree[_NORMALISATION]),
        arrays=tree[_FRONTEND],
        windowing=windowing,
        probe=tuple(probe),
        provenance=provenance,
        artifact=contents.get(ARTIFACT),
        onnx=contents.get(ONNX),
    )


def check_windowing(windowing: Mapping[str, Any], *, where: str) -> None:
    """Whether overlap and silence are in range.

    Raises:
        BundleError: they are not.
    """
    limits = {"overlap": (0.0, 0.9), "silence": (-120.0, 0.0)}
    for name, (low, high) in limits.items():
        value: Any = windowing.get(name)
        if type(value) not in (int, float) or not low <= value <= high:
            raise BundleError(f"{where}: {name} = {value!r} must be a number from {low:g} to {high:g}")


def expected_shapes(
    *, network: nn.Module, settings: FeatureSettings, frames: int
) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array of a bundle's weights; nothing is computed.

    Raises:
        BundleError: the network is too large, see limits.py.
    """
    inputs = (
        jax.ShapeDtypeStruct((1, frames, settings.coefficients), jnp.float32),
        jax.ShapeDtypeStruct((1,), jnp.int32),
    )
    plain = with_reference_kernels(network)
    init = lambda *a: plain.init(jax.random.key(0), *a, train=False)
    trace, variables = jax.make_jaxpr(init, return_shape=True)(*inputs)
    limits.check_network(trace, variables)
    tree = {
        _VARIABLES: variables,
        _FRONTEND: features.array_shapes(settings),
        _NORMALISATION: dict.fromkeys(("mean", "std"), (settings.coefficients,)),
    }
    flat = flax.traverse_util.flatten_dict(tree, sep="/")
    return {name: tuple(getattr(leaf, "shape", leaf)) for name, leaf in flat.items()}


def _weights(
    content: bytes, path: pathlib.Path, *, network: nn.Module, settings: FeatureSettings, frames: int
) -> dict[str, Any]:
    if int.from_bytes(content[:8], "little") > _LARGEST_HEADER:
        raise BundleError(f"{path}: no safetensors file (its header is too large)")
    try:
        arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{path}: no safetensors file ({error})") from error
    try:
        expected = expected_shapes(network=network, settings=settings, frames=frames)
    except (TypeError, ValueError, ZeroDivisionError) as error:  # whatever a layer says of a size
        raise BundleError(f"{path.with_name(NETWORK)}: no such network can be built ({error})") from error
    differences = [
        f"  {name}: {arrays[name].dtype.name}{list(arrays[name].shape) if name in arrays else ''}"
        if name in arrays
        else f"  {name}: absent"
        for name in sorted({*arrays, *expected})
        if name not in arrays or arrays[name].dtype != np.float32 or arrays[name].shape != expected.get(name)
    ]
    if differences:
        raise BundleError(
            f"{path} does not hold the weights of the network in {NETWORK}:\n" + "\n".join(differences[:10])
        )
    if bad := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise BundleError(f"{path}: not finite: {', '.join(bad[:10])}")
    if not (arrays[f"{_NORMALISATION}/std"] > 0).all():
        raise BundleError(f"{path}: a standard deviation of the normalisation is not above 0")
    return flax.traverse_util.unflatten_dict(arrays, sep="/")


def _checked_files(folder: pathlib.Path, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of every file that the manifest lists, after a comparison with its hash."""
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) - {*NEEDED, *OPTIONAL} or set(NEEDED) - set(files):
        raise BundleError(
            f"{folder / MANIFEST}: it must list {', '.join(NEEDED)}, and may list {' and '.join(OPTIONAL)}"
        )
    contents = {}
    for name, stamp in files.items():
        content = read(folder / name, largest=LARGEST[name])
        if _stamp(content) != stamp:
            raise BundleError(
                f"{folder / name} is not the file that was exported (its SHA-256 is another): copy the bundle again"
            )
        contents[name] = content
    return contents


def _made_by(manifest: Mapping[str, Any]) -> str:
    versions = manifest.get("versions")
    return str(versions.get("jax_ser_darts", "unknown") if isinstance(versions, dict) else "unknown")[:40]


def _is_name(value: Any) -> bool:
    return (
        isinstance(value, str) and bool(value.strip()) and value.isprintable() and len(value) <= _LONGEST_NAME
    )


def _is_empty(folder: pathlib.Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _stamp(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _write_bytes(path: pathlib.Path, content: bytes) -> None:
    with writing(path), path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
