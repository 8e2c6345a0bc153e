"""The report's files from a plan and its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from concepthash.plan import Plan
from concepthash.report import captions, curves, words
from concepthash.report.claims import ClaimsResult, claims_frame, claims_results
from concepthash.report.escape import Raw, markdown, tex
from concepthash.report.figures import curves_figure, grid_figure, inline_svg, pdf, svg
from concepthash.report.files import write_files
from concepthash.report.overview import Progress, TrialLine, progress, trial_lines
from concepthash.report.search import SearchResult, search_result
from concepthash.report.tables import GridResult, grid_results, prepared, tidy
from concepthash.spec import TrialSpec

CURVES = "training-curves"
"""File name of the figure of training curves."""


@dataclass(frozen=True)
class Runs:
    """What the study's trials left behind."""

    trials: pl.DataFrame
    """A row a trial: digest, run_id, status, failure, seed, table, duration_s, device, started,
    metrics by name and parameters as `params/<field>`."""
    history: pl.DataFrame
    """digest, metric, step (epoch, from 1), value."""


@dataclass(frozen=True)
class Picture:
    """A figure, drawn."""

    number: int
    name: str
    caption: str
    svg: str
    pdf: bytes

    @property
    def inline(self) -> Markup:
        return Markup(inline_svg(self.svg, self.name, str(escape(self.caption))))


Result = GridResult | SearchResult | ClaimsResult


@dataclass(frozen=True)
class Section:
    """A table with its title, caption and figure."""

    number: int
    title: str
    caption: str
    result: Result
    picture: Picture | None

    @property
    def name(self) -> str:
        return self.result.table.name

    @property
    def kind(self) -> str:
        kinds = {GridResult: "grid", SearchResult: "search", ClaimsResult: "claims"}
        return kinds[type(self.result)]


@dataclass(frozen=True)
class Report:
    """All that the templates show."""

    plan: Plan
    facts: dict[str, str]
    progress: Progress
    sections: list[Section]
    curves: Picture | None
    trials: list[TrialLine]
    provenance: Mapping[str, str]

    @property
    def title(self) -> str:
        return self.plan.study.title or self.plan.study.name

    @property
    def failures(self) -> list[TrialLine]:
        return [line for line in self.trials if line.status in ("failed", "interrupted")]


def write_report(plan: Plan, runs: Runs, folder: Path, *, provenance: Mapping[str, str]) -> Path:
    """Writes report.html, report.md, and the tables and figures by name; returns report.html.

    Of a table NAME: NAME.tex, NAME.csv, NAME.svg and NAME.pdf.
    """
    report = make_report(plan, runs, provenance)
    files: dict[str, bytes] = {}
    for section in report.sections:
        if section.picture:
            files |= _picture_files(section.picture)
        table = _tex_environment().get_template("table.tex").render(section=section, plan=plan)
        files[f"{section.name}.tex"] = table.encode()
        files[f"{section.name}.csv"] = _frame(section.result).write_csv().encode()
    if report.curves:
        files |= _picture_files(report.curves)
    files["report.md"] = _environment(markdown).get_template("report.md").render(r=report).encode()
    page = _html_environment().get_template("report.html").render(r=report)
    files["report.html"] = page.encode()  # last, so that all it refers to is there
    write_files(folder, files)
    return folder / "report.html"


def _frame(result: Result) -> pl.DataFrame:
    if isinstance(result, SearchResult):
        return result.frame
    return claims_frame(result) if isinstance(result, ClaimsResult) else tidy(result)


def make_report(plan: Plan, runs: Runs, provenance: Mapping[str, str]) -> Report:
    trials = prepared(runs.trials)
    tables: list[GridResult | ClaimsResult] = [
        *grid_results(plan, trials),
        *claims_results(plan, trials),
    ]
    searches = [search_result(plan, table, trials) for table in plan.searches]
    every: list[Result] = [*tables, *searches]
    results = {result.table.name: result for result in every}
    study = plan.study
    sections: list[Section] = []
    figures = 0
    for number, table in enumerate(study.tables, start=1):
        section = _section(plan, number, results[table.name], figures + 1)
        figures += section.picture is not None
        sections.append(section)
    done = progress(plan, trials, tables, searches)
    facts = {
        "Dataset": words.dataset_words(study.dataset),
        "Protocol": words.protocols_in_full(_specs(plan)),
        "Baseline": words.baseline_words(study.baseline),
        "Seeds": ", ".join(map(str, study.seeds)),
        "Done": _done(done),
        "Training time": done.cost,
    }
    return Report(
        plan,
        {name: text for name, text in facts.items() if text},
        done,
        sections,
        _curves_picture(plan, runs.history, figures + 1),
        trial_lines(plan, trials),
        provenance,
    )


def _specs(plan: Plan) -> list[TrialSpec]:
    """Of all trials, the baseline's first."""
    return [trial.spec for trial in (plan.baseline, *plan.trials.values())]


def _done(progress: Progress) -> str:
    cells = f"{progress.cells_done} of {words.plural(progress.cells, 'cell')}"
    parts = [cells, f"{progress.trials_done} of {words.plural(progress.trials, 'trial')}"]
    planned = ", ".join(parts) if progress.cells else ""
    search = f"{progress.sampled} of {words.plural(progress.to_sample, 'sampled trial')}"
    return "; ".join(filter(None, [planned, search if progress.to_sample else ""]))


def _section(plan: Plan, number: int, result: Result, figure_number: int) -> Section:
    title = captions.title(result.table)
    if isinstance(result, SearchResult):
        return Section(number, title, captions.search_caption(plan, result), result, None)
    if isinstance(result, ClaimsResult):
        return Section(number, title, captions.claims_caption(plan, result), result, None)
    caption = captions.grid_figure_caption(result)
    picture = _picture(figure_number, result.table.name, caption, grid_figure(result))
    return Section(number, title, captions.grid_caption(plan, result), result, picture)


def _curves_picture(plan: Plan, history: pl.DataFrame, number: int) -> Picture | None:
    found = {metric: curves.training_curves(plan, history, metric) for metric in curves.METRICS}
    most = max(found.values(), key=len)
    caption = captions.curves_caption(len(most), any(curve.is_baseline for curve in most))
    return _picture(number, CURVES, caption, curves_figure(found))


def _picture(number: int, name: str, caption: str, figure: Figure | None) -> Picture | None:
    return None if figure is None else Picture(number, name, caption, svg(figure), pdf(figure))


def _picture_files(picture: Picture) -> dict[str, bytes]:
    return {f"{picture.name}.svg": picture.svg.encode(), f"{picture.name}.pdf": picture.pdf}


# --- templates -----------------------------------------------------------------------------


def _environment(plain: Callable[[str], str] | None, **options: Any) -> Environment:
    """Templates whose every value is escaped: by `plain`, or as HTML."""

    def finalize(value: Any) -> Any:
        return value if plain is None or isinstance(value, Raw) else plain(str(value))

    environment = Environment(
        loader=PackageLoader("concepthash.report"),
        autoescape=plain is None,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.globals |= {"words": words, "captions": captions}
    environment.filters["raw"] = Raw
    return environment


def _html_environment() -> Environment:
    return _environment(None)


def _tex_environment() -> Environment:
    """Braces are TeX's own, so `<< value >>` and `<% tag %>` stand for Jinja's."""
    return _environment(
        tex,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
