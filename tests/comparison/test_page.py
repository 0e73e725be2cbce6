"""The page and the tables: the verdict first, nothing from outside, every name escaped, every sentence capitalised."""

import copy
import html
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from jaxmlp.comparison import command, figures, record, records, report, store, summary, tables, toy
from jaxmlp.comparison.page import FEWEST_TARGETS, panels, svg, write_page

VOID = {"meta", "link", "br", "img"}


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects text by element."""

    def __init__(self):
        super().__init__()
        self.open, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class", "")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] not in ("style", "script", "title"):
            self.texts.append((*self.open[-1], data))


def curves_of(problems):
    """The toy's curves for every candidate of every problem."""
    return {f"{name}/{key}": values for name in problems for key, values in toy.CURVES.items()}


def page_of(folder, results):
    summaries = {name: summary.summarise(name, problem) for name, problem in results["problems"].items()}
    write_page(folder / "report.html", results, summaries, curves_of(results["problems"]))
    text = (folder / "report.html").read_text()
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return text, reader


@pytest.fixture
def results():
    return copy.deepcopy(toy.RECORD)


def test_the_page_answers_first(tmp_path, results):
    page, _ = page_of(tmp_path, results)
    places = [page.index(part) for part in ("class=verdict", "class=power", "class=strips", "class=matrix", "sortable")]
    assert places == sorted(places)
    assert page.index("sortable") < page.index("Learning curves") < page.index("Small print")


def test_the_page_needs_nothing_from_outside(tmp_path, results):
    page, _ = page_of(tmp_path, results)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<img|<script src", page)
    assert "prefers-color-scheme: dark" in page and "@media print" in page
    assert not re.search(r'(fill|stroke)="#', page)  # colours come from the style alone, light or dark


@pytest.mark.parametrize("count", [1, 2])
def test_headings_come_once_and_sentences_begin_with_a_capital(tmp_path, results, count):
    if count == 2:
        results["problems"]["fashion_mnist"] = results["problems"]["digits"]
    page, reader = page_of(tmp_path, results)
    headings = re.findall(r"<h[1-6]>(.*?)</h", page)
    assert len(headings) == len(set(headings)) >= 8
    for tag, kind, text in reader.texts:
        if tag in ("p", "figcaption", "dd") and kind != "tick" and text.strip():
            # After a mark-up of an option a text goes on; it is checked from its first full stop.
            for sentence in re.findall(r"(?<=[.!?] )(\S)", text):
                assert not sentence.islower(), text
    for start in re.findall(r"<(?:p|figcaption|h\d)[^>]*>([^<])", page):
        assert not start.islower()


def test_files_of_the_record_are_linked_where_they_lie(tmp_path, results):
    assert "href=runs.csv" not in page_of(tmp_path, results)[0]
    for name in ("results.json", "runs.csv", "curves.npz", "table.tex"):
        (tmp_path / name).touch()
    page, _ = page_of(tmp_path, results)
    assert all(f"<a href={name}>" in page for name in ("results.json", "runs.csv", "curves.npz", "table.tex"))


@pytest.mark.parametrize(("commit", "warned"), [(None, True), ("4c1b9de+changes", True), ("4c1b9de", False)])
def test_code_that_cannot_be_found_again_is_a_warning(tmp_path, results, commit, warned):
    results["provenance"]["commit"] = commit
    assert (
        "class=caution" in page_of(tmp_path, results)[0].split("Every seed")[0].replace(_edges(results), "")
    ) is warned


def _edges(results):
    """The warnings on edges, as the page shows them."""
    found = summary.summarise("digits", results["problems"]["digits"]).warnings
    return "".join(f"<p class=caution>Warning: {html.escape(warning)}</p>" for warning in found)


def test_names_are_escaped_everywhere(tmp_path, results):
    problem, name = results["problems"]["digits"], "my|rule_<b>&x%$"
    problem["candidates"] = {name if n == "adam" else n: entry for n, entry in problem["candidates"].items()}
    for pair in problem["pairs"]:
        pair |= {end: name for end in "ab" if pair[end] == "adam"}
    found = summary.summarise("digits", problem)
    curves = curves_of(["digits"])
    curves |= {key.replace("/adam/", f"/{store.quoted(name)}/"): values for key, values in curves.items()}
    write_page(tmp_path / "report.html", results, {"digits": found}, curves)
    page = (tmp_path / "report.html").read_text()
    assert name not in page and html.escape(name) in page
    row = next(
        line for line in report.markdown_tables("digits", problem, found).splitlines() if line.startswith("| my")
    )
    assert "my\\|rule\\_\\<b>\\&x%\\$" in row
    assert len(re.findall(r"(?<!\\)\|", row)) in (6, 7)
    escaped = "my\\textbar{}rule\\_\\textless{}b\\textgreater{}\\&x\\%\\$ & "
    assert escaped in report.latex_table("digits", problem, found)


def test_a_name_of_several_lines_stays_in_its_cell(results):
    problem, name = results["problems"]["digits"], "a\n\n# b\r\n<script>\n\\input{x}"
    problem["candidates"] = {name if n == "adam" else n: entry for n, entry in problem["candidates"].items()}
    for pair in problem["pairs"]:
        pair |= {end: name for end in "ab" if pair[end] == "adam"}
    found = summary.summarise("digits", problem)
    text = report.markdown_tables("digits", problem, found)
    assert re.findall(r"(?<!\\)<", text) == [] and "\n# b" not in text
    text = report.latex_table("digits", problem, found)
    assert "\\input" not in text and "a  \\# b" in text


def test_every_outcome_is_drawn(tmp_path, results):
    problem = results["problems"]["digits"]
    race = problem["candidates"]["adam"]["race"]
    race["failed"], race["test_score"], race["test_loss"] = [True, False, False], [0.1, 0.96, 0.95], [None, 0.1, 0.1]
    problem["race"]["looks"] = [{"seeds": 2, "error": 0.01}, {"seeds": 3, "error": 0.04}]
    problem["candidates"]["sgd"]["widened"] = 2
    page, _ = page_of(tmp_path, results)
    assert page.count('class="failed"') == 2 and "seed 1000: 10.00 %, failed" in page  # one more while tuning
    assert "mean off the axis" in page and "1 of 3" in page and "not finite" in page
    assert "The open pairs were tested after 2 and 3 seeds, with error probabilities of 1 % and 4 %" in page.replace(
        "\xa0", " "
    )
    assert "were widened: SGD by 2" in page
    problem["splits"] = 3
    for entry in problem["candidates"].values():
        entry["race"]["split"], entry["choices"] = [0, 1, 2], entry["choices"] * 3
    assert "<h2>Every split</h2>" in page_of(tmp_path, results)[0]


def test_one_candidate_and_one_seed_have_a_page_without_a_matrix(tmp_path, results):
    problem = results["problems"]["digits"]
    for entry in problem["candidates"].values():
        entry["race"] = {key: values[:1] for key, values in entry["race"].items()}
        entry["to_target"]["95 %"]["epochs"] = entry["to_target"]["95 %"]["epochs"][:1]
    problem["power"] = {}
    assert "<table class=matrix" not in page_of(tmp_path, results)[0]
    problem["candidates"] = {"adam": problem["candidates"]["adam"]}
    page, _ = page_of(tmp_path, results)
    assert "<h1>One optimizer on digits</h1>" in page and "<table class=matrix" not in page


def test_a_profile_needs_enough_targets(tmp_path, results):
    assert "All targets together" not in page_of(tmp_path, results)[0]
    for entry in results["problems"]["digits"]["candidates"].values():
        reached = entry["to_target"]["95 %"]
        entry["to_target"] = {f"{target} %": reached for target in range(90, 90 + FEWEST_TARGETS)}
    assert "All targets together" in page_of(tmp_path, results)[0]


def test_the_budget_is_drawn_from_the_short_runs(results):
    problem = results["problems"]["digits"]
    for entry in problem["candidates"].values():
        entry["tried"] = [{"learning_rate": rate} for rate in (0.001, 0.01, 0.1, 1.0)]
        entry["tuning"] = [
            {
                "split": 0,
                "hyperparameters": point,
                "seed": 0,
                "epochs": 1,
                "validation_score": accuracy,
                "failed": False,
            }
            for point, accuracy in zip(entry["tried"], (0.5, 0.9, 0.8, 0.7), strict=True)
        ]
    found = summary.summarise("digits", problem)
    assert panels.budget(problem, found).count('class="band"') == 3
    assert panels.sensitivity(problem, found).count('class="ring"') == 12


def test_without_short_runs_the_page_speaks_of_none(tmp_path, results):
    tuning = results["problems"]["digits"]["tuning"]
    tuning["coarse"]["seeds"] = []
    page, _ = page_of(tmp_path, results)
    assert "Rings" not in page and "short runs" not in page and "0 seeds" not in page
    assert "Every learning rate of a grid was trained for 3 epochs with 3 seeds." in page


def test_the_terminal_prints_the_verdict_first_and_breaks_between_words(tmp_path, results, monkeypatch):
    monkeypatch.setattr(figures, "PER_PROBLEM", {})
    store.save_arrays(tmp_path / "curves.npz", curves_of(["digits"]))
    monkeypatch.setattr(records.zlib, "crc32", lambda data: 0)
    record.write(tmp_path / "results.json", results | {"sha256": record.seal(results)})
    screen = Console(width=80, record=True, file=io.StringIO())
    command._report(tmp_path, screen)
    lines = screen.export_text().splitlines()
    assert next(line for line in lines if line).startswith("On digits, Nesterov and Adam are better than SGD;")
    assert max(map(len, lines[:-1])) <= 80  # the last one is a path
    words = set(re.findall(r"\S+", " ".join([*summary.summarise("digits", toy.PROBLEM).findings])))
    assert words <= set(re.findall(r"\S+", "\n".join(lines)))
    assert (tmp_path / "table.md").exists() and (tmp_path / "table.tex").exists()


def test_screen_tables_fit_80_columns():
    found = summary.summarise("digits", toy.PROBLEM)
    screen = Console(width=200)
    for table in report.screen_tables("digits", toy.PROBLEM, found):
        assert screen.measure(table).maximum <= 80


def test_cells_of_times_say_never_and_how_many_arrive(results):
    problem = results["problems"]["digits"]
    problem["candidates"]["adam"]["to_target"]["95 %"]["epochs"] = [1.0, 2.0, None]
    rows = {row[0]: row for row in tables.time_cells("digits", problem, summary.summarise("digits", problem)).rows}
    assert rows["SGD"][1:3] == ["never", "never"]
    assert rows["Adam"][1].endswith("to never)") and rows["Adam"][2] == "2 (2/3)"


def test_scales_hold_their_values_and_have_round_ticks():
    for values in ([0.0, 0.37], [97.1, 98.0], [5.0, 5.0], [np.nan, 1.0, 2.0], [], [1e-5, 10.0]):
        for logarithmic in (False, True):
            scale = svg.scale(values, logarithmic=logarithmic)
            places = [scale.at(value) for value in values if np.isfinite(value) and (value > 0 or not logarithmic)]
            assert all(-1e-9 <= place <= 100 + 1e-9 for place in places)
            assert len(scale.ticks) >= 2 and all(-1e-6 <= scale.at(tick) <= 100 + 1e-6 for tick in scale.ticks)
    assert svg.Scale(1.0, 2.0, False, []).inside(float("inf")) == 100.0
