"""What all figures share: one look, drawn without pyplot, and the same bytes each time."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from concepthash.report.wording import arrow, metric_name

ACCENT = "#0072B2"
INK, GREY, PALE = "#333333", "#6b6b6b", "#b3b3b3"
WIDTH = 6.8
"""Inches: the text width of a page."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": "#999999",
    "ytick.color": "#999999",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": "#ececec",
    "grid.linewidth": 0.7,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "concepthash",
    "pdf.fonttype": 42,
}


@contextmanager
def style() -> Iterator[None]:
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # The page's fonts draw what this one lacks: text stays text in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def laid_out(figure: Figure) -> Figure:
    """The figure with its layout computed once, so that SVG and PDF are alike."""
    FigureCanvasAgg(figure).draw()
    figure.set_layout_engine("none")
    return figure


def svg(figure: Figure) -> str:
    """A standalone SVG without date, program or doctype."""
    written = _saved(figure, "svg", "Date", "Creator", "Format", "Type").decode()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", written, flags=re.DOTALL)
    # Control characters, which a label may hold, are not allowed in XML.
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text[text.index("<svg") :])


def inline_svg(text: str, name: str, description: str) -> str:
    """The SVG for a page: ids that are its own, scalable, and named for screen readers.

    `description` must be escaped already.
    """
    text = re.sub(r'((?: id="|href="#)|url\(#)', rf"\1{name}.", text)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height|version)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{description}">{rest}'


def pdf(figure: Figure) -> bytes:
    """Embedded TrueType fonts and no date, as publishers want it."""
    return _saved(figure, "pdf", "CreationDate", "Creator")


def _saved(figure: Figure, kind: str, *left_out: str) -> bytes:
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=kind, metadata=dict.fromkeys(left_out))
    return buffer.getvalue()


def axis_label(metric: str) -> str:
    return f"{metric_name(metric)} {arrow(metric)}"
