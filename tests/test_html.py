"""The page: well-formed, self-contained, escaped, and saying what the study found."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from calibrate.records import ClosureCurve, FitSummary, Outcome, Quantity, SlicedClosure, Table
from calibrate.report.captions import caption
from calibrate.report.html import render
from calibrate.report.tables import printed

VOID = {"meta", "img", "br", "link", "hr", "input"}
PNG = b"\x89PNG not really a picture"


class Page(HTMLParser):
    """Reads a page, checks that every element is closed in order, and keeps its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def curve(method: str, bias: tuple[float, ...]) -> ClosureCurve:
    full, unknown = np.ones(len(bias)), np.full(len(bias), np.nan)
    edges = np.linspace(1000, 2000, len(bias) + 1)
    return ClosureCurve(
        method=method, test="nominal", z_name="mjj", z_unit="GeV", relative=True, tolerance=0.01,
        edges=edges, z_mean=0.5 * (edges[1:] + edges[:-1]), n_effective=900 * full,
        mean=1 + np.array(bias), mean_error=0.001 * full, median=full, median_error=0.001 * full,
        std=0.03 * full, std_error=0.001 * full, iqr=0.03 * full, iqr_error=0.001 * full,
        sigma=unknown, sigma_error=unknown, exact_bias=unknown, exact_resolution=unknown,
    )  # fmt: skip


def closure_table(*states: str) -> Table:
    columns = ("z_low", "z_high", "n_effective", "mean", "mean_error", "state")
    rows = tuple(
        (1000.0 + 500 * i, 1500.0 + 500 * i, 901.4, 1.02, 0.0012, state)
        for i, state in enumerate(states)
    )
    return Table(columns, ("GeV", "GeV", "", "", "", ""), rows)


@pytest.fixture
def outcome() -> Outcome:
    return Outcome(
        methods=("gaussian_ansatz", "mse"),
        metrics={
            "gaussian_ansatz": {
                "closure/nominal/mean": Quantity(1.00034, 0.00123),
                "closure/nominal/chi2_per_bin": Quantity(1.234),
                "fit/mutual_information": Quantity(1.88, 0.004, "nat"),
            },
            "mse": {"closure/nominal/mean": Quantity(0.9871, 0.0011)},
        },
        tables={
            "gaussian_ansatz": {"closure/nominal": closure_table("closes", "closes")},
            "mse": {"closure/nominal": closure_table("fails", "cannot tell")},
        },
        records=(curve("gaussian_ansatz", (0.002, 0.003)), curve("mse", (0.05, 0.0))),
        summaries={
            "gaussian_ansatz": FitSummary(2.5, 64, -0.11, 1, 1.88, notes=("one restart",)),
            "mse": FitSummary(),
        },
        notes=("a parametric detector",),
        warnings=("few events <above> 4 TeV",),
        run={
            "command": "calibrate run method=gaussian_ansatz data=dijet",
            "method": "gaussian_ansatz",
            "data": "dijet",
            "seed": 7,
            "commit": None,
            "seconds": {"fit": 2.5},
            "environment": {"numpy": "2.0.0"},
            "data_sha256": {},
        },
        configuration="method:\n  name: <b>bold</b> & more\n",
    )


def test_page_is_well_formed_and_readable_on_a_phone(outcome: Outcome) -> None:
    page = Page(render(outcome, {"closure_nominal": PNG}))
    assert page.attributes("html") == [{"lang": "en"}]
    viewports = [a for a in page.attributes("meta") if a.get("name") == "viewport"]
    assert viewports
    assert "width=device-width" in str(viewports[0]["content"])
    assert all(a.get("scope") in ("col", "row", "rowgroup") for a in page.attributes("th"))
    assert page.texts["title"] == ["gaussian_ansatz on dijet"]


def test_page_loads_nothing_from_elsewhere(outcome: Outcome) -> None:
    text = render(outcome, {"closure_nominal": PNG})
    page = Page(text)
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert not page.attributes("script")
    assert not page.attributes("link")
    assert all(str(a["src"]).startswith("data:image/png;base64,") for a in page.attributes("img"))


def test_verdicts_stand_first_each_in_its_colour(outcome: Outcome) -> None:
    text = render(outcome, {})
    page = Page(text)
    verdicts = [a["class"] for a in page.attributes("p") if "verdict" in str(a.get("class"))]
    assert verdicts == ["verdict good main", "verdict bad"]
    assert "gaussian_ansatz closes within 0.30" in text
    assert "mse does not close: 1 of 2 bins on nominal is off by more than 1 %" in text
    assert text.index("gaussian_ansatz closes") < text.index("Key numbers")


def test_metrics_stand_side_by_side_and_rounded(outcome: Outcome) -> None:
    page = Page(render(outcome, {}))
    cells = page.texts["td"]
    place = cells.index("1.0003 ± 0.0012")
    assert cells[place + 1] == "0.9871 ± 0.0011"
    assert cells[cells.index("1.234") + 1] == "–"
    assert "1.8800 ± 0.0040 nat" in cells
    assert "closure/nominal/chi2_per_bin" in page.texts["code"]


def test_failing_bins_are_marked_by_colour_and_text(outcome: Outcome) -> None:
    page = Page(render(outcome, {}))
    rows = [a.get("class") for a in page.attributes("tr")]
    assert rows.count("good") == 2
    assert rows.count("bad") == 1
    assert rows.count("unsure") == 1
    states = [a["class"] for a in page.attributes("span") if "state" in str(a.get("class"))]
    assert states == ["state good", "state good", "state bad", "state unsure"]
    assert "fails" in page.texts["span"]
    assert "cannot tell" in page.texts["span"]


def test_everything_is_escaped(outcome: Outcome) -> None:
    text = render(outcome, {})
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in text
    assert "<b>bold" not in text
    assert "few events &lt;above&gt; 4 TeV" in text
    odd = replace(outcome, notes=("</p><script>alert(1)</script>",), run={"data": "<i>"})
    assert not Page(render(odd, {})).attributes("script")


def test_figures_are_embedded_with_words_for_those_who_cannot_see(outcome: Outcome) -> None:
    page = Page(render(outcome, {"closure_nominal": PNG, "training_mse": PNG}))
    images = page.attributes("img")
    assert [base64.b64decode(str(a["src"]).split(",")[1]) for a in images] == [PNG, PNG]
    assert "Closure on nominal" in str(images[0]["alt"])
    assert "±1 %" in str(images[0]["alt"])
    assert "Training: mse" in str(images[1]["alt"])
    assert [a["id"] for a in page.attributes("figure")] == ["closure_nominal", "training_mse"]


def test_without_figures_the_page_says_how_to_draw_them(outcome: Outcome) -> None:
    assert "calibrate report RUN" in Page(render(outcome, {})).texts["code"]
    page = Page(render(outcome, {"closure_nominal": PNG}))
    assert "calibrate report RUN" not in page.texts["code"]


def test_training_and_provenance_are_stated(outcome: Outcome) -> None:
    page = Page(render(outcome, {}))
    facts = dict(zip(page.texts["dt"], page.texts["dd"], strict=False))
    assert facts["steps"] == "64"
    assert facts["restarts"] == "1"
    assert "one restart" in page.texts["dd"]
    assert "numpy: 2.0.0" in page.texts["dd"]
    assert "7" in page.texts["dd"]
    assert "unknown" in page.texts["dd"]


def test_an_outcome_without_closure_is_still_a_page(outcome: Outcome) -> None:
    bare = replace(
        outcome, metrics={}, tables={}, records=(), summaries={}, warnings=(), notes=(), run={}
    )
    (said,) = (text for text in Page(render(bare, {})).texts["p"] if "measured" in text)
    assert said == "Nothing was measured of gaussian_ansatz."


def test_table_joins_errors_and_bounds_and_keeps_units() -> None:
    table = printed(closure_table("fails"))
    assert table.heads == ("z [GeV]", "n effective", "mean", "state")
    assert [cell.text for cell in table.rows[0]] == [
        "1000-1500", "901.4", "1.0200 ± 0.0012", "fails"
    ]  # fmt: skip
    assert table.marks == ("bad",)


def test_table_of_any_columns_is_printed_as_it_is() -> None:
    table = printed(Table(("name", "n", "low", "fit_error"), ("", "", "", "s"), (
        ("a", 12, None, 0.25), ("b", 0, -1.5, 1e-9),
    )))  # fmt: skip
    assert table.heads == ("name", "n", "low", "fit error [s]")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "12", "", "0.25"], ["b", "0", "-1.5", "1·10⁻⁹"]
    ]  # fmt: skip


def test_captions_say_what_u_is(outcome: Outcome) -> None:
    relative, *_ = (r for r in outcome.records if isinstance(r, ClosureCurve))
    assert "u = ẑ/z" in caption("closure_nominal", [relative])[1]
    additive = replace(relative, relative=False, tolerance=0.5, exact_bias=np.zeros(2))
    title, text = caption("closure_nominal", [additive])
    assert title == "Closure on nominal"
    assert "u = ẑ - z" in text
    assert "±0.5 GeV" in text
    assert "closed form" in text
    assert caption("something_new") == ("something new", "")


def by_eta(method: str) -> SlicedClosure:
    mean = np.array([[1.0, 1.03], [1.0, 1.0]])
    full = np.ones((2, 2))
    return SlicedClosure(
        method=method, test="nominal", z_name="pt", z_unit="GeV", relative=True, tolerance=0.01,
        by="abs(eta)", by_unit="", edges=np.array([20.0, 50.0, 100.0]),
        by_edges=np.array([0.0, 1.3, 2.5]), z_mean=50 * full, n_effective=900 * full, mean=mean,
        mean_error=0.001 * full, std=0.1 * full, std_error=full, iqr=0.1 * full, iqr_error=full,
    )  # fmt: skip


def test_failing_bins_stand_after_the_verdicts(outcome: Outcome) -> None:
    text = render(outcome, {})
    page = Page(text)
    assert "Failing bins" in page.texts["h2"]
    assert text.index("mse does not close") < text.index("Failing bins") < text.index("Key numbers")
    cells = page.texts["td"]
    place = cells.index("mjj 1000-1500 GeV")
    assert cells[place - 1 : place + 3] == [
        "nominal", "mjj 1000-1500 GeV", "+5.00 ± 0.10 %", "±1 %"
    ]  # fmt: skip
    assert "mse: 1 failing bin" in page.texts["summary"]


def test_failing_cells_name_their_slice(outcome: Outcome) -> None:
    found = replace(outcome, records=(*outcome.records, by_eta("gaussian_ansatz")))
    cells = Page(render(found, {})).texts["td"]
    place = cells.index("pt 50-100 GeV")
    assert cells[place + 1 : place + 4] == ["abs(eta) 0-1.3", "+3.00 ± 0.10 %", "±1 %"]


def test_a_page_without_failing_bins_has_no_such_table(outcome: Outcome) -> None:
    good = replace(outcome, records=outcome.records[:1])
    assert "Failing bins" not in render(good, {})


def test_fit_columns_have_headings_of_their_own() -> None:
    columns = ("mode", "mode_error", "fit_low", "fit_high", "fit_chi2_per_ndf", "fit_state")
    table = printed(Table(columns, ("", "", "", "", "", ""), ((1.0, 0.01, 0.9, 1.1, 1.2, "poor"),)))
    assert table.heads == ("mode", "fit range", "χ²/ndf of the fit", "fit state")
    assert [cell.text for cell in table.rows[0]] == ["1.000 ± 0.010", "0.9-1.1", "1.2", "poor"]


def test_captions_of_slices_name_column_and_method() -> None:
    title, text = caption("closure_nominal_by_abs_eta", [by_eta("mse")])
    assert title == "Closure on nominal by abs(eta)"
    assert "mse" in text
    title, text = caption("map_nominal_abs_eta", [by_eta("mse")])
    assert title == "Map of the bias on nominal by abs(eta)"
    assert "Hatched: fails" in text
    images = Page(render_of(by_eta("mse"))).attributes("figure")
    assert [image.get("class") for image in images] == [None, "wide"]


def render_of(record: SlicedClosure) -> str:
    bare = Outcome(("mse",), {"mse": {}}, {"mse": {}}, (record,), {}, (), (), {}, "")
    return render(bare, {"closure_nominal_by_abs_eta": PNG, "map_nominal_abs_eta": PNG})


def as_printed(text: str, folder: Path) -> str:
    """The words of a page on paper with their places, as XML; skips without a browser."""
    for program in ("chromium", "pdftotext"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: nothing can be printed")
    page, paper = folder / "report.html", folder / "report.pdf"
    page.write_text(text, encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer")
    subprocess.run(
        ["chromium", *options, f"--user-data-dir={folder}", f"--print-to-pdf={paper}", str(page)],
        check=True, capture_output=True,
    )  # fmt: skip
    found = subprocess.run(["pdftotext", "-bbox", paper, "-"], check=True, capture_output=True)
    return found.stdout.decode()


def test_on_paper_wide_tables_are_whole_and_what_is_folded_is_open(
    outcome: Outcome, tmp_path: Path
) -> None:
    """A table of closure with all its columns; the configuration is folded on the screen."""
    names = ("mean", "median", "std", "iqr", "sigma", "mode", "calibration_error")
    columns = (
        "z_low",
        "z_high",
        "n_effective",
        *(f"{n}{e}" for n in names for e in ("", "_error")),
    )
    values = (-0.001944, 0.2058, 16617.0, *(v for _ in names for v in (-2.0375612, 0.0141234)))
    rows = tuple((*values, -3.0064, 3.1301, 1.1234, "fitted", "cannot tell") for _ in range(3))
    columns = (*columns, "fit_low", "fit_high", "fit_chi2_per_ndf", "fit_state", "state")
    table = Table(columns, ("",) * len(columns), rows)
    wide = replace(outcome, tables={"gaussian_ansatz": {"closure/nominal": table}, "mse": {}})
    paper = as_printed(render(wide, {}), tmp_path)
    words = re.findall(r'xMax="([\d.]+)"[^>]*>([^<]+)</word>', paper)
    width = float(re.findall(r'<page width="([\d.]+)"', paper)[0])
    assert [word for _, word in words].count("tell") == len(rows)
    assert "&lt;b&gt;bold&lt;/b&gt;" in {word for _, word in words}
    assert [word for right, word in words if float(right) > width] == []
    heights = re.findall(r'yMin="([\d.]+)"[^>]*yMax="([\d.]+)">-2.038</word>', paper)
    assert min(float(low) - float(high) for high, low in heights) > 5.0
