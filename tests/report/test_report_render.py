from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from report_studies import BITS, CLAIMS, LOSSES, SEARCH, run

from concepthash.report import Runs, write_report

NASTY = r'<script>alert("x")</script> & 50% a_b #1 {c} $d$ ~ ^ \e | f → g × h ± `i` *j* 中'
HISTORY = pl.DataFrame(schema={"digest": str, "metric": str, "step": int, "value": float})
VOID = {"meta", "br", "hr", "img", "input", "link", "col", "wbr"}


class Page(HTMLParser):
    """Tags, attributes and text; raises where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def nasty(plan_of, trials_of):
    """A plan whose every text tries to break out, and runs with every kind of outcome."""
    rows = [*LOSSES["rows"], {"label": NASTY, "loss.scale": 4.0}]
    claim = {"claim": NASTY, "note": NASTY, "better": {}, "than": {"loss.quantization": 0}}
    tables = (
        {**LOSSES, "title": NASTY, "rows": rows},
        BITS,
        SEARCH,
        {**CLAIMS, "title": NASTY, "claims": [claim, *CLAIMS["claims"]]},
    )
    plan = plan_of(*tables, title=NASTY, description=NASTY)
    values = {
        ("baseline", "baseline"): [0.80, 0.82, 0.81],
        ("no quantization", "baseline"): [0.7, 0.71, "failed"],
        ("no margin", "baseline"): ["failed", "failed", "failed"],
        (NASTY, "baseline"): [0.5, 0.6, 0.7],
        ("learned", "16 bits"): ["running", 0.3, None],
    }
    first = trials_of(plan, values)
    first = first.with_columns(failure=pl.when(pl.col("failure").is_not_null()).then(pl.lit(NASTY)))
    extra = [
        run(
            "e" * 12, 0.6, seed=0, table="search", **{"val/map": 0.5, "params/optimizer.lr": NASTY}
        ),
        run("d" * 12, "pruned", seed=0, table="search"),
    ]
    extra_frame = pl.DataFrame(extra, infer_schema_length=None)
    return plan, Runs(pl.concat([first, extra_frame], how="diagonal_relaxed"), HISTORY)


@pytest.fixture(scope="module")
def report(nasty, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan, runs = nasty
    folder = tmp_path_factory.mktemp("reports") / "out"
    path = write_report(plan, runs, folder, provenance={"commit": NASTY, "host": "h"})
    assert path == folder / "report.html"
    return path.parent


def test_files(report: Path) -> None:
    found = {path.name for path in report.iterdir()} - {".report-files"}
    grids = {f"{n}.{e}" for n in ("losses", "bits") for e in ("tex", "csv", "svg", "pdf")}
    others = {f"{n}.{e}" for n in ("search", "claims") for e in ("tex", "csv")}
    assert found == {"report.html", "report.md", *others, *grids}


def test_html_is_well_formed_escaped_and_asks_no_one(report: Path) -> None:
    html = (report / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "http:" not in html
    assert "https:" not in html
    for tag, attributes in page.tags:
        assert "src" not in attributes
        assert tag not in ("link", "iframe", "object", "embed", "img", "base")
        assert not [name for name in attributes if name.startswith("on")]
        target = attributes.get("href") or "#"
        assert target.startswith("#") or (report / target).exists()
    assert "@import" not in html
    assert page.text.count(NASTY) >= 6
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        if tag == "a" and (attributes["href"] or "").startswith("#"):
            assert (attributes["href"] or "")[1:] in ids


def test_html_tables_are_semantic(report: Path) -> None:
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") == 6
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert ("html", {"lang": "en"}) in page.tags
    assert tags.count("h1") == 1


def test_html_says_what_is_done_and_what_is_not(report: Path) -> None:
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    cells = [" ".join(cell.split()) for cell in page.cells]
    assert "81.0 ± 1.0 (best) n=3 · baseline" in cells
    assert "70.5 ± 0.7n=2, 1 failed · Δ −10.5 ± 0.7" in [c.replace("0.7 n", "0.7n") for c in cells]
    assert "failed" in cells
    assert "missing" in cells
    assert "30.0 n=1, 1 running, 1 missing" in cells
    assert "queries = test images, database = training images" in page.text
    assert "4 failed, 1 running" in page.text
    assert "concepthash-study trial FILE --id" in page.text
    assert "ranked by validation mAP@all" in page.text
    assert "run-" + "e" * 12 in page.text


def test_html_of_a_complete_study_warns_of_nothing(plan_of, trials_of, tmp_path: Path) -> None:
    plan = plan_of(LOSSES)
    rows = {(r["label"], "baseline"): [0.5, 0.6, 0.7] for r in LOSSES["rows"]}
    runs = Runs(trials_of(plan, rows), HISTORY)
    page = Page(write_report(plan, runs, tmp_path / "r", provenance={}).read_text(encoding="utf-8"))
    assert "Incomplete" not in page.text
    assert "Failed trials" not in page.text


@pytest.mark.parametrize("trials", [pl.DataFrame(), pl.DataFrame(schema={"digest": pl.String})])
def test_nothing_trained_yet(plan_of, tmp_path: Path, trials: pl.DataFrame) -> None:
    plan = plan_of(LOSSES, SEARCH)
    path = write_report(plan, Runs(trials, pl.DataFrame()), tmp_path / "r", provenance={})
    page = Page(path.read_text(encoding="utf-8"))
    assert "9 missing of 9 planned trials" in page.text
    assert "no finished trial" in page.text
    assert not (path.parent / "losses.svg").exists()


def test_markdown_tables_keep_their_columns(report: Path) -> None:
    text = (report / "report.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(blocks) == 6
    for block in blocks:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1
    assert "<script" not in text
    assert "| **81.0 ± 1.0** (n=3) <sub>baseline</sub> |" in text
    assert "70.5 ± 0.7 (n=2, 1 failed)" in text
    assert "| _failed_ |" in text
    assert "](losses.svg)" in text
    assert "> [!WARNING]" in text


def test_tex_marks_and_escapes(report: Path) -> None:
    text = (report / "losses.tex").read_text(encoding="ascii")
    assert r"\textbf{81.0 $\pm$ 1.0}" in text
    assert r"\underline{60.0 $\pm$ 10.0}" in text
    assert "(n=2, 1 failed)" in text
    assert r"\label{tab:demo-losses}" in text
    assert r"\toprule" in text


def test_claims_keep_their_row_in_every_format(report: Path) -> None:
    page = Page((report / "report.html").read_text(encoding="utf-8"))
    cells = [" ".join(cell.split()) for cell in page.cells]
    first = cells.index(next(cell for cell in cells if cell.startswith(f"1. {NASTY}")))
    claim, better, than, difference, p, verdict = cells[first : first + 6]
    assert claim == f"1. {NASTY}mAP@all (%) ↑ (higher is better){NASTY}"
    assert better == "81.0 ± 1.0n=3baseline"
    assert than == "70.5 ± 0.7n=2, 1 failedloss.quantization = 0"
    assert difference == "+10.5 ± 0.7[+4.1, +16.9]2 pairs"
    assert (p, verdict) == ("0.250", "holds")
    assert cells[first + 6].startswith("2. Language helps")
    assert cells[first + 8 : first + 12] == ["missinglanguage = off", "–", "–", "not yet"]

    text = (report / "report.md").read_text(encoding="utf-8")
    assert "| 2. Language helps | mAP@all (%) ↑ | 81.0 ± 1.0 (n=3) <sub>baseline</sub> |" in text
    assert r"| \+10.5 ± 0.7 (2 pairs) | \[+4.1, +16.9\] | 0.250 | **holds** |" in text
    assert "| – | – | – | **not yet** |" in text
    assert "<sub>Overlap of attention maps.</sub>" in text

    source = (report / "claims.tex").read_text(encoding="ascii")
    assert r"2. Language helps\par{\scriptsize mAP@all (\%) $\uparrow$}" in source
    assert (
        r"+10.5 $\pm$ 0.7\\[-2pt]{\scriptsize [+4.1, +16.9]}\\[-2pt]{\scriptsize 2 pairs}" in source
    )
    assert r"{\raggedright not yet\par}" in source
    assert r"\label{tab:demo-claims}" in source

    table = pl.read_csv(report / "claims.csv")
    assert table["claim"].to_list() == [NASTY, "Language helps", "L_csd lowers the overlap"]
    assert table["verdict"].to_list() == ["holds", "not yet", "not yet"]


def test_a_page_of_claims_alone_misses_no_figure(plan_of, tmp_path: Path) -> None:
    plan = plan_of(CLAIMS)
    path = write_report(plan, Runs(pl.DataFrame(), pl.DataFrame()), tmp_path, provenance={})
    page = Page(path.read_text(encoding="utf-8"))
    assert "nothing to draw" not in page.text
    assert "9 missing of 9 planned trials: 4 cells incomplete" in page.text
    assert "0 of 4 cells, 0 of 9 trials" in page.text


def test_tex_compiles_with_booktabs_alone(report: Path, pdflatex: Path, tmp_path: Path) -> None:
    body = "\n".join(
        (report / f"{name}.tex").read_text(encoding="ascii")
        for name in ("losses", "bits", "search", "claims")
    )
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        f"{body}\n\\end{{document}}\n"
    )
    command = [pdflatex, "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_is_read_back(report: Path) -> None:
    losses = pl.read_csv(report / "losses.csv")
    assert losses["row"].to_list()[3] == NASTY
    assert losses["mean"].to_list()[0] == pytest.approx(0.81)
    assert losses["failed"].to_list() == [0, 1, 3, 0]
    search = pl.read_csv(report / "search.csv")
    assert search.select("rank", "status").rows() == [(1, "finished"), (None, "pruned")]


def test_the_same_study_gives_the_same_files(nasty, report: Path, tmp_path: Path) -> None:
    plan, runs = nasty
    again = write_report(plan, runs, tmp_path, provenance={"commit": NASTY, "host": "h"}).parent
    for path in report.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_a_table_taken_out_takes_its_files_along(plan_of, tmp_path: Path) -> None:
    runs = Runs(pl.DataFrame(), HISTORY)
    for names in (["one", "two"], ["two"]):
        plan = plan_of(*({**SEARCH, "name": name} for name in names))
        write_report(plan, runs, tmp_path, provenance={})
        assert {path.stem for path in tmp_path.glob("*.csv")} == set(names)
