"""Any text as plain text of TeX and of GitHub-flavoured Markdown."""

from __future__ import annotations

import re
import unicodedata


class Raw(str):
    """Markup that is already escaped."""

    __slots__ = ()


_TEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "±": r"$\pm$",
    "×": r"$\times$",
    "÷": r"$\div$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "−": "$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "·": r"$\cdot$",
    "°": r"$^\circ$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "\N{NO-BREAK SPACE}": "~",
    "ß": r"{\ss}",
    "ø": r"{\o}",
    "Ø": r"{\O}",
    "æ": r"{\ae}",
    "Æ": r"{\AE}",
    "œ": r"{\oe}",
    "ł": r"{\l}",
    "Ł": r"{\L}",
    "ı": r"{\i}",
}
_SMALL = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau"
_LARGE = "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩµ",
        f"{_SMALL} upsilon phi chi psi omega {_LARGE} mu".split(),
        strict=True,
    )
)
_ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308", "`'^~=u.\"", strict=True))
_ACCENTS |= {"\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"}


def tex(text: str) -> str:
    """ASCII that pdflatex typesets as the text, with no package loaded.

    A character that the standard fonts lack becomes its code point, `[U+4E2D]`.
    """
    escaped = "".join(map(_tex_character, " ".join(text.split())))
    # Two hyphens would become a dash, ?` and !` Spanish marks; after the end of a row a bracket
    # would be its spacing, and a star its variant.
    return re.sub(r"(?<=[?!])`|(?<=-)-|^[\[*]", r"{}\g<0>", escaped)


def _tex_character(character: str) -> str:
    if character in _TEX:
        return _TEX[character]
    if character in _GREEK:
        return f"$\\{_GREEK[character]}$"
    if " " <= character <= "~":
        return character
    decomposed = unicodedata.normalize("NFD", character)
    base, marks = decomposed[0], decomposed[1:]
    if base.isascii() and base.isalpha() and marks and all(mark in _ACCENTS for mark in marks):
        letter = {"i": r"\i", "j": r"\j"}.get(base, base)
        for mark in marks:
            letter = f"\\{_ACCENTS[mark]}{{{letter}}}"
        return letter
    return f"[U+{ord(character):04X}]"


def markdown(text: str) -> str:
    """Text that is one line, breaks no table and starts no markup."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_{}\[\]|~#$])", r"\\\1", text)
    text = re.sub(r"^([+-])", r"\\\1", text)
    # A number and a dot at the start would be a list; an address or @name a link.
    text = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)
    return re.sub(
        r"(://|www\.|(?<!\w)@(?=\w))", lambda found: f"{found[0][0]}&#8203;{found[0][1:]}", text
    )
