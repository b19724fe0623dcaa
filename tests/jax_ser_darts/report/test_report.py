"""The report of a made-up grid: tables that agree, figures in both forms, a page that needs nothing else."""

import collections
import io
import itertools
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree

import example
import numpy as np
import pytest
from matplotlib.figure import Figure

from jax_ser_darts.report import cells, figures, html, notes, style, tables
from jax_ser_darts.report.latex import latex
from jax_ser_darts.report.text import text
from jax_ser_darts.scoring.text import aligned


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    html.write(
        folder,
        example.summary(),
        searches=example.searches()[1:],
        trainings=example.trainings(),
        config=example.config(),
    )
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text()


def test_the_page_loads_nothing(page):
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.findall(r'(?:src|href)="(?!#|data:,)[^"]*"|@import|url\((?!#)|https?://', without_names)


def test_one_training_seed_is_noted_where_a_network_has_one():
    summary = example.summary()
    summary["methods"]["svm"] = {**summary["methods"]["random"], "parameters": None, "trainings": 1}
    assert "With one training seed" not in " ".join(notes.about_variances(summary))
    summary["methods"]["first"]["trainings"] = 1
    assert "With one training seed" in " ".join(notes.about_variances(summary))


def test_no_id_comes_twice_and_every_reference_has_its_target(page):
    page = re.sub(r"<script>.*</script>", "", page, flags=re.DOTALL)
    ids = collections.Counter(re.findall(r'\bid="([^"]*)"', page))
    assert [name for name, times in ids.items() if times > 1] == []
    assert {*re.findall(r'href="#([^"]+)"', page), *re.findall(r"url\(#([^)]+)\)", page)} <= set(ids)


def test_every_figure_lies_beside_the_page_in_both_forms(folder, page):
    figures = folder / "figures"
    names = {path.stem for path in figures.iterdir()}
    assert {path.name for path in figures.iterdir()} == {
        f"{n}.{form}" for n in names for form in ("svg", "png")
    }
    for kind in ("normal", "reduction", "sequence"):
        for search in example.searches()[1:]:
            assert {
                f"{what}_{search['method']}_seed_{search['seed']}_fold_0_{kind}"
                for what in ("cell", "alphas")
            } <= names
    for method in example.RIGHT:
        assert f"confusion_{method}" in names
    for path in figures.glob("*.svg"):
        xml.etree.ElementTree.parse(path)
    for name in re.findall(r"figures/(\w+)</span>", page):
        assert name in names


def test_the_page_has_every_number_of_the_tables(page):
    summary = example.summary()
    for table in (
        tables.scores,
        tables.seeds,
        tables.tests,
        tables.costs,
        tables.variances,
        tables.agreement,
    ):
        for row in table(summary):
            for cell in row:
                assert f">{cell}<" in page


def test_the_alphas_of_the_slider_are_those_of_the_search(page):
    data = json.loads(re.search(r'id="alphas-data">(.*?)</script>', page, re.DOTALL)[1])
    assert [slider["name"] for slider in data] == [
        f"{search['method']}, seed {search['seed']}, fold 0" for search in example.searches()[1:]
    ]
    sequence = data[0]["kinds"]["sequence"]
    assert sequence["operations"] == list(example.SEQUENCE)
    assert sequence["edges"][-1] == "0 → 1"
    assert [len(slider["kinds"]["sequence"]["weights"]) for slider in data] == [
        example.STOP["epoch"] + 1,
        example.EPOCHS,
        example.EPOCHS,
    ]
    assert [slider["taken"] for slider in data] == [example.STOP["genotype_epoch"], *[example.EPOCHS - 1] * 2]
    for weights in sequence["weights"]:
        assert all(abs(sum(row) - 1000) <= len(row) for row in weights)
    chosen = [
        [sequence["edges"][row], sequence["operations"][column]] for row, column in sequence["chosen"][-1]
    ]
    names = ("c-2", "c-1", "0")
    expected = [
        [f"{names[source]} → {i}", operation]
        for i, node in enumerate(example.SEQUENCE_CELL)
        for operation, source in node
    ]
    assert chosen == expected


def test_the_page_has_what_each_job_was_run_with(page):
    assert "<dt>20 job(s)</dt><dd>a machine; commit fedcba; Python 3.11, jax 0.10.2" in re.sub(
        r"\n", "", page
    )
    assert "<dt>2 job(s)</dt><dd>nothing is known" in page


def test_a_search_that_was_stopped_has_the_reason(page):
    sentence = "Stopped early, after epoch 7: the dominant eigenvalue grew. The cells are those of epoch 3."
    assert page.count("Stopped early") == page.count(sentence) == 1
    search = example.searches()[1]
    search["genotype_epoch"] = search["stopped"]["epoch"]
    assert html.ending(search).endswith("grew. The cells are those of this epoch.")


def test_cells_that_were_chosen_by_perturbation_are_not_read_off_an_epoch():
    stopped, *_ = (search for search in example.searches() if search["stopped"])
    chosen = {**stopped, "by_perturbation": True, "genotype_epoch": stopped["stopped"]["epoch"]}
    perturbed = "The cells were then chosen by perturbation of the supernet, not by the alphas."
    assert html.ending(chosen).endswith(f"grew. {perturbed}")
    assert html.ending({**chosen, "stopped": None}) == perturbed
    assert [slider["read_off"] for slider in html.alphas([stopped, chosen])] == [True, False]


def test_a_search_that_was_stopped_shows_the_choices_of_the_epoch_that_was_taken(folder, tmp_path):
    """The pictures of one that ended there."""
    search = example.searches()[1]
    short = {**search, "epochs": search["epochs"][: search["genotype_epoch"] + 1], "stopped": None}
    with style.settings():
        html.choices(tmp_path, short)
    files = sorted(tmp_path.glob("*.svg"))
    assert len(files) == 6
    for path in files:
        assert path.read_text() == (folder / "figures" / path.name).read_text()


def test_the_eigenvalue_is_drawn_where_it_was_measured_with_the_epochs_that_were_taken():
    (axes,) = figures.eigenvalue(example.summary(), example.searches()).axes
    assert axes.get_legend_handles_labels()[1] == ["first"]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    taken = [float(dot.get_xdata()[0]) for dot in dots]
    assert taken == [example.EPOCHS, example.STOP["genotype_epoch"] + 1]
    assert [float(dot.get_ydata()[0]) for dot in dots] == pytest.approx([0.1 * 1.1**7, 0.1 * 2.0**2])
    without = [search for search in example.searches() if search["method"] != "first"]
    assert figures.eigenvalue(example.summary(), without) is None


def test_an_eigenvalue_that_was_not_finite_leaves_a_gap():
    searches = example.searches()[:1]
    searches[0]["epochs"][3]["eigenvalue"] = None
    (axes,) = figures.eigenvalue(example.summary(), searches).axes
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [epoch == 3 for epoch in range(example.EPOCHS)]


def test_the_weight_of_an_edge_is_part_of_what_is_shown():
    (search,) = example.searches()[:1]
    for line in search["epochs"]:
        line["betas"] = {"normal": [0.0, 0.0, -99.0, -99.0, 0.0, 0.0, 0.0, 0.0, 0.0]}
    (shown,) = html.alphas([search])
    weights = shown["kinds"]["normal"]["weights"][-1]
    assert [sum(row) for row in weights[2:5]] == pytest.approx([0, 0, 1000], abs=5)
    assert [sum(row) for row in weights[5:]] == pytest.approx([250] * 4, abs=5)


@pytest.mark.parametrize("name", ["page.png", "cell.png", "cell.svg", "cell.pdf"])
def test_a_disk_that_a_figure_fills_is_named(small_disk, name):
    path = small_disk.folder / name
    small_disk.fill()
    with pytest.raises(OSError, match="No space left on device; make space and start again") as caught:
        style.save(Figure(), path.parent, "page") if name == "page.png" else style.write(Figure(), path)
    assert caught.value.filename == str(path)


def test_names_are_escaped(tmp_path):
    summary = example.summary()
    summary["corpus"] = "<script>alert(1)</script>"
    html.write(tmp_path, summary, searches=[], trainings={}, config=example.config())
    page = (tmp_path / "report.html").read_text()
    assert "<script>alert" not in page
    assert "Alphas, epoch by epoch" not in page, "without a search there are none"


@pytest.mark.parametrize("inputs", [("c-2", "c-1"), ("in",)])
def test_any_cell_is_drawn_with_all_its_operations(inputs):
    cell = [[["conv", 0]], [["skip_connect", 1], ["lstm_9", 0], ["max_pool_3x3", len(inputs)]]]
    figure = cells.draw(cell, inputs=inputs)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("out") == 1
    assert {"conv", "skip_connect", "lstm_9", "max_pool_3x3", *inputs, "0", "1"} <= set(texts)


@pytest.mark.parametrize(
    ("p_values", "sentence"),
    [
        ([0.9] * 6, "no two methods differ by corrected test and interval, in 6 pairs"),
        ([0.01, 0.9, 0.9, 0.9, 0.9, 0.9], "above first at a corrected p of at most 0.05"),
        (
            [0.9, 0.9, 0.9, 0.01, 0.9, 0.9],
            "1 of 6 pairs differ by corrected test and interval, none of them with it",
        ),
    ],
)
def test_the_headline_claims_what_the_tests_do(p_values, sentence):
    summary = example.summary()
    for test, p in zip(summary["tests"], p_values, strict=True):
        test.update(p_holm=p, differs=p <= 0.05)
    assert sentence in html.headline(summary)
    assert html.headline(summary).startswith(
        "second has the highest UA of 4 methods on these test speakers, 0.750"
    )


@pytest.mark.parametrize(("p", "shown"), [(0.0312, "0.0312"), (2e-5, "< 0.0001"), (1.0, "1.0000")])
def test_no_p_value_is_shown_as_0(p, shown):
    assert tables.p_text(p) == shown


def test_captions_have_what_their_table_needs():
    """The test and its limits below the tests, what RI is over below the scores, of a part of a grid too."""
    summary = example.summary()
    summary["left_out"] = [
        {"method": "x", "done": 3, "jobs": 9, "first": "search x seed 0 fold 1", "error": "50 %\nand more"}
    ]
    scores, tests, variances, agreement, costs = re.findall(r"\\caption\{(.*)\}", latex(summary))
    assert "RI is the relative improvement" in scores
    assert r"not search x seed 0 fold 1 (50 \%)" in scores
    assert "sign-flip" in tests
    assert "Holm" in tests
    sizes = "search or search (1), search or random (2), search or baseline (2), others (1)"
    assert f"of one question: {sizes}." in tests
    assert re.search(r"With 4 speakers no difference .*, in: search or search, .*, others\.", tests)
    assert "there was one alone" in variances
    assert "learning rate of the weights" in agreement
    assert "medians of seconds" in costs


def test_dots_of_the_cost_can_be_told_apart_however_many_methods_there_are():
    names = [f"method_{i}" for i in range(2 * len(style.COLOURS))]
    looks = {(style.colours(names)[name], style.markers(names)[name]) for name in names}
    assert len(looks) == len(names)


@pytest.mark.parametrize("spread", [1.02, 1.5, 3.0, 5.0, 10.0, 40.0, 1000.0, 1e5])
def test_figures_of_cost_can_be_read_however_far_they_lie_apart(spread):
    summary = example.summary()
    for i, method in enumerate(summary["methods"].values()):
        share = spread ** (i / (len(summary["methods"]) - 1))
        method.update(
            search_seconds=None, train_seconds=170 * share, parameters=175_048 * share, flops=36.4e6 * share
        )
    figure = figures.cost(summary)
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        labels = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
        assert len(labels) >= 2
        boxes = [label.get_window_extent() for label in labels]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_the_rate_that_the_second_orders_term_is_proportional_to_is_drawn_where_it_is_known():
    searches = example.searches()
    *_, rates = figures.orders(example.summary(), searches).axes
    (line,) = rates.lines
    whole = max((search["epochs"] for search in searches if search["method"] == "second"), key=len)
    assert list(line.get_ydata()) == [epoch["learning_rate"] for epoch in whole]
    for search in searches:
        for epoch in search["epochs"]:
            del epoch["learning_rate"]
    assert len(figures.orders(example.summary(), searches).axes) == 2


def test_few_clusters_decide_nothing_and_the_notes_have_it():
    summary = example.summary()
    assert any("no difference can reach" in note for note in notes.notes(summary))
    summary["test"]["smallest_p"] = 1e-5
    assert not any("no difference can reach" in note for note in notes.notes(summary))


def test_a_part_of_a_grid_is_not_taken_for_the_whole():
    summary = example.summary()
    assert not any("whole grid" in note for note in notes.notes(summary))
    summary["left_out"] = [
        {"method": "implicit", "done": 3, "jobs": 9, "first": "search implicit seed 0 fold 1", "error": None}
    ]
    assert "implicit: 3 of 9 jobs are done, and not search implicit seed 0 fold 1." in text(summary)
    assert "whole grid" in latex(summary)


def test_latex_has_the_same_rows_and_escapes():
    written = latex(example.summary())
    assert written.count(r"\begin{tabular}") == written.count(r"\end{tabular}") == 5
    assert r"cnn\_lstm\_matched" in written
    assert not re.search(r"(?<!\\)[_%](?!.*booktabs)", written.replace("% \\usepackage", ""))
    for line in written.splitlines():
        if line.endswith(r"\\") and "textbf" not in line:
            assert line.count("&") in (3, 5, 6, 7)


def test_a_kind_of_cell_that_only_some_methods_search_is_shown_for_these():
    searches = example.searches()
    for search in searches:
        for line in search["epochs"] if search["method"] == "first" else ():
            del line["alphas"]["sequence"]
    axes = figures.collapse(example.summary(), searches).axes
    labels = {panel.get_title(): panel.get_legend_handles_labels()[1] for panel in axes}
    assert labels["normal cell: skip connections"] == ["first", "second"]
    assert labels["sequence cell: skip connections"] == ["second"]


@pytest.mark.parametrize("table", [tables.scores, tables.seeds, tables.costs])
def test_text_is_aligned(table):
    lines = aligned(table(example.summary())).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_the_text_has_every_table_and_the_confusions_of_all_methods():
    summary = example.summary()
    written = text(summary)
    for table in (
        tables.scores,
        tables.seeds,
        tables.tests,
        tables.variances,
        tables.agreement,
        tables.costs,
    ):
        assert aligned(table(summary)) in written
    for name in example.RIGHT:
        assert f"Confusion of {name}, % of the true class (rows)" in written
        first = summary["methods"][name]["shares"][0][0]
        assert tables.interval({key: 100 * value for key, value in first.items()}, 0) in written


def test_each_seed_has_a_row_and_several_have_their_mean():
    rows = [row[0] for row in tables.seeds(example.summary())]
    assert [name for name in rows if name.startswith("random")] == [
        *(f"random, draw {r}, seed {s}" for r in range(3) for s in range(2)),
        "random, mean of 3 (deviation)",
    ]
    assert [name for name in rows if name.startswith("cnn")] == [
        "cnn_lstm_matched, seed 0",
        "cnn_lstm_matched, seed 1",
        "cnn_lstm_matched, mean of 2 (deviation)",
    ]
    summary = example.summary()
    for method in summary["methods"].values():
        method.update(searches=1, trainings=1, seeds=method["seeds"][:1])
    assert [row[0] for row in tables.seeds(summary)][1:] == tables.ranked(summary)
    summary["folds"] = summary["folds"][:1]
    assert "By seed" not in text(summary), "it would be the first table again"


def test_the_notes_warn_of_made_up_speech_absent_classes_and_a_search_beside_nothing():
    summary = example.summary()
    written = " ".join(notes.about_scores(summary))
    assert "SYNTHETIC speech, which says nothing about people" in written
    assert "240 test utterances, chance UA 0.250" in written
    assert "baselines.random" not in written
    summary["synthetic"], summary["absent_classes"] = False, ["happy"]
    del summary["methods"]["random"]
    for method in summary["methods"].values():
        method["ri"] = None
    written = " ".join(notes.about_scores(summary))
    assert "SYNTHETIC" not in written
    assert "UA and F1 are over 3 classes: no utterance of happy." in written
    assert "--config.baselines.random=3 trains three" in written
    left_out = {"method": "random", "done": 1, "jobs": 2, "first": "train random", "error": None}
    summary["left_out"] = [left_out]
    assert "baselines.random" not in " ".join(notes.about_scores(summary)), "they are on their way"


def test_the_notes_have_what_was_cut_left_out_or_looks_wrong_in_the_corpus():
    summary = example.summary()
    before = notes.notes(summary)
    summary["soundness"] = ["5 of 9 utterances are longer"]
    assert set(notes.notes(summary)) - set(before) == {"5 of 9 utterances are longer."}


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="no chromium to open the report in: apt-get install chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_a_complaint(folder, page, tmp_path, scheme):
    """The page as it stands, with someone who moves the slider and takes another search."""
    user = """<script>
    const choose = (id, value, event) => { const e = document.getElementById(id); e.value = value;
      e.dispatchEvent(new Event(event)); };
    choose("which", "1", "change");
    choose("epoch", "2", "input");
    document.title = getComputedStyle(document.body).backgroundColor;
    </script>"""
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", f"{user}</body>"))
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path}/user", "--dump-dom", "--virtual-time-budget=2000"]
    command += ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    done = subprocess.run(
        [*command, f"file://{path}"], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    assert f"epoch 2 of {example.EPOCHS}" in done.stdout
    assert done.stdout.count('class="chosen"') == 6 + 6 + 4
    assert ("rgb(20, 23, 27)" if scheme == "dark" else "rgb(255, 255, 255)") in done.stdout


@pytest.mark.skipif(BROWSER is None, reason="no chromium to print the report with: apt-get install chromium")
def test_it_is_printed_on_several_sheets_of_a4(folder, tmp_path):
    """The size is the page's own: a browser's is that of its country."""
    path = tmp_path / "report.pdf"
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/user"]
    command += [f"--print-to-pdf={path}", f"file://{folder / 'report.html'}"]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    sheets = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", path.read_bytes())
    assert len(sheets) > 3
    assert {(round(float(x)), round(float(y))) for x, y in sheets} == {(595, 842)}


def test_a_class_between_dollars_is_a_name_and_no_mathematics():
    with style.settings():
        figure = figures.confusion(["$x^{$", "a$b", r"\$c"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "#123456")
        svg = style.inline(_svg(figure), "x")
    for name in ("$x^{$", "a$b", r"\$c"):
        assert svg.count(f">{name}</text>") == 2, "on both axes, letter by letter"


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg")
    return file.getvalue()
