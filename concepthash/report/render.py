"""The report's files from a plan and its runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from concepthash.plan import Plan
from concepthash.report import wording
from concepthash.report.cells import prepared
from concepthash.report.curves import METRICS, curves_caption, curves_figure, training_curves
from concepthash.report.escape import Raw, markdown, tex
from concepthash.report.figures import inline_svg, pdf, svg
from concepthash.report.files import as_csv, write_files
from concepthash.report.kinds import KINDS, TableReport, table_report
from concepthash.report.overview import Progress, TrialLine, progress, trial_lines

# The report's own names have a dot, which no table's name has.
CURVES = "report.training-curves"
"""File name of the figure of training curves."""
FILE = "FILE"
"""Stands for a study's file that is not known."""


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

    @property
    def files(self) -> dict[str, bytes]:
        return {f"{self.name}.svg": self.svg.encode(), f"{self.name}.pdf": self.pdf}


@dataclass(frozen=True)
class Section:
    """A table with its number and its figure."""

    number: int
    table: TableReport
    picture: Picture | None


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
    commands: Mapping[str, str]
    """What repeats the study and a trial, by what it repeats."""

    @property
    def title(self) -> str:
        return self.plan.study.title or self.plan.study.name

    @property
    def file_unknown(self) -> bool:
        """Whether the commands need the study's file in the place of FILE."""
        return any(FILE in shlex.split(command) for command in self.commands.values())

    @property
    def fence(self) -> Raw:
        """What stands around the commands in Markdown: longer than any backticks in them."""
        ticks = re.findall("`+", " ".join(self.commands.values()))
        return Raw("`" * max(3, *(len(found) + 1 for found in ["", *ticks])))

    @property
    def failures(self) -> list[TrialLine]:
        return [line for line in self.trials if line.status in ("failed", "interrupted")]


def write_report(
    plan: Plan,
    runs: Runs,
    folder: Path,
    *,
    provenance: Mapping[str, str],
    arguments: Sequence[str] = (FILE,),
) -> Path:
    """Writes report.html, report.md, and the tables and figures by name; returns report.html.

    `arguments` name the study in the commands that the report shows: its file, then options. Of a
    table NAME: NAME.tex, NAME.csv and, if it has a figure, NAME.svg and NAME.pdf. Raises
    InputError if the folder cannot be written.
    """
    report = make_report(plan, runs, provenance, arguments)
    files: dict[str, bytes] = {}
    for section in report.sections:
        if section.picture:
            files |= section.picture.files
        name = section.table.name
        source = _tex_environment().get_template("table.tex").render(r=report, section=section)
        files[f"{name}.tex"] = source.encode()
        files[f"{name}.csv"] = as_csv(section.table.frame).encode()
    if report.curves:
        files |= report.curves.files
    files["report.md"] = _environment(markdown).get_template("report.md").render(r=report).encode()
    page = _environment(None).get_template("report.html").render(r=report, kinds=list(KINDS))
    files["report.html"] = page.encode()  # last, so that all it refers to is there
    write_files(folder, files)
    return folder / "report.html"


def make_report(
    plan: Plan, runs: Runs, provenance: Mapping[str, str], arguments: Sequence[str]
) -> Report:
    trials = prepared(runs.trials)
    tables = [table_report(plan, planned, trials) for planned in plan.tables]
    sections: list[Section] = []
    figures = 0
    for number, table in enumerate(tables, start=1):
        picture = _picture(figures + 1, table.name, table.figure_caption, table.draw())
        figures += picture is not None
        sections.append(Section(number, table, picture))
    curves = {metric: training_curves(plan, runs.history, metric) for metric in METRICS}
    done = progress(plan, trials, tables)
    facts = {
        "Data set": plan.study.dataset.describe(),
        # The baseline's protocol first.
        "Protocol": wording.protocols_in_full(
            trial.spec for trial in (plan.baseline, *plan.trials.values())
        ),
        "Baseline": wording.baseline_in_full(plan.baseline),
        "Seeds": ", ".join(map(str, plan.study.seeds)),
        "Done": done.done,
        "Training time": done.cost,
    }
    return Report(
        plan,
        {name: text for name, text in facts.items() if text},
        done,
        sections,
        _picture(figures + 1, CURVES, curves_caption(curves), curves_figure(curves)),
        trial_lines(plan, trials, tables),
        provenance,
        _commands(plan, tables, arguments),
    )


def _commands(
    plan: Plan, tables: Sequence[TableReport], arguments: Sequence[str]
) -> dict[str, str]:
    """What repeats the study and a trial: the best of the first table that has one."""
    best = next((table.best for table in tables if table.best), None)
    named = {"the best trial": best} if best else {"one trial": next(iter(plan.trials), None)}
    commands = {"the whole study": shlex.join(["concepthash-study", "run", *arguments])}
    for what, digest in named.items():
        if digest:
            words = ["concepthash-study", "trial", *arguments, "--id", digest]
            commands[what] = shlex.join(words)
    return commands


def _picture(number: int, name: str, caption: str, figure: Figure | None) -> Picture | None:
    return None if figure is None else Picture(number, name, caption, svg(figure), pdf(figure))


# --- templates -----------------------------------------------------------------------------


def _environment(plain: Callable[[str], str] | None, **options: Any) -> Environment:
    """Templates whose every value is escaped: by `plain`, or as HTML."""

    def finalize(value: Any) -> Any:
        return value if plain is None or isinstance(value, Raw) else plain(str(value))

    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader("concepthash.report"),
                PrefixLoader({"kinds": PackageLoader("concepthash.report.kinds")}),
            ]
        ),
        autoescape=plain is None,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.globals["wording"] = wording
    environment.filters["raw"] = Raw
    return environment


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
