"""Does steps of the authors' code on demand. Started by peer.py under an interpreter that has torch; not imported.

Their classes are used as their search.py and augment.py use them, with or without the sequence cells. Their second
order takes a gradient of all alphas, which fails for those of absent cells: it is shown the others alone.

usage: peer_worker.py FOLDER WHAT SIZES
"""

import json
import os
import pathlib
import sys
import time

CLASSES = 4
SEARCHES = {"first": False, "second": True, "second_differences": True}


def main(folder: str, what: str, sizes: dict) -> None:
    """Predictions each line of standard input by a step."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # their modules print when imported
    sys.path.insert(0, folder)
    os.chdir(folder)
    import torch

    torch.manual_seed(0)
    shape = (sizes["batch"], 1, sizes["frames"], sizes["coefficients"])
    batches = [(torch.randn(shape), torch.randint(0, CLASSES, shape[:1])) for _ in range(2)]
    make = _search if what in SEARCHES else _network
    step = make(torch, what, sizes, batches)
    step()
    print(json.dumps({"torch": torch.__version__}), file=answers, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        step()
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "peak_gb": peak_bytes() / 1e9}), file=answers, flush=True)


def peak_bytes() -> int:
    """Memory that this process had at most."""
    status = pathlib.Path("/proc/self/status")
    if status.is_file():  # on Linux ru_maxrss starts from that of the process which started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # absent on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _search(torch, what, sizes, batches):
    from architect import Architect
    from models.search_cnn import SearchCNNController

    (x, y), (x_val, y_val) = batches
    loss = torch.nn.CrossEntropyLoss()
    joint = sizes["sequence"] != "fixed"
    net = SearchCNNController(
        1,
        sizes["channels"],
        CLASSES,
        sizes["cells"],
        loss,
        sizes["nodes"],
        device_ids=[0],
        n_layers_rnn=sizes["sequence_cells"] if joint else 0,
        n_nodes_rnn=sizes["nodes"],
    )
    architect = Architect(net, 0.9, 3e-4)
    for module in (architect.net, architect.v_net):
        used = [a for name, a in module.named_alphas() if joint or "rnn" not in name]
        module.alphas = lambda used=used: iter(used)
    alphas = list(net.alphas())
    weights_optimiser = torch.optim.SGD(net.weights(), 0.025, momentum=0.9, weight_decay=3e-4)
    alphas_optimiser = torch.optim.Adam(alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def step():
        alphas_optimiser.zero_grad()
        if SEARCHES[what]:
            architect.unrolled_backward(x, y, x_val, y_val, 0.025, weights_optimiser)
        else:
            for a, g in zip(alphas, torch.autograd.grad(net.loss(x_val, y_val), alphas), strict=True):
                a.grad = g
        alphas_optimiser.step()
        weights_optimiser.zero_grad()
        loss(net(x), y).backward()
        torch.nn.utils.clip_grad_norm_(net.weights(), 5.0)
        weights_optimiser.step()

    return step


def _network(torch, what, sizes, batches):
    import genotypes
    from models.augment_cnn import AugmentCNN

    (x, y), _ = batches
    cells = {
        name: [[tuple(edge) for edge in node] for node in cell] for name, cell in sizes["genotype"].items()
    }
    concat = range(2, 2 + len(cells["normal"]))
    genotype = genotypes.Genotype(
        normal=cells["normal"],
        normal_concat=concat,
        reduce=cells["reduction"],
        reduce_concat=concat,
        rnn=[],
        rnn_concat=[],
    )
    net = AugmentCNN(
        sizes["frames"], 1, sizes["channels"], CLASSES, sizes["cells"], False, genotype, n_layers_rnn=0
    )
    net.train(what == "train")
    optimiser = torch.optim.SGD(net.parameters(), 0.025, momentum=0.9, weight_decay=3e-4)
    loss = torch.nn.CrossEntropyLoss()

    def train():
        optimiser.zero_grad()
        loss(net(x)[0], y).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()

    def evaluate():
        with torch.no_grad():
            net(x)

    return train if what == "train" else evaluate


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
