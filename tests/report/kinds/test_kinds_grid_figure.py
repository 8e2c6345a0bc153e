from __future__ import annotations

from xml.etree import ElementTree

import pytest
from report_studies import BITS, LOSSES

from concepthash.report.figures import svg


def test_dots_show_rows_means_and_what_failed(table_of) -> None:
    values = {
        ("baseline", "baseline"): [0.5, 0.6, 0.7],
        ("no quantization", "baseline"): [0.4, "failed", 0.5],
        ("no margin", "baseline"): ["failed", "failed", "failed"],
    }
    table = table_of(LOSSES, values)
    for shown in ("no quantization", "60.0", "45.0 *", "failed", "mAP@all (%)"):
        assert shown in svg(table.draw())
    assert "*: not all seeds finished" in table.figure_caption


def test_lines_over_numeric_columns_are_labelled_at_their_ends(table_of) -> None:
    values = {("text", f"{k} bits"): [0.5 + k / 200, 0.52 + k / 200] for k in (16, 32, 64)}
    table = table_of(BITS, values | {("learned", "16 bits"): [0.5]}, seeds=[0, 1])
    for shown in ("text", "learned", "16", "32", "64", "Code length K (bits)"):
        assert f">{shown}<" in svg(table.draw())
    (axes,) = table.draw().axes
    # Means in percent, in the order of the columns.
    assert axes.lines[0].get_ydata() == pytest.approx([59.0, 67.0, 83.0])
    assert axes.get_legend() is None
    assert "Without a value: learned × 32 bits (missing)" in table.figure_caption


@pytest.mark.parametrize("labels", [["$x_{$", "a & <b> \\frac", "%_#"], ["x" * 60, "é中", " "]])
def test_any_label_can_be_drawn(table_of, labels: list[str]) -> None:
    rows = [{"label": label, "loss.margin": i / 10} for i, label in enumerate(labels)]
    values = {(label, "baseline"): [0.5] for label in labels}
    text = svg(table_of({"name": "t", "rows": rows}, values, seeds=[0]).draw())
    root = ElementTree.fromstring(text)
    shown = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(labels) - {" "} <= shown


def test_many_columns_have_a_panel_each(table_of) -> None:
    columns = [{"label": f"c{i}", "loss.scale": float(i + 1), "epochs": i + 1} for i in range(6)]
    table = {"name": "t", "rows": [{"label": "a"}], "columns": columns}
    figure = table_of(table, {("a", f"c{i}"): [0.5] for i in range(6)}, seeds=[0]).draw()
    assert [axes.get_title("left") for axes in figure.axes if axes.get_visible()] == [
        f"c{i}" for i in range(6)
    ]


def test_without_a_finished_trial_there_is_no_figure_and_the_page_says_why(table_of) -> None:
    table = table_of(LOSSES)
    assert table.draw() is None
    assert "has finished" in table.without_figure
