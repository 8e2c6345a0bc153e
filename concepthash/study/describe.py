"""The plan of a study with its state, as text for people and as plain data for JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from concepthash.plan import Plan
from concepthash.study.state import METRIC, SearchState, StudyState, TrialState

_MARKS = {"finished": "*", "failed": "!", "running": ">", "interrupted": "~", "pruned": "~"}
_LEGEND = {"*": "trained", "!": "failed", ">": "running", "~": "not finished"}
_SHOWN = 5
"""Trials of a search that are listed."""


def describe(plan: Plan, state: StudyState) -> dict[str, Any]:
    """Tables with their cells, all trials with status and configuration, and what is left."""
    tables = []
    for planned in plan.tables:
        table = planned.table
        described: dict[str, Any] = {
            "name": table.name,
            "title": table.title,
            "metric": ", ".join(planned.metrics),
            "cells": [
                {
                    "row": cell.row,
                    "column": cell.column,
                    "metric": cell.metric,
                    "trials": [trial.digest for trial in cell.trials],
                }
                for cell in planned.cells
            ],
        }
        if (search := state.searches.get(table.name)) is not None:
            described["metric"] = search.table.metric
            described["search"] = search.table.search.model_dump(mode="json")
            described["trials"] = [known.trial.digest for known in _sampled(state, table.name)]
            described["trials_left"] = search.left
        tables.append(described)
    trials = [
        {
            "digest": digest,
            "seed": known.trial.seed,
            "label": known.label,
            "status": known.status,
            "done": known.status == "finished",
            "metrics": known.metrics,
            "configuration": known.trial.parameters(),
        }
        for digest, known in state.trials.items()
    ]
    left = {"trials": state.counts.left, "epochs": state.epochs_left}
    return {"study": plan.study.name, "tables": tables, "trials": trials, "left": left}


def size_in_words(plan: Plan) -> str:
    """`45 trials`; of searches how many they sample: `45 trials, 16 trials of search weights`."""
    parts = [f"{len(plan.trials)} trials"] if plan.trials else []
    return ", ".join(
        [*parts, *(f"{t.search.trials} trials of search {t.name}" for t in plan.searches)]
    )


def as_text(plan: Plan, state: StudyState) -> str:
    """The same for people: a line for each cell, with the digests of its trials, marked."""
    lines = [f"{plan.study.name}: {plan.study.title}".rstrip(": ")]
    marks: set[str] = set()
    for planned in plan.tables:
        name = planned.table.name
        if (search := state.searches.get(name)) is not None:
            lines += ["", *_search_lines(search, _sampled(state, name))]
            continue
        lines += ["", f"table {name} ({', '.join(planned.metrics)})"]
        width = max(len(f"{cell.row} | {cell.column}") for cell in planned.cells)
        for cell in planned.cells:
            marked = []
            for trial in cell.trials:
                mark = _MARKS.get(state.trials[trial.digest].status, " ")
                marks.add(mark)
                marked.append(f"{trial.digest}{mark}")
            lines.append(f"  {f'{cell.row} | {cell.column}':<{width}}  {' '.join(marked)}".rstrip())
    counts = state.counts
    left = f"{counts.left} of {counts.total} trials to train" if counts.left else "nothing to train"
    legend = [f"{mark} = {meaning}" for mark, meaning in _LEGEND.items() if mark in marks]
    lines += ["", "; ".join([left, *legend])]
    if counts.left and (seconds := state.seconds_an_epoch) is not None:
        lines.append(
            f"about {duration(seconds * state.epochs_left)} of training, at"
            f" {seconds:.2g} s an epoch as in the trials that are trained"
        )
    return "\n".join(lines)


def _sampled(state: StudyState, table: str) -> list[TrialState]:
    """The trials that a search sampled, best first; those without a value last."""
    mine = [known for known in state.trials.values() if known.table == table]
    return sorted(mine, key=lambda known: -known.metrics.get(METRIC, -math.inf))


def _search_lines(search: SearchState, sampled: Sequence[TrialState]) -> Iterator[str]:
    statuses = Counter(known.status for known in sampled)
    words = {"trained": statuses["finished"], "pruned": statuses["pruned"]}
    words |= {word: statuses[word] for word in ("running", "failed") if statuses[word]}
    counts = ", ".join(f"{count} {word}" for word, count in words.items())
    settings = search.table.search
    counts = f"{counts}, {search.left} left"
    yield f"search {search.table.name}: {settings.trials} trials ({counts}), over"
    yield from (f"  {field}" for field in settings.space)
    trained = [known for known in sampled if known.status == "finished"]
    if trained:
        yield f"  its best by {METRIC}:"
    for known in trained[:_SHOWN]:
        yield f"    {known.metrics.get(METRIC, math.nan):.4f}  {known.trial.digest}  {known.label}"


def duration(seconds: float) -> str:
    """`4 min 05 s`, `2 h 10 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
