"""Which groups may run now, and which never will: trials wait for those that they need."""

import heapq
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from lnets.results.records import Status
from lnets.results.store import Store
from lnets.specs.experiment import TrainingSpec
from lnets.specs.identity import canonical_json
from lnets.sweep.grouping import make_groups
from lnets.sweep.messages import Group, Job, Result
from lnets.sweep.plan import Plan, Trial
from lnets.sweep.progress import Progress, Watcher
from lnets.sweep.runner import record_without_result
from lnets.sweep.search import Search

_log = logging.getLogger(__name__)

_MOST_BACKOFF_SECONDS = 3600.0
_ENDINGS = {
    "failed": "has failed (trial {}); submitting again tries it again",
    "diverged": "has diverged (trial {}); change its experiment",
    "blocked": "is blocked itself (trial {})",
}


class Schedule(Watcher):
    """Hands out groups, and hears how they end.

    Iterating gives the next group, or None while all that are left wait: for some that are at work,
    or, after the death of their worker, for a while. It ends when nothing is at work any more, as
    whatever is may have to begin again.
    A group whose needs cannot be had any more is not handed out: its trials end as `blocked`.
    Nothing is handed out any more once a result could not be spooled.

    Args:
        plan: What the sweep asks for.
        groups: What is to run; trials of a group need the same.
        store: Where results go.
        commit: Of the code.
        progress: Kept up to date.
        changed: Called after each change of `progress`.
        search: Brings further trials as results come in.
        workers: Groups that run at the same time.
    """

    def __init__(
        self,
        plan: Plan,
        groups: Sequence[tuple[Trial, ...]],
        store: Store,
        commit: str | None,
        progress: Progress,
        changed: Callable[[], None],
        search: Search | None = None,
        workers: int = 1,
    ) -> None:
        super().__init__(progress, store, changed)
        self._plan = plan
        self._search, self._workers = search, workers
        self._planned = {(trial.trial_key, trial.until) for group in groups for trial in group}
        self._places = itertools.count()
        self._commit = commit
        self._attempts = dict(store.ended().attempts)
        self._statuses: dict[str, Status] = {}
        self._deaths: Counter[tuple[Job, ...]] = Counter()
        self._again: list[tuple[float, int, Group]] = []
        self._at_work: set[tuple[Job, ...]] = set()
        self._ready: list[tuple[int, tuple[Trial, ...]]] = []
        self._waiting: dict[tuple[str, ...], list[tuple[int, tuple[Trial, ...]]]] = {}
        self._add(groups)
        if search is not None:
            progress.done, progress.needed = 0, frozenset()
            self._count(search)

    def __iter__(self) -> Iterator[Group | None]:
        return self

    def __next__(self) -> Group | None:
        if self.not_kept is not None:
            raise StopIteration
        group = self._next()
        if group is not None:
            self._at_work.add(group.jobs)
            return group
        searching = self._search is not None and not self._search.over
        if self._again or self._at_work or self._waiting or searching:
            return None
        raise StopIteration

    def ended(self, group: Group, results: Sequence[Result]) -> None:
        """Every trial of a group is in the spool; others may run now, or never."""
        super().ended(group, results)
        self._at_work.discard(group.jobs)
        self._statuses |= {result.trial_key: result.status for result in results}
        if self._search is not None:
            self._search.candidates.heard(results)
        self._settle()

    def lost(self, group: Group, reason: str) -> None:
        """A worker has died with a group, which begins again after a while, but not for ever."""
        resources = self._plan.sweep.resources
        self._deaths[group.jobs] += 1
        deaths = self._deaths[group.jobs]
        if deaths > resources.max_failures:
            super().lost(group, reason)
            return
        self._at_work.discard(group.jobs)
        wait = min(resources.backoff * 2 ** (deaths - 1), _MOST_BACKOFF_SECONDS)
        heapq.heappush(self._again, (time.monotonic() + wait, next(self._places), group))
        self._progress.retry(group, reason)
        key = group.jobs[0].trial_key
        _log.warning("%s, in %g s", self._progress.last_error, wait, extra={"trial_key": key})
        self._changed()

    def _next(self) -> Group | None:
        """What can run now."""
        if self._again and self._again[0][0] <= time.monotonic():
            return heapq.heappop(self._again)[-1]
        while self._ready or self._searched():
            trials = self._left(heapq.heappop(self._ready)[1])
            if trials:
                return self._group(trials)
            self._settle()
        return None

    def _add(self, groups: Sequence[tuple[Trial, ...]]) -> None:
        for group in groups:
            self._waiting.setdefault(group[0].needs, []).append((next(self._places), group))
        self._settle()

    def _searched(self) -> bool:
        """Whether the search has brought what can run now."""
        while self._search is not None and not self._ready:
            trials = self._search.more()
            for trial, reason, last in self._search.candidates.take_stopped():
                self._stop(trial, reason, last)
            needed = self._search.planner.needed(trials).values()
            fresh = [t for t in (*needed, *trials) if self._is_new(t)]
            self._planned |= {(trial.trial_key, trial.until) for trial in fresh}
            own = {trial.trial_key for trial in trials}
            self._progress.needed |= {t.trial_key for t in fresh if t.trial_key not in own}
            self._count(self._search)
            resources, alone = self._plan.sweep.resources, self._alone(fresh)
            self._add(make_groups(fresh, resources, self._workers, alone))
            if not trials:
                break
        return bool(self._ready)

    def _is_new(self, trial: Trial) -> bool:
        planned = (trial.trial_key, trial.until) in self._planned
        return not planned and trial.trial_key not in self._store.seen.finished

    def _alone(self, trials: Sequence[Trial]) -> frozenset[str]:
        """Keys of trials that are not trained together with others."""
        failed = self._store.seen.failed
        if self._plan.sweep.scheduler is None:
            return failed
        return failed | {t.trial_key for t in trials if not _pauses_together(t)}

    def _count(self, search: Search) -> None:
        # What others need may be proposed, too.
        every = search.candidates.every
        self._progress.needed -= {t.trial_key for one in every for t in one.trials}
        self._progress.done += search.candidates.take_found()
        self._progress.total = search.total + len(self._progress.needed)

    def _stop(self, trial: Trial, reason: str, last: Result | None) -> None:
        """End a trial that does not go on; what it had come to is kept."""
        if trial.trial_key in self._store.seen.stopped | self._store.seen.finished:
            self._progress.done += 1
        else:
            self._end([trial], "stopped", reason, {} if last is None else last.metrics)

    def _settle(self) -> None:
        """Look again at what waits."""
        for needs in list(self._waiting):
            statuses = {key: self._status(key) for key in needs}
            lost = [key for key, status in statuses.items() if status in _ENDINGS]
            if lost:
                # Blocking looks again by itself, and may have been here already.
                self._block(self._waiting.pop(needs, []), lost[0])
            elif all(status == "completed" for status in statuses.values()):
                for entry in self._waiting.pop(needs, []):
                    heapq.heappush(self._ready, entry)

    def _status(self, key: str) -> Status | None:
        """How a needed trial has ended, here or before; None if it has yet to."""
        seen = self._store.seen
        if key in seen.finished:
            return "completed" if key in seen.completed else "diverged"
        return self._statuses.get(key)

    def _block(self, entries: Sequence[tuple[int, tuple[Trial, ...]]], key: str) -> None:
        trials = self._left([trial for _, group in entries for trial in group])
        if not trials:
            return
        name = next(name for name, its in self._plan.needs.items() if its == key)
        status = self._status(key)
        assert status is not None
        reason = f"needs `{name}`, which {_ENDINGS[status].format(key)}"
        self._end(trials, "blocked", reason)

    def _end(
        self,
        trials: Sequence[Trial],
        status: Status,
        reason: str,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Trials that do not run, or do not go on, end like others."""
        group = self._group(trials)
        records = [
            record_without_result(job, group.device, status, reason).with_metrics(metrics or {})
            for job in group.jobs
        ]
        for record in records:
            self._store.put(record)
        self.ended(group, [Result.of(record) for record in records])

    def _left(self, trials: Sequence[Trial]) -> list[Trial]:
        """Without those that another driver on this store was faster with."""
        left = [trial for trial in trials if trial.trial_key not in self._store.seen.finished]
        self._progress.done += len(trials) - len(left)
        return left

    def _group(self, trials: Sequence[Trial]) -> Group:
        resources = self._plan.sweep.resources
        return Group(
            jobs=tuple(map(self._job, trials)),
            store=str(self._store.root),
            device="cuda" if resources.gpu else "cpu",
            threads=resources.cpu,
            compile=resources.compile,
        )

    def _job(self, trial: Trial) -> Job:
        attempt = self._attempts[trial.trial_key] = self._attempts.get(trial.trial_key, 0) + 1
        return Job(
            trial_key=trial.trial_key,
            config_key=trial.config_key,
            sweep_id=self._plan.sweep_id,
            name=trial.name,
            label=trial.label,
            seed=trial.seed,
            attempt=attempt,
            commit=self._commit,
            config=canonical_json(trial.experiment),
            until=trial.until,
            keep=trial.keep,
        )


def _pauses_together(trial: Trial) -> bool:
    return isinstance(trial.experiment, TrainingSpec) and trial.experiment.pauses_together
