from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from report_studies import BITS, CLAIMS, LOSSES, SEARCH, run

from concepthash.report.kinds import KINDS
from concepthash.report.render import Runs, write_report
from concepthash.spec import Table

NASTY = r'<script>alert("x")</script> & 50% a_b #1 {c} $d$ ~ ^ \e | f → g × h ± `i` *j* 中 Δ: k'
VOID = {"meta", "br", "hr", "img", "input", "link", "col", "wbr"}


class Page(HTMLParser):
    """Tags, attributes, ids and text; raises where tags do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cells: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []
        self.cells = [" ".join(cell.split()) for cell in self.cells]
        self.ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]

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
    """A plan whose every text is full of markup, and runs with every kind of outcome."""
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
    failed = pl.col("failure").is_not_null()
    planned = trials_of(plan, values).with_columns(failure=pl.when(failed).then(pl.lit(NASTY)))
    of_search = {"table": "search", "val/map": 0.5, "params/optimizer.lr": NASTY}
    sampled = [
        run("e" * 12, 0.6, seed=0, **of_search),
        run("d" * 12, "pruned", seed=0, table="search"),
    ]
    frames = [planned, pl.DataFrame(sampled, infer_schema_length=None)]
    return plan, Runs(pl.concat(frames, how="diagonal_relaxed"), pl.DataFrame())


@pytest.fixture(scope="module")
def report(nasty, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that plan's report."""
    folder = tmp_path_factory.mktemp("reports") / "out"
    path = write_report(*nasty, folder, provenance={"commit": NASTY, "host": "h"})
    assert path == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page(report / "report.html")


def test_every_kind_of_table_in_a_study_is_in_the_registry() -> None:
    kinds = {get_args(member)[0].kind for member in get_args(get_args(Table)[0])}
    assert set(KINDS) == kinds


def test_report_consists_of_a_page_and_the_files_of_each_table(report: Path) -> None:
    found = {path.name for path in report.iterdir()} - {".report-files"}
    grids = {f"{n}.{e}" for n in ("losses", "bits") for e in ("tex", "csv", "svg", "pdf")}
    others = {f"{n}.{e}" for n in ("search", "claims") for e in ("tex", "csv")}
    assert found == {"report.html", "report.md", *others, *grids}


def test_report_of_the_same_study_has_the_same_bytes(nasty, report: Path, tmp_path: Path) -> None:
    again = write_report(*nasty, tmp_path, provenance={"commit": NASTY, "host": "h"}).parent
    for path in report.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_report_of_a_study_without_a_table_has_its_files_no_more(plan_of, tmp_path: Path) -> None:
    for names in (["one", "two"], ["two"]):
        plan = plan_of(*({**SEARCH, "name": name} for name in names))
        write_report(plan, Runs(pl.DataFrame(), pl.DataFrame()), tmp_path, provenance={})
        assert {path.stem for path in tmp_path.glob("*.csv")} == set(names)


# --- HTML -----------------------------------------------------------------------------------


def test_html_is_well_formed_escaped_and_needs_no_network(report: Path, page: Page) -> None:
    html = (report / "report.html").read_text(encoding="utf-8")
    for address in ("http:", "https:", "@import"):
        assert address not in html
    assert not {"script", "link", "iframe", "object", "embed", "img", "base"} & {
        tag for tag, _ in page.tags
    }
    for _, attributes in page.tags:
        assert not [name for name in attributes if name == "src" or name.startswith("on")]
    assert page.text.count(NASTY) >= 6


def test_html_links_lead_to_ids_and_files_that_exist(report: Path, page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    for target in (attributes["href"] for tag, attributes in page.tags if tag == "a"):
        assert target[1:] in page.ids if target[0] == "#" else (report / target).exists()


def test_html_tables_have_captions_and_scoped_headers(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") == 6
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    assert ("html", {"lang": "en"}) in page.tags
    assert tags.count("h1") == 1


def test_html_says_what_is_done_and_what_is_not(page: Page) -> None:
    assert "81.0 ± 1.0 (best) n=3 baseline" in page.cells
    assert "70.5 ± 0.7 n=2, 1 failed Δ −10.5 ± 0.7" in page.cells
    assert "30.0 n=1, 1 running, 1 missing" in page.cells
    assert {"failed", "missing"} <= set(page.cells)
    for told in ("4 failed, 1 running", "concepthash-study trial FILE --id", "run-" + "e" * 12):
        assert told in page.text


def test_the_commands_name_the_study_and_the_best_trial_whatever_the_arguments_hold(
    plan_of, trials_of, tmp_path: Path
) -> None:
    plan = plan_of(LOSSES, seeds=[0])
    better = {("baseline", "baseline"): [0.5], ("no margin", "baseline"): [0.75]}
    best = plan.tables[0].cell("no margin", "baseline").trials[0].digest
    arguments = ["a b.yaml", "--set", "title=```</pre><b>"]
    runs = Runs(trials_of(plan, better), pl.DataFrame())
    page = Page(write_report(plan, runs, tmp_path, provenance={}, arguments=arguments))
    run = "concepthash-study run 'a b.yaml' --set 'title=```</pre><b>'"
    trial = run.replace(" run ", " trial ") + f" --id {best}"
    assert f"{run}\n{trial}" in page.text
    assert "FILE" not in page.text
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"or the best trial:\n\n````\n{run}\n{trial}\n````\n" in markdown


def test_without_a_best_trial_and_a_known_file_the_commands_stand_for_them(
    plan_of, tmp_path: Path
) -> None:
    plan = plan_of(LOSSES)
    write_report(plan, Runs(pl.DataFrame(), pl.DataFrame()), tmp_path, provenance={})
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "To repeat the whole study, or one trial, with FILE the study's YAML file:" in markdown
    assert f"concepthash-study trial FILE --id {next(iter(plan.trials))}\n" in markdown


@pytest.mark.parametrize("trials", [pl.DataFrame(), pl.DataFrame(schema={"digest": pl.String})])
def test_html_before_anything_is_trained(plan_of, tmp_path: Path, trials: pl.DataFrame) -> None:
    plan = plan_of(LOSSES, SEARCH, CLAIMS)
    page = Page(write_report(plan, Runs(trials, pl.DataFrame()), tmp_path, provenance={}))
    assert "15 missing of 15 planned trials: 7 cells incomplete" in page.text
    assert "no finished trial" in page.text
    # A page says of a grid that it has no figure, of a table of another kind nothing.
    assert page.text.count("so there is no figure") == 1
    assert not (tmp_path / "losses.svg").exists()


def test_a_table_may_have_the_name_of_a_section_of_the_page(
    plan_of, trials_of, tmp_path: Path
) -> None:
    names = ["trials", "failed", "training-curves", "report"]
    rows = [{"label": "a"}, {"label": "b", "epochs": 2}]
    plan = plan_of(*({"name": name, "rows": rows} for name in names), seeds=[0])
    trials = trials_of(plan, {("a", "baseline"): [0.5], ("b", "baseline"): ["failed"]})
    history = [(digest, "val/map", epoch, 0.5) for digest in plan.trials for epoch in (1, 2)]
    schema = ["digest", "metric", "step", "value"]
    runs = Runs(trials, pl.DataFrame(history, schema=schema, orient="row"))
    page = Page(write_report(plan, runs, tmp_path, provenance={}))
    assert len(page.ids) == len(set(page.ids))
    figures = {path.stem for path in tmp_path.glob("*.svg")}
    assert figures == {*names, "report.training-curves"}


# --- Markdown, LaTeX, CSV -------------------------------------------------------------------


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


def test_latex_table_has_title_caption_marks_and_label(report: Path) -> None:
    text = (report / "losses.tex").read_text(encoding="ascii")
    assert r"\caption{$<$script$>$alert" in text
    assert "last epoch)" in text
    assert r"\textbf{81.0 $\pm$ 1.0}" in text
    assert r"\underline{60.0 $\pm$ 10.0}" in text
    assert "(n=2, 1 failed)" in text
    assert r"\label{tab:demo-losses}" in text


def test_latex_tables_compile_with_booktabs_alone(
    report: Path, pdflatex: Path, tmp_path: Path
) -> None:
    body = "\n".join(path.read_text(encoding="ascii") for path in sorted(report.glob("*.tex")))
    (tmp_path / "all.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        f"{body}\n\\end{{document}}\n"
    )
    command = [pdflatex, "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_claims_keep_their_row_in_every_format(report: Path, page: Page) -> None:
    first = page.cells.index(f"1. {NASTY}mAP@all (%) ↑ (higher is better){NASTY}")
    better, than, difference, p, verdict = page.cells[first + 1 : first + 6]
    assert better == "81.0 ± 1.0n=3baseline"
    assert than == "70.5 ± 0.7n=2, 1 failedloss.quantization = 0"
    assert difference == "+10.5 ± 0.7[+4.1, +16.9]2 pairs"
    assert (p, verdict) == ("0.250", "holds")
    second = page.cells[first + 6 : first + 12]
    assert second[0].startswith("2. Language helps")
    assert second[2:] == ["missinglanguage = off", "–", "–", "incomplete"]

    text = (report / "report.md").read_text(encoding="utf-8")
    assert "| 2. Language helps | mAP@all (%) ↑ | 81.0 ± 1.0 (n=3) <sub>baseline</sub> |" in text
    assert r"| \+10.5 ± 0.7 (2 pairs) | \[+4.1, +16.9\] | 0.250 | **holds** |" in text
    assert "<sub>Overlap of attention maps.</sub>" in text

    source = (report / "claims.tex").read_text(encoding="ascii")
    assert r"2. Language helps\par{\scriptsize mAP@all (\%) $\uparrow$}" in source
    assert r"+10.5 $\pm$ 0.7\\[-2pt]{\scriptsize {}[+4.1, +16.9]}\\[-2pt]{\scriptsize 2" in source

    table = pl.read_csv(report / "claims.csv")
    assert table["claim"].to_list() == [NASTY, "Language helps", "L_csd lowers the overlap"]
    assert table["verdict"].to_list() == ["holds", "incomplete", "incomplete"]
