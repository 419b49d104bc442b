"""The first words with a cluster: whether it is there, asks for a token, and is like this one."""

import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from lnets.errors import ClusterError, SpecError
from lnets.sweep.tokens import read_token, wanted

_SECONDS = (5, 20)
"""To connect, and to answer."""


class Dashboard:
    """The HTTP side of a cluster's dashboard, which has been asked who it is.

    Args:
        address: As in `http://head:8265`.

    Raises:
        SpecError: If that is no such address.
        ClusterError: If nothing answers there, the token is wrong or missing, or Ray or Python
            are of other versions than here. Before the token is known to be right, nothing is
            said of the cluster.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if "@" in address:  # it would be told in logs, and to the cluster
            raise SpecError("--address must have no password; a token goes into RAY_AUTH_TOKEN.")
        if not re.fullmatch(r"https?://[^/\s]+", self.address):
            raise SpecError(
                f"--address must be that of a dashboard, such as http://head:8265, got {address}"
            )
        self.token = read_token() if wanted() else None
        self._check_token()
        self._check_versions()

    def machines(self) -> list[dict[str, float]]:
        """What each machine has in all; nothing of a cluster that has only just been started."""
        answer = self._ask("/api/v0/nodes?detail=1&limit=10000")["data"]["result"]["result"]
        return [node["resources_total"] for node in answer if node["state"] == "ALIVE"]

    def _check_token(self) -> None:
        mode = self._ask("/api/authentication_mode", told=False).get("authentication_mode")
        if not wanted():
            return
        if mode != "token":
            raise ClusterError(
                f"{self.address}: this cluster takes orders from everybody who reaches it; start "
                "it with RAY_AUTH_MODE=token, or set RAY_AUTH_MODE=disabled to use it as it is."
            )
        if self.token is None:
            raise ClusterError(
                f"{self.address}: this cluster asks for a token; set RAY_AUTH_TOKEN, or "
                "RAY_AUTH_TOKEN_PATH to the file that has it."
            )

    def _check_versions(self) -> None:
        there = self._ask("/api/v0/cluster_metadata")["data"]
        for what, theirs, ours, parts in (
            ("Ray", there["rayVersion"], version("ray"), 3),
            ("Python", there["pythonVersion"], platform.python_version(), 2),
        ):
            if theirs.split(".")[:parts] != ours.split(".")[:parts]:
                raise ClusterError(
                    f"{self.address}: the cluster has {what} {theirs}, and here is {what} {ours}; "
                    "use the same on both sides."
                )

    def _ask(self, path: str, *, told: bool = True) -> Mapping[str, Any]:
        """What it answers; `told` whether it is told the token."""
        import requests

        headers = {"Authorization": f"Bearer {self.token}"} if told and self.token else {}
        try:
            answer = requests.get(self.address + path, headers=headers, timeout=_SECONDS)
            if answer.status_code in (401, 403):
                raise ClusterError(
                    f"{self.address}: the cluster refuses the token; RAY_AUTH_TOKEN, or the file "
                    "that RAY_AUTH_TOKEN_PATH names, must have the one that it was started with."
                )
            answer.raise_for_status()
            found: Mapping[str, Any] = answer.json()
            return found
        except requests.ConnectionError:
            raise ClusterError(
                f"{self.address}: nothing answers there; is the cluster up, and its dashboard "
                "reachable from here?"
            ) from None
        except requests.RequestException as error:
            raise ClusterError(
                f"{self.address}: no dashboard of Ray {version('ray')} answers there "
                f"({type(error).__name__})."
            ) from None
