"""How fast the trials of a run are, and which of them have fallen silent. Pure.

All times are seconds of one clock that does not go back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from statistics import fmean, median

_LAST = 30
"""The speed of a run is that of so many epochs, the last ones."""
_SILENT_EPOCHS, _SILENT_S, _SILENT_START_S = 5, 20.0, 120.0
"""A trial is silent after so many of its usual epochs, but no sooner than after so many seconds;
before its first epoch, in which its worker loads libraries and data, after more of them."""


@dataclass
class Pace:
    """The reports of the trials of a run."""

    heard: dict[str, float] = field(default_factory=dict)
    """When each running trial was last heard of, by digest."""
    starting: set[str] = field(default_factory=set)
    """Those of them that have not reported an epoch yet."""
    epochs: deque[float] = field(default_factory=lambda: deque(maxlen=_LAST))
    """Seconds of the last epochs, but for those in which a worker starts."""
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=_LAST))
    """Seconds to the first epoch of each worker."""
    widths: deque[int] = field(default_factory=lambda: deque(maxlen=_LAST))
    """How many trials ran at the same time, at each of the last epochs."""
    began: bool = False
    """Whether a trial has started."""

    def started(self, digest: str, at: float) -> None:
        self.began = True
        self.heard[digest] = at
        self.starting.add(digest)

    def reported(self, digest: str, at: float) -> None:
        took = at - self.heard[digest]
        (self.starts if digest in self.starting else self.epochs).append(took)
        self.starting.discard(digest)
        self.heard[digest] = at
        self.widths.append(len(self.heard))

    def ended(self, digest: str) -> None:
        self.heard.pop(digest, None)
        self.starting.discard(digest)

    @property
    def usual_epoch(self) -> float | None:
        """Median seconds of an epoch in this run; None before the first."""
        seen = self.epochs or self.starts
        return median(seen) if seen else None

    def silent(self, at: float, usual: float | None) -> dict[str, float]:
        """Running trials that nothing was heard of for much longer than usual, with the seconds.

        `usual` is the usual duration of an epoch, if it is known.
        """
        limit = max(_SILENT_S, _SILENT_EPOCHS * usual) if usual else _SILENT_START_S
        return {
            digest: at - heard
            for digest, heard in list(self.heard.items())
            if at - heard > (max(limit, _SILENT_START_S) if digest in self.starting else limit)
        }

    def seconds_left(self, at: float, left: int, longest: int) -> float | None:
        """How long the run still takes; None before its first epoch.

        `left` epochs are left in all, `longest` of them in one running trial. Trials go on at the
        speed of the last epochs, as many at a time as in these. An epoch counts down while it is
        trained, and stands still when it takes longer than usual.
        """
        seen = self.epochs or self.starts
        if not seen or not self.heard:
            return None
        epoch = max(fmean(seen), 1e-9)
        begun = [min(1.0, (at - heard) / epoch) for heard in list(self.heard.values())]
        everyone = (left - sum(begun)) / max(self.widths)
        return epoch * max(0.0, everyone, longest - max(begun))
