"""What the samplers of searches have proposed: with the results, all that a search goes on from."""

import json
from typing import Any

from lnets.results.records import ProposalRecord
from lnets.results.store import Store


class Proposals:
    """The proposals of one search, in the order of their numbers.

    Args:
        store: Where they are.
        study_id: Of the search.
    """

    def __init__(self, store: Store, study_id: str) -> None:
        self._store = store
        self._study_id = study_id
        self._version: int | None = None
        self._known: dict[int, ProposalRecord] = {}

    def all(self) -> list[ProposalRecord]:
        """What has been proposed so far, by whichever driver."""
        version = self._store.version("proposals")
        if version != self._version:
            self._known = {
                row["number"]: ProposalRecord.model_validate(row)
                for row in self._store.table("proposals").to_pylist()
                if row["study_id"] == self._study_id
            }
            self._version = version
        return [self._known[number] for number in sorted(self._known)]

    def add(self, record: ProposalRecord) -> None:
        """Note a proposal, while the store is locked."""
        self._store.append("proposals", [record.model_dump()])
        self._version = self._store.version("proposals")
        self._known[record.number] = record


def tried(proposals: list[ProposalRecord], configurations: int) -> list[ProposalRecord]:
    """Those that make up a search of so many configurations: a longer one has more of them."""
    found: list[ProposalRecord] = []
    different: set[tuple[str, ...]] = set()
    for proposal in proposals:
        if len(different) == configurations:
            break
        found.append(proposal)
        different |= {proposal.trial_keys} - {()}
    return found


def submissions(store: Store) -> list[dict[str, Any]]:
    """Rows of the table `sweeps`; a search has the keys of all trials it has asked for so far."""
    rows = store.table("sweeps").to_pylist()
    for row in rows:
        algorithm = json.loads(row["spec"])["algorithm"]
        if "study_id" in algorithm:
            known: list[str] = row["trial_keys"]
            asked = Proposals(store, algorithm["study_id"]).all()
            if algorithm["type"] == "optuna":  # a population begins with those of the submission
                known, asked = [], tried(asked, algorithm["configurations"])
            further = (key for one in asked for key in one.trial_keys)
            row["trial_keys"] = list(dict.fromkeys((*known, *further)))
    return rows
