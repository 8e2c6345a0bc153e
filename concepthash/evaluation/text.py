"""Values of metrics as a terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_text(values: Mapping[str, Any], indent: str = "") -> str:
    """A mapping as lines of `name value`, what it holds indented below."""
    lines = []
    for name, item in values.items():
        if isinstance(item, list) and item and all(isinstance(each, Mapping) for each in item):
            lines.append(f"{indent}{name}")
            lines += [f"{indent}  {_in_a_line(each)}" for each in item]
        elif isinstance(item, Mapping) and not (indent and _is_flat(item)):
            lines += [f"{indent}{name}", as_text(item, indent + "  ")]
        else:
            lines.append(f"{indent}{name} {_in_a_line(item)}")
    return "\n".join(lines)


def _is_flat(mapping: Mapping[str, Any]) -> bool:
    return not any(isinstance(item, Mapping | list) for item in mapping.values())


def _in_a_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{name} {_in_a_line(item)}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_in_a_line, value))
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
