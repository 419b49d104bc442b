"""The first words with a cluster: what is refused, and how little is said of it."""

import json
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import ClusterError
from lnets.specs.sweep import ResourcesSpec
from lnets.sweep import job_driver, tokens
from lnets.sweep.dashboard import Dashboard
from lnets.sweep.fits import fitting, misfit
from lnets.sweep.handover import HANDOVER_FILE, Handover, packed

HANDED = {
    "action": "run",
    "sweep_id": "0123456789ab",
    "name": "tiny",
    "store": "/shared/results",
    "address": "http://head:8265",
}
OURS = {"rayVersion": version("ray"), "pythonVersion": platform.python_version()}
Serve = Callable[..., str]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A dashboard that says what it is told to; its mode is `token`, `disabled`, or `none`."""
    servers: list[ThreadingHTTPServer] = []

    def start(mode: str = "token", **versions: str) -> str:
        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                public = self.path == "/api/authentication_mode"
                right = self.headers["Authorization"] == "Bearer right"
                allowed = 200 if public or mode != "token" or right else 403
                self.send_response(404 if mode == "none" else allowed)
                self.end_headers()
                told: dict[str, Any] = {"data": {**OURS, **versions}}
                self.wfile.write(json.dumps({"authentication_mode": mode} | told).encode())

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"rayVersion": "2.40.0"}, f"the cluster has Ray 2.40.0, and here is Ray {version('ray')}"),
        ({"pythonVersion": "3.9.1"}, "the cluster has Python 3.9.1, and here is Python 3."),
    ],
)
def test_other_versions_are_named(
    other: dict[str, str], says: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    with pytest.raises(ClusterError, match=says):
        Dashboard(serve(**other))
    another_patch = platform.python_version().rpartition(".")[0] + ".99"
    assert Dashboard(serve(pythonVersion=another_patch)).token == "right"


def test_a_cluster_that_asks_for_no_token_is_used_only_on_purpose(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve("disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    with pytest.raises(ClusterError, match="takes orders from everybody"):
        Dashboard(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert Dashboard(address).token is None


def test_the_token_is_where_ray_looks_for_it(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve(rayVersion="secret")
    with pytest.raises(ClusterError, match="asks for a token"):
        Dashboard(address)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("wrong\n")
    with pytest.raises(ClusterError, match="refuses the token") as caught:
        Dashboard(address)
    assert "secret" not in str(caught.value)
    (tmp_path / "other").write_text("right\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    with pytest.raises(ClusterError, match="has Ray secret"):
        Dashboard(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    with pytest.raises(ClusterError, match="refuses the token"):
        Dashboard(address)


def test_an_address_where_nothing_answers_is_said_at_once(
    cli: Callable[..., tuple[int, str, str]],
) -> None:
    begin = time.monotonic()
    code, out, err = cli("list", "--address", "http://127.0.0.1:9")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "nothing answers there" in err
    assert time.monotonic() - begin < 20


def test_an_address_with_a_password_is_not_repeated(
    cli: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = cli("list", "--address", "http://me:secret@127.0.0.1:9")
    assert (code, out, "no password" in err) == (2, "", True)
    assert "secret" not in err


def test_what_answers_and_is_no_dashboard_is_refused(serve: Serve) -> None:
    with pytest.raises(ClusterError, match=r"no dashboard of Ray .* \(HTTPError\)"):
        Dashboard(serve("none"))


def test_a_token_is_made_for_one_person_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".ray" / "auth_token"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    tokens.ensure_token()
    assert not file.exists()
    monkeypatch.delenv("RAY_AUTH_MODE")
    tokens.ensure_token()
    made = tokens.read_token()
    assert made is not None
    assert len(made) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.chmod(0o644)  # as Ray leaves it
    tokens.ensure_token()
    assert (tokens.read_token(), file.stat().st_mode & 0o777) == (made, 0o600)
    assert [path.name for path in file.parent.iterdir()] == ["auth_token"]


@pytest.mark.parametrize(
    ("resources", "machines", "fit", "says"),
    [
        ({"cpu": 2}, [{"CPU": 5.0}, {"CPU": 3.0}], 3, None),
        ({"cpu": 4}, [{"CPU": 3.0}, {"CPU": 3.0}], 0, "4 CPU, but it has 2 × (3 CPU, 0 GPU)"),
        ({"gpu": 0.5}, [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0}], 2, None),
        ({"cpu": 2, "gpu": 1}, [{"CPU": 1.0, "GPU": 1.0}, {"CPU": 4.0}], 0, "2 CPU and 1 GPU"),
        ({"workers": 3, "gpu": 1}, [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}], 1, None),
        ({"workers": 4, "gpu": 1}, [{"CPU": 8.0, "GPU": 2.0}], 0, "4 GPU, but it has 2 GPU; lower"),
        ({}, [], 0, "1 CPU, but it has no machine"),
        ({"memory": 2}, [{"CPU": 8.0, "memory": 5.0 * 2**30}], 2, None),
        (
            {"memory": 2},
            [{"CPU": 8.0, "memory": 2.0**30}],
            0,
            "2 GiB memory, but it has 1 GiB memory; lower `resources.memory`",
        ),
        ({"custom": {"tpu": 0.5}}, [{"CPU": 8.0, "tpu": 1.0}, {"CPU": 8.0}], 2, None),
        (
            {"custom": {"tpu": 1}},
            [{"CPU": 8.0}],
            0,
            "1 tpu, but it has 0 tpu; lower `resources.cus",
        ),
    ],
)
def test_trials_fit_on_whole_machines(
    resources: dict[str, Any], machines: list[dict[str, float]], fit: int, says: str | None
) -> None:
    asked = ResourcesSpec(**resources)
    assert fitting(asked, machines) == fit
    reason = misfit(asked, machines, "it")
    assert (reason is None) == (says is None)
    assert says is None or says in (reason or "")


def test_what_travels_is_the_package_and_the_handover(tmp_path: Path) -> None:
    handover = Handover.model_validate({**HANDED, "spec": "{}"})
    with packed(handover) as folder:
        assert {path.name for path in folder.iterdir()} == {"lnets", HANDOVER_FILE}
        assert (folder / "lnets" / "results" / "report" / "page.html").exists()
        assert not list(folder.rglob("__pycache__"))
        assert Handover.model_validate_json((folder / HANDOVER_FILE).read_bytes()) == handover


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"python": "3.9.1"}, r"`python`, .*, has Python 3\.1.*, .* handed over from Python 3.9.1"),
        ({"ray": "2.40.0"}, r"has Ray 2\.\d+.*, .* handed over from Ray 2.40.0"),
    ],
)
def test_a_driver_refuses_what_other_versions_handed_over(
    other: dict[str, str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    handed = {"python": platform.python_version(), "ray": version("ray"), **HANDED, **other}
    Path(HANDOVER_FILE).write_text(json.dumps(handed))
    assert job_driver.main() == ClusterError.exit_code
    assert re.search(says, capsys.readouterr().err)


def test_a_machine_that_has_another_folder_there_is_found(tmp_path: Path) -> None:
    from lnets.sweep.jobs import _look

    probe = tmp_path / "probe-1"
    assert _look(str(probe)) == "No such file or directory"
    probe.write_text("probe-2")
    assert _look(str(probe)) == "another folder is there"
    probe.write_text("probe-1")
    assert _look(str(probe)) is None
    assert list(tmp_path.iterdir()) == [probe]
