"""Numbers, and the names of metrics, fields and protocols, as the text of a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from concepthash.evaluation.catalogue import TABLE_METRICS
from concepthash.plan import Trial
from concepthash.report.statistics import Summary
from concepthash.spec import Table, TrialSpec, is_path
from concepthash.spec.protocol import LEAK

FIELDS = {"num_bits": "Code length K (bits)", "num_concepts": "Number of concepts M"}


# --- numbers -------------------------------------------------------------------------------


def is_percent(metric: str) -> bool:
    """Whether a metric in [0, 1] is shown in percent; of a metric that no table shows: no."""
    return metric in TABLE_METRICS and TABLE_METRICS[metric].unit == "%"


def scaled(value: float, metric: str) -> float:
    """The value in the unit in which it is shown."""
    return 100 * value if is_percent(metric) else value


def as_shown(value: float, metric: str) -> float:
    """The value in the unit in which it is shown, rounded as it is printed."""
    return float(f"{scaled(value, metric):.{_decimals(metric)}f}")


def number(value: float | None, metric: str, *, sign: bool = False) -> str:
    """`81.2` in percent, `0.123` otherwise; with U+2212 as minus, and never `−0.0`."""
    if value is None:
        return "–"
    shown = as_shown(value, metric) or 0.0
    text = f"{abs(shown):.{_decimals(metric)}f}"
    plus = "+" if shown > 0 else "±" if sign else ""
    return ("−" if shown < 0 else plus if sign else "") + text


def mean_and_std(summary: Summary, metric: str, *, sign: bool = False) -> str:
    """`81.0 ± 1.0`; the mean alone where there is a single value."""
    mean = number(summary.mean, metric, sign=sign)
    return mean if summary.std is None else f"{mean} ± {number(summary.std, metric)}"


def counted(counts: Mapping[str, int]) -> str:
    """`1 failed, 2 missing`."""
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def note(n: int, unfinished: Mapping[str, int]) -> str:
    """What stands beside a cell's number: `n=3`, or `n=2, 1 failed`; without one: `failed`."""
    if n:
        return ", ".join(filter(None, [f"n={n}", counted(unfinished)]))
    return next(iter(unfinished)) if len(unfinished) == 1 else counted(unfinished)


def in_terminal(
    summary: Summary | None, metric: str, unfinished: Mapping[str, int], *, best: bool = False
) -> str:
    """`81.0 ± 1.0 (3)`, with n in brackets, what is missing beside it, and * after the best."""
    if summary is None:
        return note(0, unfinished)
    beside = ", ".join(filter(None, [str(summary.n), counted(unfinished)]))
    return f"{mean_and_std(summary, metric)} ({beside}){' *' if best else ''}"


def difference(delta: Summary, n: int, metric: str) -> str:
    """`Δ −1.2 ± 0.8`, and over how many seeds if not over all n of the cell."""
    pairs = f" ({plural(delta.n, 'pair')})" if delta.n < n else ""
    return f"Δ {mean_and_std(delta, metric, sign=True)}{pairs}"


def interval(ends: tuple[float, float] | None, metric: str) -> str:
    """`[+0.4, +2.0]`; an end that rounds to 0 keeps its sign, since the verdict depends on it."""
    if ends is None:
        return "–"
    signs = ("−" if end < 0 else "+" if end > 0 else "" for end in ends)
    shown = (sign + number(abs(end), metric) for sign, end in zip(signs, ends, strict=True))
    return f"[{', '.join(shown)}]"


def probability(p: float | None) -> str:
    """`0.031`; `<0.001` below 0.0005."""
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def duration(seconds: float | None) -> str:
    """`4 s`, `1 min 05 s`, `2 h 01 min`."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _decimals(metric: str) -> int:
    return 1 if is_percent(metric) else 3


# --- names ---------------------------------------------------------------------------------


def metric_name(metric: str) -> str:
    """`mAP@all (%)`."""
    return TABLE_METRICS[metric].title + (" (%)" if is_percent(metric) else "")


def lower_is_better(metric: str) -> bool:
    return TABLE_METRICS[metric].better == "lower"


def arrow(metric: str) -> str:
    return "↓" if lower_is_better(metric) else "↑"


def direction(metric: str) -> str:
    return "lower is better" if lower_is_better(metric) else "higher is better"


def ranks_the_database(metric: str) -> bool:
    return TABLE_METRICS[metric].name.endswith("map")


def field_name(field: str) -> str:
    return FIELDS.get(field, field)


def table_title(table: Table) -> str:
    return table.title or table.name.replace("_", " ").replace("-", " ").capitalize()


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = " ".join(text.split())
    if text and not text.startswith("mAP"):
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else text + "."


def sentences(parts: Iterable[str]) -> str:
    """The parts that are not empty, a sentence each."""
    return " ".join(sentence(part) for part in parts if part)


# --- the study -----------------------------------------------------------------------------


def seeds_in_caption(seeds: tuple[int, ...]) -> str:
    listed, n = ", ".join(map(str, seeds)), len(seeds)
    if n == 1:
        return f"one seed, {listed} (n=1), so no standard deviation is known"
    return f"mean ± standard deviation over seeds {listed} (n={n} unless noted, ddof = 1)"


def protocols_in_full(specs: Iterable[TrialSpec]) -> str:
    """Every protocol in use, each once."""
    return " · ".join(dict.fromkeys(map(protocol_in_full, specs)))


def protocol_in_full(spec: TrialSpec) -> str:
    """A trial's protocol: training images, queries, database, and when it is tested."""
    protocol = spec.protocol
    parts = [protocol.queries_and_database()]
    if spec.images_per_class is not None:
        parts.append(f"trained on {plural(spec.images_per_class, 'image')} of each class")
    if spec.mean_center == "on":
        parts.append("the database's mean is subtracted before binarizing")
    parts += ["mAP@all over the whole database, ties averaged", protocol.when_tested()]
    return f"{protocol.name}: {'; '.join(parts)}"


def protocols_in_caption(specs: Iterable[TrialSpec], metric: str) -> str:
    """The protocols of a table, as far as they matter for its metric; one that leaks says so."""
    specs = list(specs)
    protocols = {spec.protocol.name: spec.protocol for spec in specs}
    *others, last = protocols
    names = f"{', '.join(others)} and {last}" if others else last
    text = f"{names} protocol{'s' if others else ''}"
    leaking = [name for name, protocol in protocols.items() if protocol.test_chooses_epoch]
    leak = f"{' and '.join(leaking)} {LEAK}" if leaking else ""
    if metric.startswith("val/"):
        text += ": validation split held out of the training images"
        return f"{text}; {leak}" if leak else text
    sides = {spec.protocol.queries_and_database() for spec in specs}
    if len(sides) == 1:
        text += f": {sides.pop()}"
    if ranks_the_database(metric):
        text += ", whole database ranked, ties averaged"
    centered = sum(spec.mean_center == "on" for spec in specs)
    if centered:
        some = "" if centered == len(specs) else " in some trials"
        text += f", the database's mean is subtracted before binarizing{some}"
    return f"{text}; {leak}" if leak else f"{text}, last epoch"


def baseline_in_full(baseline: Trial) -> str:
    """The fields in which the baseline differs from the defaults of its method."""
    spec = baseline.spec
    usual = Trial(dataset=baseline.dataset, spec=type(spec)(), seed=baseline.seed)
    mine, default = baseline.parameters(), usual.parameters()
    ours = spec.method == "concepthash"
    parts = []
    for name, value in mine.items():
        if name not in default:
            parts.append(f"{name} = {_value(name, value)}")
        elif default[name] != value:
            was = f"{'paper' if ours else 'default'}: {_value(name, default[name])}"
            parts.append(f"{name} = {_value(name, value)} ({was})")
    whose = "the paper’s defaults" if ours else f"the defaults of {spec.method}"
    return f"{whose}, but {', '.join(parts)}" if parts else whose


def _value(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return Path(value).name if is_path(name, value) else str(value)
