"""Where a run's files lie, below its workdir. All rooms ask here.

config.json, .lock                     what the workdir is of, see manifest.py
records/...                            TFRecords, unless data.records says otherwise
functionals.npz                        what the SVM is fitted to
search/METHOD/seed_R/fold_K/           a search: checkpoints, metrics.jsonl, TensorBoard, search.json, genotype.json
train/NETWORK/fold_K/seed_S/           a training: checkpoints, metrics.jsonl, TensorBoard, network.json (svm.json),
                                       predictions.json for the test speakers
train/matched.json                     parameters that the baselines of matched size aim at
.../job.json                           beside each of these results: what the job took, with what it was done, and the
                                       checksums of its files
logs/worker_N.log                      what each of several processes writes
report/results.csv                     a row a network: fold, seeds, UA, WA, F1, size, cost
report/summary.json                    everything that tables and page are made of
report/table.txt, table.tex            the tables
report/report.html                     all of it to look at; figures/ has its figures as SVG and PNG
report/corpus.json                     what has to be known of the corpus, so that all this can be made without it

NETWORK is METHOD/search_R for a network that the search of seed R found, METHOD_N for the Nth random one, and the
method's name for any other.
"""

import pathlib

SEARCH, TRAIN = "search", "train"  # folders of results
JOB_FILE = "job.json"
GENOTYPE_FILE, NETWORK_FILE, PREDICTIONS_FILE = "genotype.json", "network.json", "predictions.json"
SEARCH_FILE, METRICS_FILE, SVM_FILE = "search.json", "metrics.jsonl", "svm.json"
# What the results of a job are read from, beside JOB_FILE. The design is in one of three: of a network found or drawn,
# of a hand-designed one, of an SVM.
JOB_FILES = (
    SEARCH_FILE,
    GENOTYPE_FILE,
    "baseline.json",
    "setup.json",
    SVM_FILE,
    NETWORK_FILE,
    METRICS_FILE,
    PREDICTIONS_FILE,
)
CHECKPOINTS = "checkpoints"
LOGS, REPORT = pathlib.PurePath("logs"), pathlib.PurePath("report")
CORPUS_FILE = REPORT / "corpus.json"
MATCHED_FILE = pathlib.PurePath(TRAIN, "matched.json")
FUNCTIONALS_FILE = pathlib.PurePath("functionals.npz")


def search_folder(workdir: pathlib.Path, method: str, *, seed: int, fold: int) -> pathlib.Path:
    """Of a method's search on the fold of this index, from this seed."""
    return workdir / SEARCH / method / f"seed_{seed}" / f"fold_{fold}"


def train_folder(workdir: pathlib.Path, network: str, *, fold: int, seed: int) -> pathlib.Path:
    """Of a network's training on the fold of this index, from this seed."""
    return workdir / TRAIN / network / f"fold_{fold}" / f"seed_{seed}"


def searched_network(method: str, seed: int) -> str:
    """The name of the network that a search found."""
    return f"{method}/search_{seed}"


def drawn_network(method: str, draw: int) -> str:
    """The name of a random method's network."""
    return f"{method}_{draw}"
