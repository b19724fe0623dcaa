"""The whole job from Python: a config and a workdir -> records, genotypes, networks, scores, a bundle.

    from jax_ser_darts import Run

    run = Run("ravdess:quick", "runs/ravdess", {"data.source": "RAVDESS_FOLDER"})
    report = run.all()                       # prepare, search, train and evaluate; resumes where it was stopped
    print(report.text)
    report.summary["methods"]["second"]["ua"]
    run.export("bundle")

`main.py` is its command line.
"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import logging

from data_prep import functionals
from data_prep.beam import Beam
from data_prep.prepare import prepare
from jax_ser_darts import checks, config_files, plan
from jax_ser_darts.data import records
from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import Experiment, check_devices, records_root, set_up
from jax_ser_darts.files import see
from jax_ser_darts.grid import driver, jobs
from jax_ser_darts.grid.board import JobError
from jax_ser_darts.grid.jobs import Job
from jax_ser_darts.grid.worker import network_designs
from jax_ser_darts.report import outputs
from jax_ser_darts.report.results import Results
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.checksums import checked
from jax_ser_darts.rundir.environment import code, environment
from jax_ser_darts.rundir.manifest import check_manifest, lock_workdir, write_about, write_manifest
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import Genotype
from jax_ser_darts.serving import domain, export
from jax_ser_darts.settings import Settings, convert
from jax_ser_darts.training.train import read_network

MODES = ("prepare", "search", "train", "evaluate", "all", "compare", "export", "plan")
ALONE = ("export", "plan")  # modes of one process


@dataclasses.dataclass(frozen=True)
class Report:
    """What a run comes to.

    Attributes:
        text: the tables.
        summary: everything that the tables are made of, as report/summary.json has it.
        folder: of the tables and the page, report.html.
    """

    text: str
    summary: Mapping[str, Any]
    folder: pathlib.Path


class Run:
    """A config applied to a workdir; each method is a mode, and resumes where an earlier run was stopped.

    Args:
        config: NAME[:VARIANT] of a packaged config, or FILE[:VARIANT]; a ConfigDict; or settings.
        workdir: the folder of everything that the run writes.
        changes: settings by name, such as {"search.epochs": 10}, as the flag `--config.search.epochs=10`.
        beam: the pipeline whose workers compute features; None is this machine.

    Raises:
        ConfigError: the settings cannot work.
    """

    def __init__(
        self,
        config: str | Mapping[str, Any] | Settings,
        workdir: str | os.PathLike[str],
        changes: Mapping[str, Any] | None = None,
        *,
        beam: Beam | None = None,
    ):
        loaded = config_files.load(config) if isinstance(config, str) else config
        settings = loaded if isinstance(loaded, Settings) else convert.resolve(loaded)
        self.settings = checks.check(convert.replaced(settings, changes or {}))
        self.workdir = pathlib.Path(workdir).expanduser()
        self._beam = beam
        self._records: pathlib.Path | None = None

    def prepare(self) -> pathlib.Path:
        """The records of the corpus, made where they are missing; returns their folder.

        Raises:
            UserError: of the corpus; every file that cannot be used is named.
        """
        self._check("prepare")
        return self._prepared()

    def search(self) -> dict[Job, Genotype]:
        """Every search of the config, and what it found."""
        done = self._do("search")
        return {job: genotypes.load(checked(job.folder(self.workdir) / layout.GENOTYPE_FILE)) for job in done}

    def train(self) -> dict[Job, Mapping[str, Any]]:
        """Every network of the config, trained from scratch, and its network.json; searches must be done."""
        done = self._do("train")
        return {job: read_network(job.folder(self.workdir)) for job in done if job.kind == jobs.TRAIN}

    def evaluate(self) -> Report:
        """The trained networks' predictions of the test speakers, and the report."""
        return self._report("evaluate")

    def all(self) -> Report:
        """Prepares, searches, trains and evaluates.

        Raises:
            JobError: jobs failed; methods that are whole have a report.
        """
        return self._report("all")

    def export(self, folder: str | os.PathLike[str] | None = None) -> pathlib.Path:
        """Writes one trained network, see config.bundle, as a bundle; returns its folder, WORKDIR/bundle by default."""
        self._check("export")
        with self._locked() as experiment:
            return export.export(
                experiment,
                network_designs(experiment),
                pathlib.Path(folder or self.workdir / "bundle").expanduser(),
            )

    def plan(self, memory: float = 0.0) -> str:
        """The memory that the run will take of each device, as a table.

        Args:
            memory: GiB of one device; 0 is what the device reports.
        """
        self._check("plan")
        return plan.plan(self.settings, memory=memory)

    def evaluate_bundle(self, bundle: str | os.PathLike[str]) -> str:
        """A bundle's scores on the config's corpus beside its own, as text."""
        self._check("evaluate", bundle=True)
        return domain.check(self.settings, pathlib.Path(bundle).expanduser(), self.workdir)

    def mode(self, mode: str, *, bundle: str | None = None, memory: float = 0.0) -> str:
        """Does one of MODES; returns what it has to show.

        Args:
            mode: which.
            bundle, memory: as in the flags of `main`.
        """
        if bundle and mode not in ("evaluate", "export"):
            raise ConfigError(f"--bundle is for --mode=export or evaluate, not {mode}")
        if mode == "prepare":
            return f"Records: {self.prepare()}"
        if mode == "search":
            found = self.search().items()
            return "\n\n".join(f"Genotype of {job.name}:\n{genotype}" for job, genotype in found)
        if mode == "train":
            return f"Trained: {len(self.train())} networks"
        if mode == "export":
            return f"Bundle: {self.export(bundle)}"
        if mode == "plan":
            return self.plan(memory)
        if bundle:
            return self.evaluate_bundle(bundle)
        report = self._report(mode)
        return f"{report.text}\n\nThe report: {report.folder / 'report.html'}"

    def _check(self, mode: str, *, bundle: bool = False) -> None:
        """What can be known before any work.

        Raises:
            UserError: it cannot be done so.
        """
        settings = self.settings
        self._agree(mode, bundle=bundle)
        if settings.train.genotype and mode not in ("prepare", "search") and not bundle:
            genotypes.load(settings.train.genotype)
        workers = settings.grid.workers if mode in jobs.MODES else 1
        alone = mode in ALONE or bundle or workers > 1 or settings.baselines.svm
        if hosts.count() > 1 and (alone or _needs_one_process(settings)):
            raise ConfigError(
                "several processes do not share the SVM, search.eigenvalue, search.perturbation, grid.workers, "
                f"--bundle, nor --mode={', '.join(ALONE)}: start one"
            )
        if bundle or mode == "plan":
            return
        if workers == 1:  # the processes of several look at their own devices: this one must leave them alone
            check_devices(settings)
        check_manifest(settings, self.workdir)
        if settings.baselines.svm and mode not in ("prepare", "search", "export"):
            functionals.check_installed()

    def _agree(self, mode: str, *, bundle: bool) -> None:
        """Several processes are of one run: the same job, settings and program.

        Raises:
            HostsError: they are not.
        """
        if hosts.count() > 1:
            settings = {f"config.{name}": value for name, value in convert.flat(self.settings).items()}
            job = {"--mode": mode, "--workdir": str(self.workdir.absolute()), "--bundle": bundle}
            hosts.agree({**job, **code(self.settings.extensions), **settings})

    def _prepared(self) -> pathlib.Path:
        """The records' folder; of several processes the first one makes them.

        Raises:
            HostsError: the others see another corpus.
        """
        if self._records is None:
            if not hosts.is_primary():
                hosts.barrier("prepared")
            folder = prepare(
                data=self.settings.data,
                features=self.settings.features,
                records=records_root(self.settings, self.workdir),
                beam=self._beam,
                show_counts=hosts.is_primary(),
                make=hosts.is_primary(),
            )
            if hosts.is_primary():
                hosts.barrier("prepared")
            hosts.agree({"records of the corpus (config.data) that it sees": folder.parent.name})
            see(folder)
            self._records = folder
        return self._records

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Experiment]:
        """The settings applied to the corpus, while this process holds the workdir."""
        corpus = records.load_records(self._prepared())
        hosts.agree({"content of the corpus": corpus.fingerprint})
        experiment = set_up(self.settings, self.workdir, corpus)
        with lock_workdir(self.workdir):
            write_manifest(self.settings, self.workdir, corpus.fingerprint)
            yield experiment

    def _do(self, mode: str) -> list[Job]:
        self._check(mode)
        with self._locked() as experiment:
            self._write_about(Results.of(experiment))
            return driver.run(experiment, mode, folder=self._prepared())

    def _write_about(self, results: Results) -> None:
        write_about(self.workdir / layout.CORPUS_FILE, results.to_json(), self.workdir)

    def _report(self, mode: str) -> Report:
        self._check(mode)
        folder = self.workdir / layout.REPORT
        with self._locked() as experiment:
            results = Results.of(experiment)
            self._write_about(results)
            try:
                driver.run(experiment, mode, folder=self._prepared())
            except JobError as error:
                with contextlib.suppress(ConfigError):  # no method is whole
                    outputs.write(folder, results, environment=environment(), failed=error.failed)
                    logging.warning("The report is of the methods that are whole: %s", folder / "report.html")
                raise
            if hosts.is_primary():
                outputs.write(folder, results, environment=environment())
            hosts.barrier("reported")
        return Report((folder / "table.txt").read_text().rstrip("\n"), outputs.read_summary(folder), folder)


def _needs_one_process(settings: Settings) -> bool:
    """Whether a search reads batches that it does not share out."""
    variants = (settings.method(method)[1] for method in settings.search.methods)
    return any(search.eigenvalue or search.perturbation for search in variants)
