"""The state of a study: what is trained, running, failed and left. Pure.

`state_of` makes it from a plan and the runs in the store. While a study runs, the driver tells it
what happens (`started`, `reported`, `ended`); the display and the outcome of a run only read it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from concepthash.plan import Plan, Trial
from concepthash.spec import SearchTable, label_of
from concepthash.study.pace import Pace
from concepthash.study.points import (
    Point,
    Values,
    contains,
    covering_points,
    every_point,
    point_at,
    point_of,
)
from concepthash.tracking.runs import Earlier, Status

METRIC = "val/map"
"""What a search maximises."""


@dataclass
class TrialState:
    """One trial, and how far it is."""

    trial: Trial
    label: str
    """Row and column of its first cell, or what a search changed."""
    status: Status | Literal["missing"] = "missing"
    table: str | None = None
    """The search that sampled it; None for a trial of a cell."""
    epoch: int = 0
    """Epochs trained so far."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The latest value of each; `time/total_s` is how many seconds it has trained."""
    reason: str = ""
    """Why it failed."""

    @property
    def title(self) -> str:
        """Label and seed."""
        return f"{self.label}, seed {self.trial.seed}"

    @property
    def name(self) -> str:
        """What people read: label, seed and digest."""
        return f"{self.title} ({self.trial.digest})"

    @property
    def epochs(self) -> int:
        """How many it trains in all."""
        return self.trial.spec.epochs


@dataclass
class SearchState:
    """How far a search is."""

    table: SearchTable
    baseline: Trial
    """What its trials change; they all have the study's first seed."""
    own: int
    """Trials that it adds to those of the cells: sampled ones, and those that are left."""
    left: int
    """How many trials it still samples; in a space of few combinations, at most so many."""
    known: tuple[tuple[Point, float], ...]
    """Points that are evaluated, with their `val/map`, whichever table they were trained for."""


class Counts(NamedTuple):
    """How many trials there are of each kind; a trial of several tables counts once."""

    total: int
    finished: int
    pruned: int
    failed: int
    running: int
    left: int
    """To train, those included that failed or were interrupted; not those that are running."""

    @property
    def trained(self) -> int:
        return self.finished + self.pruned


@dataclass
class StudyState:
    """The trials of a study by digest, those of cells first, and its searches by name."""

    cells: Mapping[str, Trial]
    trials: dict[str, TrialState]
    searches: dict[str, SearchState]
    pace: Pace = field(default_factory=Pace)
    """Of this run."""
    epochs_trained: int = 0
    """In this run, by all trials."""

    # --- events of a run ---

    def started(self, trial: Trial, at: float, table: str | None = None, label: str = "") -> None:
        """A worker trains the trial. `table` and `label` are those of a sampled one.

        `at` is in seconds of any clock that does not go back. Called again when another worker
        goes on with the trial.
        """
        self.pace.started(trial.digest, at)
        known = self.trials.setdefault(trial.digest, TrialState(trial, label, table=table))
        if known.status != "running" and table is not None:
            self.searches[table].left -= 1
        known.status = "running"

    def reported(self, digest: str, metrics: Mapping[str, float], at: float) -> None:
        """A running trial reported an epoch, `metrics["epoch"]`."""
        known = self.trials[digest]
        known.epoch = int(metrics["epoch"])
        known.metrics |= metrics
        self.epochs_trained += 1
        self.pace.reported(digest, at)

    def ended(
        self, digest: str, status: Literal["finished", "pruned", "failed"], reason: str = ""
    ) -> None:
        """A running trial ended; `reason` says why it failed."""
        self.trials[digest].status, self.trials[digest].reason = status, reason
        self.pace.ended(digest)

    def exhausted(self, search: str) -> None:
        """A search has no other point to propose: it ends with fewer trials than it wanted."""
        state = self.searches[search]
        state.own, state.left = state.own - state.left, 0

    # --- what is read of it ---

    @property
    def running(self) -> list[TrialState]:
        return [known for known in list(self.trials.values()) if known.status == "running"]

    @property
    def cells_to_train(self) -> list[Trial]:
        """The trials of cells that are not finished and that nobody trains."""
        done = ("finished", "running")
        return [t for digest, t in self.cells.items() if self.trials[digest].status not in done]

    @property
    def trials_to_check(self) -> list[Trial]:
        """Those of cells that are left, and of searches enough that each value occurs in one."""
        searched = [
            point.trial
            for search in self.searches.values()
            if search.left
            for point in covering_points(search.baseline, search.table.search.space)
        ]
        return self.cells_to_train + searched

    @property
    def cells_ended(self) -> bool:
        """Whether every trial of a cell is finished or failed."""
        return all(self.trials[digest].status in ("finished", "failed") for digest in self.cells)

    @property
    def all_ended(self) -> bool:
        """Whether no trial is left but those that failed; false after an interruption."""
        searched = all(search.left == 0 for search in self.searches.values())
        return self.cells_ended and searched and not self.running

    @property
    def counts(self) -> Counts:
        statuses = [
            # For a cell, a trial that a search pruned is not trained.
            "left" if digest in self.cells and known.status == "pruned" else known.status
            for digest, known in list(self.trials.items())  # the display reads it in its thread
        ]
        return Counts(
            total=len(self.cells) + sum(search.own for search in self.searches.values()),
            finished=statuses.count("finished"),
            pruned=statuses.count("pruned"),
            failed=statuses.count("failed"),
            running=statuses.count("running"),
            left=len(self.cells_to_train) + sum(s.left for s in self.searches.values()),
        )

    @property
    def epochs_left(self) -> int:
        """Epochs that trials have still to train, those of running ones included.

        What failed in this run is not trained again in it.
        """
        waiting = [self.trials[trial.digest] for trial in self.cells_to_train]
        if self.pace.began:
            waiting = [known for known in waiting if known.status != "failed"]
        begun = sum(known.epochs - known.epoch for known in waiting + self.running)
        return begun + sum(s.left * s.baseline.spec.epochs for s in self.searches.values())

    @property
    def seconds_an_epoch(self) -> float | None:
        """Mean over the trials that were trained to the end; None without one."""
        seconds, epochs = 0.0, 0
        for known in self.trials.values():
            if known.status == "finished" and "time/total_s" in known.metrics:
                seconds += known.metrics["time/total_s"]
                epochs += known.epochs
        return seconds / epochs if epochs else None

    def seconds_left(self, at: float) -> float | None:
        """At the speed of this run's last epochs; None before its first, and while none runs."""
        longest = max((known.epochs - known.epoch for known in self.running), default=0)
        return self.pace.seconds_left(at, self.epochs_left, longest)

    def silent(self, at: float) -> dict[str, float]:
        """Running trials that nothing was heard of for unusually long, with the seconds."""
        return self.pace.silent(at, self.usual_epoch)

    @property
    def usual_epoch(self) -> float | None:
        """Seconds, of this run or else of the trials that were trained to the end."""
        return self.pace.usual_epoch or self.seconds_an_epoch


def state_of(plan: Plan, earlier: Mapping[str, Earlier]) -> StudyState:
    """The state as the store has it. Runs of another baseline or another space are left out."""
    trials = {digest: TrialState(trial, label) for digest, (trial, label) in plan.labelled.items()}
    for digest, run in earlier.items():
        if digest not in trials and (found := _sampled(plan, digest, run)) is not None:
            trials[digest] = TrialState(found.trial, sampled_label(found.values))
        if digest in trials:
            trials[digest].status, trials[digest].table = run.status, run.table
            trials[digest].epoch, trials[digest].metrics = run.epoch, dict(run.metrics)
    searches = {table.name: search_state(plan, table, trials.values()) for table in plan.searches}
    return StudyState(plan.trials, trials, searches)


def state_to_run(plan: Plan, earlier: Mapping[str, Earlier]) -> StudyState:
    """The state that a new run starts from.

    Failed trials are trained anew, running ones were interrupted, and a search replaces its own
    that did not end.
    """
    kept = {}
    for digest, run in earlier.items():
        if run.status in ("finished", "pruned"):
            kept[digest] = run
        elif run.status != "failed" and digest in plan.trials:
            kept[digest] = run._replace(status="interrupted")
    return state_of(plan, kept)


def search_state(plan: Plan, table: SearchTable, trials: Collection[TrialState]) -> SearchState:
    """How far a search is, when these trials of the study are known."""
    baseline, space = plan.baseline, table.search.space
    known = [
        (point, state.metrics[METRIC])
        for state in trials
        if state.status in ("finished", "pruned") and METRIC in state.metrics
        if (point := point_of(baseline, space, state.trial)) is not None
    ]
    sampled = [
        state.trial.digest
        for state in trials
        if state.table == table.name and state.status in ("finished", "pruned", "running")
    ]
    left = max(0, table.search.trials - len(sampled))
    if left and (points := every_point(baseline, space)) is not None:
        taken = {*plan.trials, *sampled, *(point.trial.digest for point, _ in known)}
        left = min(left, len(points.keys() - taken))
    own = left + sum(digest not in plan.trials for digest in sampled)
    return SearchState(table, baseline, own, left, tuple(known))


def sampled_label(values: Values) -> str:
    """`loss.quantization = 0.7315`: what a search changed, numbers to four digits."""
    return label_of(
        {n: float(f"{v:.4g}") if isinstance(v, float) else v for n, v in values.items()}
    )


def _sampled(plan: Plan, digest: str, run: Earlier) -> Point | None:
    """The point of a trial that a search of the plan sampled; None if it no longer holds."""
    table = next((table for table in plan.searches if table.name == run.table), None)
    if table is None or not contains(table.search.space, run.sampled):
        return None
    point = point_at(plan.baseline, run.sampled)
    return point if point is not None and point.trial.digest == digest else None
