from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from report_studies import LOSSES

from concepthash.report.figures import inline_svg, pdf, svg

VALUES = {("baseline", "baseline"): [0.5, 0.6, 0.7], ("no margin", "baseline"): ["failed"]}


@pytest.fixture
def figure_of(table_of):
    return lambda: table_of(LOSSES, VALUES).draw()


def test_a_figure_has_the_same_bytes_each_time_it_is_drawn(figure_of) -> None:
    first, second = figure_of(), figure_of()
    assert svg(first) == svg(second)
    assert (document := pdf(first)) == pdf(second)
    assert b"CreationDate" not in document
    assert "<metadata" not in svg(first)


def test_svg_of_a_label_with_control_characters_is_xml() -> None:
    figure = Figure()
    figure.text(0.1, 0.5, "a\x01b\x1fc")
    assert "abc" in "".join(ElementTree.fromstring(svg(figure)).itertext())


def test_inline_svg_has_its_own_ids_and_no_address(figure_of) -> None:
    text = inline_svg(svg(figure_of()), "losses", "Dots &amp; means")
    assert "http" not in text
    assert 'role="img" aria-label="Dots &amp; means"' in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert ids
    assert all(name.startswith("losses.") for name in ids)
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
    assert {a or b for a, b in used} <= set(ids)


def test_figures_are_drawn_without_pyplot() -> None:
    code = "import sys, concepthash.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
