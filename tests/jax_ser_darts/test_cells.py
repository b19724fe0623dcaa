"""The command on genotype files: checked, compared, drawn."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from jax_ser_darts import cells
from jax_ser_darts.search_space.genotype import random_genotype
from jax_ser_darts.search_space.operations import OPERATIONS
from jax_ser_darts.search_space.sequence_operations import SEQUENCE_OPERATIONS


@pytest.fixture
def files(tmp_path):
    """Two genotypes with a sequence cell, and one without."""
    paths = {}
    for seed, (name, sequence) in enumerate((("one", True), ("other", True), ("seed", False))):
        space = {"sequence_nodes": 4, "sequence_operations": SEQUENCE_OPERATIONS} if sequence else {}
        genotype = random_genotype(np.random.default_rng(seed), nodes=4, operations=OPERATIONS, **space)
        paths[name] = str(tmp_path / f"{name}.json")
        genotype.save(paths[name])
    return paths


def test_a_valid_file_is_shown_and_a_wrong_one_is_named(files, tmp_path, capsys):
    wrong = tmp_path / "wrong.json"
    value = json.loads((tmp_path / "one.json").read_text())
    value["sequence"][1][0] = ["sep_conv_3x3", 0]
    wrong.write_text(json.dumps(value))
    assert cells.main(["check", files["one"], files["seed"]]) == 0
    assert "sequence:  n0 = " in capsys.readouterr().out
    assert cells.main(["check", str(wrong), files["one"]]) == 2
    out, err = capsys.readouterr()
    assert f"error: {wrong}: sequence cell, node 1: operation 'sep_conv_3x3' is not one of lstm_1" in err
    assert files["one"] in out


def test_comparing_says_what_differs_by_lines_and_status(files, capsys):
    assert cells.main(["compare", files["one"], files["one"]]) == 0
    assert capsys.readouterr().out == "no edge differs\n"
    assert cells.main(["compare", files["one"], files["other"]]) == 1
    assert "sequence cell, n" in capsys.readouterr().out
    assert cells.main(["compare", files["one"], "nowhere.json"]) == 2
    assert "no genotype file nowhere.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["one", "seed"])
def test_a_drawing_has_every_edge_of_every_cell(files, tmp_path, name):
    path = tmp_path / "deep" / "cells.svg"
    assert cells.main(["draw", files[name], str(path)]) == 0
    words = [element.text for element in ElementTree.parse(path).iter() if element.text]
    for cell, nodes in json.loads((tmp_path / f"{name}.json").read_text()).items():
        assert f"{cell} cell" in words
        for operation in {operation for node in nodes for operation, _ in node}:
            assert words.count(operation) >= sum(operation == o for node in nodes for o, _ in node)
    first = path.read_bytes()
    assert cells.main(["draw", files[name], str(path)]) == 0
    assert path.read_bytes() == first  # the same genotype, the same file


def test_a_drawing_may_be_a_png_and_nothing_unknown(files, tmp_path, capsys):
    assert cells.main(["draw", files["one"], str(tmp_path / "cells.png")]) == 0
    assert (tmp_path / "cells.png").read_bytes().startswith(b"\x89PNG")
    assert cells.main(["draw", files["one"], str(tmp_path / "cells.doc")]) == 2
    assert "drawings end in .png, .svg, .pdf" in capsys.readouterr().err
