"""The figure of a grid: dots by row, or lines over a numeric column."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from concepthash.report.figures import ACCENT, GREY, INK, WIDTH, axis_label, laid_out, style
from concepthash.report.kinds.grid_numbers import GridCell, GridResult, numeric_columns
from concepthash.report.wording import field_name, note, number, scaled

# Okabe and Ito's palette without its yellow, which is hard to see on white.
COLORS = (ACCENT, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
MAX_PANELS = 4


def grid_figure(result: GridResult) -> Figure | None:
    """Lines over numeric columns, else dots by row; None if no trial has a value."""
    if not any(cell.summary for cell in result.cells):
        return None
    numbers = numeric_columns(result)
    with style():
        return laid_out(_dots(result) if numbers is None else _lines(result, numbers))


# --- dots ----------------------------------------------------------------------------------


def _dots(result: GridResult) -> Figure:
    panels = min(MAX_PANELS, len(result.columns))
    lines = -(-len(result.columns) // panels)
    height = lines * (0.27 * len(result.rows) + (0.35 if len(result.columns) > 1 else 0.15)) + 0.45
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(lines, panels, sharex=True, sharey=True, squeeze=False)
    axes = [axis for line in grid for axis in line]
    for axis, column in zip(axes, result.columns, strict=False):
        cells = [result.cell(row, column) for row in result.rows]
        if len(result.columns) > 1:
            axis.set_title(column, loc="left")
        _dot_panel(axis, cells, result.table.metric)
    for axis in axes[len(result.columns) :]:
        axis.set_visible(False)
    axes[0].set_yticks(range(len(result.rows)), result.rows)
    axes[0].set_ylim(len(result.rows) - 0.5, -0.5)
    figure.supxlabel(axis_label(result.table.metric), fontsize=8.5)
    return figure


def _dot_panel(axes: Axes, cells: Sequence[GridCell], metric: str) -> None:
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    beside = axes.get_yaxis_transform()
    for y, cell in enumerate(cells):
        color = ACCENT if cell.is_baseline else INK
        if cell.summary is None:
            text = note(0, cell.unfinished)
            axes.text(0.02, y, text, transform=beside, va="center", color=GREY, style="italic")
            continue
        mean = scaled(cell.summary.mean, metric)
        if cell.is_baseline:
            axes.axvline(mean, color=ACCENT, linewidth=0.8, alpha=0.45, zorder=1)
        if cell.summary.std is not None:
            std = scaled(cell.summary.std, metric)
            axes.plot([mean - std, mean + std], [y, y], color=color, linewidth=1.6, zorder=2)
        values = [scaled(value, metric) for value in cell.by_seed().values()]
        axes.scatter(values, [y] * len(values), s=13, color="white", edgecolor=color,
                     linewidth=0.9, zorder=3)  # fmt: skip
        axes.scatter([mean], [y], s=70, marker="|", color=color, linewidth=2.2, zorder=4)
        text = number(cell.summary.mean, metric) + ("" if cell.complete else " *")
        axes.text(1.01, y, text, transform=beside, va="center", color=color,
                  weight="bold" if cell.mark == "best" else "normal")  # fmt: skip


# --- lines ---------------------------------------------------------------------------------


def _lines(result: GridResult, numbers: tuple[str, list[float]]) -> Figure:
    field, values = numbers
    metric = result.table.metric
    figure = Figure(figsize=(WIDTH, max(2.8, 0.9 + 0.2 * len(result.rows))), layout="constrained")
    axes = figure.subplots()
    axes.grid(axis="y")
    low, high = min(values), max(values)
    is_log = low > 0 and high / low >= 4
    if is_log:
        axes.set_xscale("log", base=2)
    ends: list[tuple[float, float, str, str]] = []
    for index, cells in enumerate(result.in_rows()):
        color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
        # Side by side where the rows would hide each other.
        aside = (index - (len(result.rows) - 1) / 2) * min(0.016, 0.1 / len(result.rows))
        moved = [_moved(x, aside, low, high, is_log) for x in values]
        points = sorted((x, at) for at, x in enumerate(moved))
        # A gap in the line where a cell has no value.
        summaries = [cells[at].summary for _, at in points]
        means = [scaled(s.mean, metric) if s else float("nan") for s in summaries]
        axes.plot([x for x, _ in points], means, color=color, linewidth=1.5, zorder=2)
        for x, at in points:
            beside = _moved(x, 0.007, low, high, is_log)
            _point(axes, (x, beside), cells[at], metric, color, marker)
        drawn = [(x, y) for (x, _), y in zip(points, means, strict=True) if y == y]
        if drawn:
            ends.append((*drawn[-1], result.rows[index], color))
    ticks = {value: f"{value:g}" for value in sorted(values)}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xticks([], minor=True)
    axes.set_xlabel(field_name(field))
    axes.set_title(axis_label(metric), loc="left")
    axes.margins(x=0.04, y=0.08)
    _end_labels(axes, ends, figure.get_figheight())
    return figure


def _moved(x: float, share: float, low: float, high: float, is_log: bool) -> float:
    """x to the right by a share of the axis."""
    return x * (high / low) ** share if is_log else x + (high - low) * share


def _point(
    axes: Axes,
    xs: tuple[float, float],
    cell: GridCell,
    metric: str,
    color: str,
    marker: str,
) -> None:
    if cell.summary is None:
        return
    mean, std = (scaled(v, metric) for v in (cell.summary.mean, cell.summary.std or 0.0))
    x, beside = xs
    axes.errorbar([x], [mean], [std], color=color, linewidth=1.1, zorder=3)
    seeds = [scaled(value, metric) for value in cell.by_seed().values()]
    axes.scatter([beside] * len(seeds), seeds, s=6, color=color, alpha=0.6, linewidth=0, zorder=3)
    face = color if cell.complete else "white"
    axes.scatter([x], [mean], s=22, marker=marker, color=face, edgecolor=color, zorder=4)


def _end_labels(axes: Axes, ends: Sequence[tuple[float, float, str, str]], height: float) -> None:
    """Each line's name at its right end, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.15 / (height - 0.6)
    placed: list[float] = []
    for _, y, _, _ in (ordered := sorted(ends, key=lambda end: end[1])):
        placed.append(max(y, placed[-1] + gap) if placed else y)
    # Half of what the topmost was lifted is given back to all.
    shift = sum(p - end[1] for p, end in zip(placed, ordered, strict=True)) / max(1, len(placed))
    for y, (x, end, label, color) in zip(placed, ordered, strict=True):
        axes.annotate(
            label, (x, end), (1.03, y - shift), textcoords=axes.get_yaxis_transform(),
            va="center", color=color,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5, "alpha": 0.5,
                        "shrinkA": 1, "shrinkB": 4},
        )  # fmt: skip
