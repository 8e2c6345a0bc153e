from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concepthash.report.escape import markdown, tex

EVERYTHING = r"a & b % c # d _ e $ f { g } h \ i ~ j ^ k < l > m | n"
UNICODE = '81 ± 2 × 3 → 4 − 5 ≤ 6 Δ α λ Ω µ é ü ñ č å ß ø “q” – — … 中 😀 -- --- ?` "x" ı'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("w/o L_csd & L_cd", r"w/o L\_csd \& L\_cd"),
        ("50%", r"50\%"),
        ("0.2 → 0", r"0.2 $\rightarrow$ 0"),
        ("1 ± 2 × 3", r"1 $\pm$ 2 $\times$ 3"),
        (r"a\b", r"a\textbackslash{}b"),
        ("λ Δ", r"$\lambda$ $\Delta$"),
        ("é", r"\'{e}"),
        ("中", "{}[U+4E2D]"),
        ("--set", "-{}-set"),
        ("a\n b", "a b"),
        ("[2ex] row", "{}[2ex] row"),  # after the end of a row it would be spacing
        ("* row [2]", "{}* row [2]"),
    ],
)
def test_tex(text: str, expected: str) -> None:
    assert tex(text) == expected


@given(st.text())
def test_tex_is_ascii_without_active_characters(text: str) -> None:
    escaped = tex(text)
    assert escaped.isascii()
    # Without escaped characters and accents, nothing that TeX would act on is left.
    bare = re.sub(r"\\[\\{}$&%#_]|\\[~^]\{|~", "", escaped)
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[&%#_]|(?<!\$)\^", bare)


def test_tex_compiles(pdflatex: Path, tmp_path: Path) -> None:
    body = f"{tex(EVERYTHING)}\n\n{tex(UNICODE)}"
    source = f"\\documentclass{{article}}\\begin{{document}}{body}\\end{{document}}"
    (tmp_path / "t.tex").write_text(source, encoding="ascii")
    command = [pdflatex, "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "t.log").read_text(errors="replace")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a | b", r"a \| b"),
        ("<b> & *x*", r"&lt;b&gt; &amp; \*x\*"),
        ("L_csd", r"L\_csd"),
        ("two\nlines", "two lines"),
        ("1. first", r"1\. first"),
        ("- item", r"\- item"),
        ("mAP@all", "mAP@all"),
        ("@someone", "@&#8203;someone"),
    ],
)
def test_markdown(text: str, expected: str) -> None:
    assert markdown(text) == expected
