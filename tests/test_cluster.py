"""The files of cluster/, read as the tools read them that they are for."""

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import psutil
import pytest
import yaml
from ray.util.metrics import Gauge

from lnets.results.live import Standing
from lnets.sweep.readings import readings

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster"
BIN = Path(sys.executable).parent
# With KubeRay's own schemas, ray.io_rayclusters.yaml.gz and ray.io_rayjobs.yaml.gz, in this folder,
# manifests are checked against them, too.
SCHEMAS = os.environ.get("LNETS_KUBERAY_SCHEMAS")
KUBERNETES = "1.33"


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def ray_version() -> str:
    (found,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return str(found)


def cluster_spec(name: str) -> dict[str, Any]:
    (manifest,) = manifests(name)
    spec = manifest["spec"]
    return dict(spec if manifest["kind"] == "RayCluster" else spec["rayClusterSpec"])


@pytest.mark.parametrize("name", ["machines.yaml", "aws.yaml"])
def test_ray_up_takes_it(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    (config,) = manifests(name)
    validate_config(prepare_config(config))
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        (start,) = (c for c in config[commands] if "ray start" in c)
        assert "RAY_AUTH_MODE=token" in start
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])
    assert "~/.ray/auth_token" in config["file_mounts"]


@pytest.mark.parametrize("name", ["kuberay-cluster.yaml", "kuberay-job.yaml"])
def test_kubernetes_takes_the_pods_of(name: str) -> None:
    spec = cluster_spec(name)
    assert spec["rayVersion"] == ray_version()
    assert spec["authOptions"] == {"mode": "token", "secretName": "lnets-token"}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    claims = {m["metadata"]["name"] for m in manifests("kuberay-storage.yaml")}
    for group in groups:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        volumes = pod["spec"]["volumes"]
        assert claims == {
            v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v
        }
        (container,) = pod["spec"]["containers"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in volumes}
        (monitor,) = manifests("kuberay-monitor.yaml")
        scraped = {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]}
        assert scraped <= {port["name"] for port in container["ports"]}
    gpus = [g["template"]["spec"]["containers"][0]["resources"]["limits"] for g in groups[1:]]
    assert any("nvidia.com/gpu" in limits for limits in gpus)
    assert spec["enableInTreeAutoscaling"]


def test_a_job_has_the_cluster_that_stands_alone() -> None:
    assert cluster_spec("kuberay-job.yaml") == cluster_spec("kuberay-cluster.yaml")


def test_kubernetes_takes_the_volumes() -> None:
    for manifest in manifests("kuberay-storage.yaml"):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.skipif(SCHEMAS is None, reason="needs LNETS_KUBERAY_SCHEMAS")
@pytest.mark.parametrize(
    ("name", "schema"), [("kuberay-cluster", "rayclusters"), ("kuberay-job", "rayjobs")]
)
def test_kuberay_takes_it(name: str, schema: str) -> None:
    file = Path(str(SCHEMAS)) / f"ray.io_{schema}.yaml.gz"
    definition = yaml.safe_load(gzip.decompress(file.read_bytes()))
    (version,) = (v for v in definition["spec"]["versions"] if v["name"] == "v1")
    (manifest,) = manifests(f"{name}.yaml")
    check = jsonschema.Draft202012Validator(_strict(version["schema"]["openAPIV3Schema"]))
    check.validate(manifest)
    manifest["spec"]["headGroupSpecs"] = {}
    assert not check.is_valid(manifest)


def _strict(schema: Any) -> Any:
    """The schema without room for fields that it does not name, which Kubernetes would drop."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        strict.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
    return strict


def test_the_container_file_copies_what_there_is() -> None:
    lines = (CLUSTER / "Containerfile").read_text().splitlines()
    (base,) = (line.split(":")[-1] for line in lines if line.startswith("FROM "))
    assert base.startswith("3.11")
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name.removeprefix('./')}" in ignored
    assert not any(fnmatch("results", line.removeprefix("!")) for line in ignored[2:])


def test_prometheus_takes_it() -> None:
    (config,) = manifests("prometheus.yaml")
    assert [job["job_name"] for job in config["scrape_configs"]] == ["ray"]
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "config", CLUSTER / "prometheus.yaml"], check=True)


def test_the_dashboard_asks_for_what_sweeps_show() -> None:
    dashboard = json.loads((CLUSTER / "grafana-dashboard.json").read_text())
    standing = dict.fromkeys(Standing.model_fields, 1) | {
        "objective": "tightness",
        "best_label": "",
        "trouble": "",
    }
    every = list(readings("a", Standing.model_validate(standing), 0))
    for one in every:
        Gauge(one.name, one.meaning, tuple(one.labels))  # Ray refuses what is not ASCII
    shown = {f"ray_{one.name}{'_total' * one.counts}": one for one in every}
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    names = {name for expression in asked for name in re.findall(r"ray_\w+", expression)}
    assert names == set(shown)
    for expression in asked:
        (name,) = re.findall(r"ray_\w+", expression)
        labels = set(re.findall(r"(\w+)=", expression)) | set(
            re.findall(r"by \((\w+)\)", expression)
        )
        assert labels <= set(shown[name].labels)
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells), "panels lie on each other"
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)


@pytest.mark.ray
def test_two_nodes_end_with_their_command() -> None:
    script = CLUSTER / "two-nodes.sh"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = subprocess.run(
        [script, "bash", "-c", "ray job list && stat --format %a $RAY_AUTH_TOKEN_PATH; exit 5"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PORT": str(port), "PATH": f"{BIN}:{os.environ['PATH']}"},
    )
    assert done.returncode == 5, done.stderr
    assert "600" in done.stdout.split()
    folder = Path(done.stderr.rpartition("RAY_AUTH_TOKEN_PATH=")[2].strip()).parent
    assert not folder.exists()
    assert not [p for p in psutil.process_iter() if str(folder) in " ".join(_command(p))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
