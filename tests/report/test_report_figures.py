from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import polars as pl
import pytest
from report_studies import BITS, LOSSES

from concepthash.report.curves import Curve
from concepthash.report.figures import curves_figure, grid_figure, inline_svg, pdf, svg
from concepthash.report.tables import grid_results, prepared

DOTS = {
    ("baseline", "baseline"): [0.5, 0.6, 0.7],
    ("no quantization", "baseline"): [0.4, "failed", 0.5],
    ("no margin", "baseline"): ["failed", "failed", "failed"],
}
LINES = {
    **{("text", f"{k} bits"): [0.5 + k / 200, 0.52 + k / 200] for k in (16, 32, 64)},
    ("learned", "16 bits"): [0.5],
}


def draw(plan, trials):
    (result,) = grid_results(plan, prepared(trials))
    return grid_figure(result)


def test_dots_show_rows_means_and_what_failed(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES)
    text = svg(draw(plan, trials_of(plan, DOTS)))
    for shown in ("no quantization", "60.0", "45.0 *", "failed", "mAP@all (%)"):
        assert shown in text


def test_lines_label_themselves(plan_of, trials_of) -> None:
    plan = plan_of(BITS, seeds=[0, 1])
    figure = draw(plan, trials_of(plan, LINES))
    text = svg(figure)
    for shown in ("text", "learned", "16", "32", "64", "Code length K (bits)"):
        assert f">{shown}<" in text
    (axes,) = figure.axes
    # Means in percent, in the order of the columns.
    assert axes.lines[0].get_ydata() == pytest.approx([59.0, 67.0, 83.0])
    assert axes.get_legend() is None


@pytest.mark.parametrize("labels", [["$x_{$", "a & <b> \\frac", "%_#"], ["x" * 60, "é中", " "]])
def test_any_label_can_be_drawn(plan_of, trials_of, labels: list[str]) -> None:
    rows = [{"label": label, "loss.margin": i / 10} for i, label in enumerate(labels)]
    plan = plan_of({"name": "t", "rows": rows}, seeds=[0])
    text = svg(draw(plan, trials_of(plan, {(label, "baseline"): [0.5] for label in labels})))
    root = ElementTree.fromstring(text)
    shown = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(labels) - {" "} <= shown


def test_many_columns_wrap(plan_of, trials_of) -> None:
    columns = [{"label": f"c{i}", "loss.scale": float(i + 1), "epochs": i + 1} for i in range(6)]
    plan = plan_of({"name": "t", "rows": [{"label": "a"}], "columns": columns}, seeds=[0])
    figure = draw(plan, trials_of(plan, {("a", f"c{i}"): [0.5] for i in range(6)}))
    assert sum(axes.get_visible() for axes in figure.axes) == 6


def test_nothing_to_draw(plan_of) -> None:
    assert draw(plan_of(LOSSES), pl.DataFrame()) is None
    assert curves_figure({"train/total": [], "val/map": []}) is None


def test_the_same_bytes_each_time(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES)
    first, second = (draw(plan, trials_of(plan, DOTS)) for _ in range(2))
    assert svg(first) == svg(second)
    assert (document := pdf(first)) == pdf(second)
    assert b"CreationDate" not in document
    assert "<metadata" not in svg(first)


def test_curves_highlight_the_baseline() -> None:
    usual = Curve("all", True, [1, 2], [2.0, 1.0], [1.9, 0.9], [2.1, 1.1])
    other = Curve("none", False, [1, 2], [3.0, 2.0], [3.0, 2.0], [3.0, 2.0])
    figure = curves_figure({"train/total": [other, usual], "val/map": [usual]})
    assert len(figure.axes) == 2
    assert svg(figure).count(">baseline<") == 2


def test_inline_svg_has_its_own_ids_and_no_address(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES)
    text = inline_svg(svg(draw(plan, trials_of(plan, DOTS))), "losses", "Dots &amp; means")
    assert "http" not in text
    assert 'role="img" aria-label="Dots &amp; means"' in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert ids
    assert all(name.startswith("losses-") for name in ids)
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
    assert {a or b for a, b in used} <= set(ids)


def test_pyplot_stays_out() -> None:
    code = "import sys, concepthash.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
