"""How numbers, metrics, fields and data sets are called in the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from concepthash.report.statistics import Summary
from concepthash.spec import LOWER_IS_BETTER, METRICS, DatasetSpec, TrialSpec
from concepthash.spec.trial import is_path

FIELDS = {"num_bits": "Code length K (bits)", "num_concepts": "Number of concepts M"}


# --- numbers -------------------------------------------------------------------------------


def is_map(metric: str) -> bool:
    return metric.endswith(("/map", "_map"))


def scaled(value: float, metric: str) -> float:
    """mAP in percent, anything else as it is."""
    return 100 * value if is_map(metric) else value


def as_shown(value: float, metric: str) -> float:
    """The number that a reader sees."""
    return float(f"{scaled(value, metric):.{_decimals(metric)}f}")


def number(value: float | None, metric: str, *, sign: bool = False) -> str:
    """`81.2` for mAP, `0.123` for others; with a true minus, and no minus zero."""
    if value is None:
        return "–"
    shown = as_shown(value, metric) or 0.0
    text = f"{abs(shown):.{_decimals(metric)}f}"
    plus = "+" if shown > 0 else "±" if sign else ""
    return ("−" if shown < 0 else plus if sign else "") + text


def mean_and_std(summary: Summary, metric: str, *, sign: bool = False) -> str:
    mean = number(summary.mean, metric, sign=sign)
    return mean if summary.std is None else f"{mean} ± {number(summary.std, metric)}"


def counted(counts: Mapping[str, int]) -> str:
    """`1 failed, 2 missing`."""
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def note(n: int, planned: int, troubles: Mapping[str, int]) -> str:
    """What stands beside a cell's number: `n=3`, or `n=2, 1 failed`; alone: `failed`."""
    if n:
        return ", ".join(filter(None, [f"n={n}", counted(troubles)]))
    return next(iter(troubles)) if len(troubles) == 1 else counted(troubles)


def difference(delta: Summary, n: int, metric: str) -> str:
    """`Δ −1.2 ± 0.8`, and over how many seeds if not over all n of the cell."""
    pairs = f" ({plural(delta.n, 'pair')})" if delta.n < n else ""
    return f"Δ {mean_and_std(delta, metric, sign=True)}{pairs}"


def interval(ends: tuple[float, float] | None, metric: str) -> str:
    """`[+0.4, +2.0]`; an end keeps its sign where it rounds to 0, for a verdict may hang on it."""
    if ends is None:
        return "–"
    signs = ("−" if end < 0 else "+" if end > 0 else "" for end in ends)
    shown = (sign + number(abs(end), metric) for sign, end in zip(signs, ends, strict=True))
    return f"[{', '.join(shown)}]"


def probability(p: float | None) -> str:
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.0005 else "<0.001"


def duration(seconds: float | None) -> str:
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
    return 1 if is_map(metric) else 3


# --- names ---------------------------------------------------------------------------------


def metric_name(metric: str) -> str:
    """`mAP@all (%)`."""
    return METRICS.get(metric, metric) + (" (%)" if is_map(metric) else "")


def arrow(metric: str) -> str:
    return "↓" if metric in LOWER_IS_BETTER else "↑"


def direction(metric: str) -> str:
    return "lower is better" if metric in LOWER_IS_BETTER else "higher is better"


def field_name(field: str) -> str:
    return FIELDS.get(field, field)


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = " ".join(text.split())
    if text and not text.startswith("mAP"):
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else text + "."


# --- the study -----------------------------------------------------------------------------


def dataset_words(dataset: DatasetSpec) -> str:
    """The data set without the folder in which it lies."""
    if dataset.name == "paperbirds":
        text = (
            f"paperbirds ({dataset.species} species in {dataset.families} families,"
            f" {dataset.train_images} training and {dataset.test_images} test images each,"
            f" {dataset.size} px, {dataset.difficulty})"
        )
    else:
        text = "CUB-200-2011" if dataset.name == "cub" else dataset.title
    return text if dataset.num_classes is None else f"{text}, first {dataset.num_classes} classes"


def dataset_name(dataset: DatasetSpec) -> str:
    return {"paperbirds": "paperbirds", "cub": "CUB-200-2011"}.get(
        dataset.name, getattr(dataset, "title", dataset.name)
    )


LEAK = "LEAKS: the test queries chose the epoch"


def protocol_words(spec: TrialSpec) -> str:
    """A trial's protocol in full: what asks, what is searched, when it is tested."""
    sides = "queries = test images, database = training images"
    when = "last epoch, test set evaluated once"
    if spec.protocol == "published-code":
        when = f"best of the epochs tested on the test queries, as in the released code; {LEAK}"
    elif spec.protocol == "unseen":
        which = "all classes" if spec.unseen_search == "all" else "these unseen classes alone"
        sides = (
            f"{100 * spec.unseen_share:g} % of the classes, by seed, kept out of training;"
            f" queries = test images, database = training images of {which}"
        )
    elif spec.protocol == "cross-split":
        sides = (
            f"training and test images pooled and split anew into {spec.folds} folds; queries ="
            " the fold of the seed, database = the others"
        )
    if spec.images_per_class is not None:
        sides += f"; trained on {plural(spec.images_per_class, 'image')} of each class"
    if spec.mean_center == "on":
        sides += "; codes less the database's mean before the sign"
    return f"{spec.protocol}: {sides}; mAP@all over the whole database, ties averaged; {when}"


def protocols_in_full(specs: Iterable[TrialSpec]) -> str:
    """Every protocol in use, each once."""
    return " · ".join(dict.fromkeys(map(protocol_words, specs)))


def protocols_in_short(specs: Iterable[TrialSpec], metric: str) -> str:
    """The protocols in a caption; one that leaks says so."""
    specs = list(specs)
    names = list(dict.fromkeys(spec.protocol for spec in specs))
    text = f"{' and '.join(names)} protocol{'s' if len(names) > 1 else ''}"
    if metric == "val/map":
        leak = f"; {LEAK}" if "published-code" in names else ""
        return f"{text}: validation part held out of the training images{leak}"
    sides = ": queries = test images, database = training images" if names == ["paper"] else ""
    ranking = ", whole database ranked, ties averaged" if is_map(metric) else ""
    last = f"; published-code {LEAK}" if "published-code" in names else ", last epoch"
    centered = sum(spec.mean_center == "on" for spec in specs)
    mean = f", codes {'' if centered == len(specs) else 'partly '}mean-centered" if centered else ""
    return f"{text}{sides}{ranking}{mean}{last}"


def baseline_words(baseline: TrialSpec) -> str:
    """The fields in which the baseline differs from the paper’s defaults, or that none does."""
    mine, paper = (dict(_flat(spec.model_dump(mode="json"))) for spec in (baseline, TrialSpec()))
    parts = []
    for name in dict.fromkeys([*mine, *paper]):
        if name in mine and mine[name] != paper.get(name):
            was = f" (paper: {_value(name, paper[name])})" if name in paper else ""
            parts.append(f"{name} = {_value(name, mine[name])}{was}")
    if not parts:
        return "the paper’s defaults"
    return "the paper’s defaults, but " + ", ".join(parts)


def _value(name: str, value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(str, value)) + "]"
    return Path(value).name if is_path(name, value) else str(value)


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
