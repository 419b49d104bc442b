"""Search the trained networks of a sweep for counterexamples to what their trials report."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnets.errors import LnetsError, NotFoundError
from lnets.results.artifacts import WEIGHTS
from lnets.results.lineage import keys_in
from lnets.results.plots import DrawnTrial
from lnets.results.records import FINISHED, KEY_DIGITS
from lnets.results.store import Store
from lnets.results.tables import trials_that_count
from lnets.specs.spec import many
from lnets.sweep.figures import keys_of, labels_of

if TYPE_CHECKING:
    from lnets.tasks.audit import Finding

LEGEND = (
    "attacked: images, or samples, searched from; "
    "reached: the steepest slope met, as a share of the claimed constant"
)
"""What columns of a table of audits are."""

_CLAIM = "lipschitz_upper_bound"


@dataclass(frozen=True)
class Audited:
    """A finished trial, and what a search has made of what it reports."""

    trial_key: str
    network: str
    """What tells the trial from the others of its sweep, or else what it trained, in a line."""
    seconds: float
    """Of the search."""
    finding: "Finding | None" = None
    note: str = ""
    """Why nothing was searched, or found to search."""
    failed: bool = False
    """Whether something is claimed, and could not be searched."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against the trial; empty if nothing does."""
        if self.finding is not None:
            return self.finding.violations
        return (f"could not be audited: {self.note}",) if self.failed else ()

    @property
    def searched(self) -> bool:
        """Whether a counterexample was looked for, or should have been."""
        return self.failed or (self.finding is not None and self.finding.attacked > 0)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        found = self.finding
        return {
            "trial_key": self.trial_key,
            "network": self.network,
            "claimed": None if found is None else found.claimed,
            "attacked": 0 if found is None else found.attacked,
            "reached": None if found is None else found.reached,
            "violations": [] if found is None else list(found.violations),
            "note": self.note,
            "seconds": self.seconds,
        }

    def to_row(self, *, noted: bool) -> dict[str, Any]:
        """The same for a person, with the note if any trial has one."""
        row = self.to_json()
        reached, claimed = row["reached"], row["claimed"]
        return {
            "trial": row["trial_key"][:KEY_DIGITS],
            "network": row["network"],
            "claimed": None if claimed is None else f"{claimed:.6g}",
            "attacked": row["attacked"],
            "reached": None if reached is None else f"{reached:.1%}",
            "violations": len(row["violations"]),
        } | ({"note": row["note"]} if noted else {})


def audit_trials(store: Store, named: str, num_images: int) -> Iterator[Audited]:
    """Audit the finished trials of a sweep, or one, and those that they start from, one by one.

    Args:
        store: Where they are.
        named: Name, id or file of a sweep, or a trial key or its first digits, 12 at least.
        num_images: Test images per classifier, or samples per side of a critic, at most.

    Raises:
        NotFoundError: If the store has no such sweep or trial, or nothing of it has finished.
    """
    rows = _with_ancestors(store, keys_of(store, named))
    finished = {key: row for key, row in rows.items() if row["status"] in FINISHED}
    if not finished:
        raise NotFoundError(
            f"{store.root}: no trial of `{named}` has finished; submit it, then audit it."
        )
    labels = labels_of(store, named)
    for key, row in finished.items():
        if key in labels:
            network = f"{labels[key]}, seed {row['seed']}"
        else:
            network = DrawnTrial(key, row["seed"], row["config"], row["metrics"], ()).label
        yield _audit(store, key, row, network, num_images)


def conclusion(audited: Sequence[Audited]) -> str:
    """What the searches say together, in a line."""
    found = [one.finding for one in audited if one.finding is not None and one.finding.attacked]
    broken = sum(bool(finding.violations) for finding in found)
    failed = sum(one.failed for one in audited)
    said = []
    if broken:
        verb = "is" if broken == 1 else "are"
        said.append(f"{broken} of {many(len(found), 'claim')} {verb} broken")
    if failed:
        said.append(f"{many(failed, 'claim')} could not be searched")
    places = many(sum(finding.attacked for finding in found), "place")
    return (
        f"{', '.join(said) or 'nothing contradicts what is claimed'}: "
        f"{many(len(found), 'network')} searched, {places} attacked"
    )


def _with_ancestors(store: Store, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Rows of trials in the order asked for, then of those that they start from, and so on."""
    rows: dict[str, dict[str, Any]] = {}
    new = list(dict.fromkeys(keys))
    while new:
        found = trials_that_count(store, new)
        rows |= {key: found[key] for key in new if key in found}
        named = {key for row in found.values() for key in keys_in(json.dumps(row["config"]))}
        new = sorted(named - rows.keys())
    return rows


def _audit(store: Store, key: str, row: dict[str, Any], network: str, num_images: int) -> Audited:
    task, claimed = row["config"]["task"], row["metrics"].get(_CLAIM)
    if claimed is None:
        return Audited(key, network, 0.0, note="reports no Lipschitz constant")
    from lnets.tasks.audit import audit_classifier, audit_critic  # seconds of imports

    def weights(trial_key: str) -> Path:
        return store.artifacts(trial_key) / WEIGHTS

    clock = time.perf_counter()
    try:
        if task == "classification":
            finding = audit_classifier(weights(key), claimed, num_images)
        else:
            finding = audit_critic(weights(key), claimed, weights, num_images)
    except LnetsError as error:
        seconds = time.perf_counter() - clock
        return Audited(key, network, seconds, note=str(error), failed=True)
    note = "" if finding.attacked else "nothing is certified of its images"
    return Audited(key, network, time.perf_counter() - clock, finding, note)
