"""The plan of a study with its state, as text for people and as plain data for JSON."""

from __future__ import annotations

from typing import Any

from concepthash.plan import Plan
from concepthash.study.state import StudyState

_MARKS = {"finished": "*", "failed": "!", "running": ">", "interrupted": "~", "pruned": "~"}
_LEGEND = {"*": "trained", "!": "failed", ">": "running", "~": "not finished"}


def describe(plan: Plan, state: StudyState) -> dict[str, Any]:
    """Tables with their cells, the trials of all cells with their status, and what is left."""
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
            described["trials_left"] = search.left
        tables.append(described)
    trials = [
        {
            "digest": digest,
            "seed": trial.seed,
            "label": state.trials[digest].label,
            "status": state.trials[digest].status,
            "done": state.trials[digest].status == "finished",
        }
        for digest, trial in plan.trials.items()
    ]
    left = {"trials": state.counts.left, "epochs": state.epochs_left}
    return {"study": plan.study.name, "tables": tables, "trials": trials, "left": left}


def as_text(plan: Plan, state: StudyState) -> str:
    """The same for people: a line for each cell, with the digests of its trials, marked."""
    lines = [f"{plan.study.name}: {plan.study.title}".rstrip(": ")]
    marks: set[str] = set()
    for planned in plan.tables:
        name = planned.table.name
        if (search := state.searches.get(name)) is not None:
            lines += ["", f"search {name}: {search.left} of {search.own} trials to train, over"]
            lines += [f"  {field}" for field in search.table.search.space]
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


def duration(seconds: float) -> str:
    """`4 min 05 s`, `2 h 10 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
