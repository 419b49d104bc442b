"""What trials report is searched for counterexamples: one is found where it is not true."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lnets.errors import NotFoundError, TrialError
from lnets.results.artifacts import WEIGHTS
from lnets.results.store import Store
from lnets.specs.sweep import SweepSpec
from lnets.sweep.audit import Audited, audit_trials, conclusion
from lnets.sweep.driver import submit
from lnets.sweep.plan import make_plan
from lnets.sweep.progress import Progress
from lnets.sweep.runner import InProcessRunner
from lnets.tasks.attacks import inside
from lnets.tasks.audit import audit_classifier
from tests.conftest import CLASSIFIER
from tests.tasks.digits import FEW
from tests.tasks.gans import data_of

pytestmark = pytest.mark.usefixtures("_quick")

LINEAR = {"type": "fully_connected", "layers": [10], "activation": "maxmin",
          "linear": {"type": "orthogonal"}}  # fmt: skip
EXPERIMENT = {**CLASSIFIER, "model": LINEAR, "data": {**CLASSIFIER["data"], **FEW}}
Run = Callable[[dict[str, Any]], list[str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def run(store: Store) -> Run:
    """Run a sweep; the keys of its trials."""

    def to_store(data: dict[str, Any]) -> list[str]:
        plan = make_plan(SweepSpec.model_validate_json(json.dumps({"seeds": 1, **data})))
        submit(plan, store, InProcessRunner(), Progress.of(plan, 0))
        return [trial.trial_key for trial in plan.trials]

    return to_store


def audit(store: Store, named: str = "audited") -> list[Audited]:
    return list(audit_trials(store, named, 20))


def plant(store: Store, key: str, path: tuple[str, ...], value: Any) -> None:
    """Let a stored network be another than its trial reports."""
    file = store.artifacts(key) / "experiment.json"
    stored = json.loads(file.read_text())
    section = stored["experiment"]
    for part in path[:-1]:
        section = section[part]
    section[path[-1]] = value
    file.write_text(json.dumps(stored))


def test_a_planted_classifier_is_found_and_named(store: Store, run: Run) -> None:
    """Its nominal constant is 1, and it multiplies by 1.02."""
    honest, planted = run({"name": "audited", "experiment": EXPERIMENT, "seeds": 2})
    plant(store, planted, ("model", "l_constant"), 1.02)
    found = {one.trial_key: one for one in audit(store)}
    assert found[honest].problems == ()
    assert found[honest].finding.attacked > 10
    assert 0.99 < found[honest].finding.reached < 1.0005
    assert found[planted].finding.reached > 1.019
    problems = "\n".join(found[planted].problems)
    for search in ("PGD", "AutoAttack"):
        for dtype in ("float32", "float64"):
            assert f"is turned by {search} in {dtype}, " in problems


def test_an_attack_that_fails_is_no_success(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run({"name": "audited", "experiment": EXPERIMENT})
    monkeypatch.setattr(inside, "perturbed", lambda _, balls, x, *a, **k: x * math.nan)
    (found,) = audit(store)
    (problem,) = found.problems
    assert re.fullmatch(
        r"could not be audited: AutoAttack in float32 has failed on (\d+) of \1 images: it "
        "returned no numbers, or left their certified radii.",
        problem,
    )
    assert conclusion([found]).startswith("1 claim could not be searched")


def test_radii_that_are_small_in_float32_are_attacked_in_float64(store: Store, run: Run) -> None:
    """Those of deep networks without constraints are."""
    (key,) = run({"name": "audited", "experiment": EXPERIMENT})
    weights = store.artifacts(key) / WEIGHTS
    found = audit_classifier(weights, 1e9, 20)
    assert found.violations == ()
    assert found.attacked > 10
    with pytest.raises(TrialError, match=r"its certified radii, .*e-18, are too small for attacks"):
        audit_classifier(weights, 1e17, 20)


def test_a_planted_critic_is_found(store: Store, run: Run, tiny: dict[str, Any]) -> None:
    experiment = {**tiny["experiment"], "model": {**LINEAR, "layers": [1]}}
    (key,) = run({"name": "audited", "experiment": experiment})
    (honest,) = audit(store)
    assert honest.problems == ()
    assert honest.finding.attacked == 2 * 20
    assert honest.finding.reached == pytest.approx(1.0)
    plant(store, key, ("model", "l_constant"), 1.02)
    (planted,) = audit(store)
    (problem,) = planted.problems
    assert problem.startswith("its slope is 1.0")
    assert planted.finding.reached == pytest.approx(1.02, rel=1e-5)


def test_what_a_sweep_needs_is_audited_too(store: Store, run: Run) -> None:
    """The critic of a GAN that claims a constant; others claim none."""
    samples = {"type": "gan_samples", "gan": "lipschitz", "dataset": "digits"}
    experiment = {
        "task": "wasserstein",
        "distrib1": {**samples, "side": "real"},
        "distrib2": {**samples, "side": "generated"},
        "model": {**LINEAR, "layers": [8, 1]},
        "optim": {"type": "adam", "lr": 0.01},
        "steps": 5,
        "batch_size": 16,
        "test_sample_size": 50,
    }
    needs = {
        kind: {"experiment": data_of(gan_type, epochs=1, quality=None)}
        for kind, gan_type in (("lipschitz", "LWGAN"), ("clipped", "WGAN"))
    }
    search = {"distrib1.gan, distrib2.gan": [["lipschitz"] * 2, ["clipped"] * 2]}
    run({"name": "audited", "experiment": experiment, "needs": needs, "search": search})
    found = audit(store)
    assert [one.problems for one in found] == [()] * 4
    assert sorted(one.finding is not None for one in found) == [False, True, True, True]
    assert [one.network for one in found[:2]] == ["lipschitz, seed 0", "clipped, seed 0"]
    (without,) = (one for one in found if one.finding is None)
    assert without.note == "reports no Lipschitz constant"


def test_classifiers_that_were_attacked_are_audited(store: Store, run: Run) -> None:
    classifier, planted = run({"name": "trained", "experiment": EXPERIMENT, "seeds": 2})
    attack = {"norm": "l2", "attacks": [{"type": "fgsm"}], "epsilons": [0.1], "max_images": 20}
    experiment = {"task": "robustness", "classifier": classifier, **attack}
    search = {"classifier": [classifier, planted]}
    run({"name": "audited", "experiment": experiment, "search": search})
    plant(store, planted, ("model", "l_constant"), 1.02)
    found = {one.trial_key: one for one in audit(store)}
    assert len(found) == 4
    assert found[classifier].searched
    assert found[classifier].problems == ()
    assert found[planted].problems != ()
    assert (
        found[classifier].network == "classification, fully_connected, maxmin, orthogonal, seed 0"
    )
    assert {one.network for one in found.values() if one.note} == {
        f"{key[:12]}, seed 0" for key in (classifier, planted)
    }


def test_what_cannot_be_searched_is_no_success(store: Store, run: Run) -> None:
    (key,) = run({"name": "audited", "experiment": EXPERIMENT})
    (store.artifacts(key) / "model.safetensors").unlink()
    (found,) = audit(store, key[:12])
    (problem,) = found.problems
    assert problem.startswith("could not be audited: trial must be the key of a finished trial")
    assert conclusion([found]) == (
        "1 claim could not be searched: 0 networks searched, 0 places attacked"
    )


def test_an_audit_that_searches_nothing_fails(
    store: Store, run: Run, cli: Callable[..., tuple[int, str, str]]
) -> None:
    run({"name": "audited", "experiment": data_of("WGAN", epochs=1, quality=None)})
    code, out, err = cli("audit", "audited")
    assert (code, "reports no Lipschitz constant" in out) == (1, True)
    assert "Nothing was searched" in err


def test_what_has_not_run_cannot_be_audited(store: Store, run: Run) -> None:
    with pytest.raises(NotFoundError, match="no sweep `audited`"):
        audit(store)


def test_the_command_fails_and_names_the_trial(
    store: Store, run: Run, tiny: dict[str, Any], cli: Callable[..., tuple[int, str, str]]
) -> None:
    experiment = {**tiny["experiment"], "model": {**LINEAR, "layers": [1]}}
    honest, planted = run({"name": "audited", "experiment": experiment, "seeds": 2})
    code, out, err = cli("audit", "audited", "--images", 10)
    assert (code, out.count("wasserstein, fully_connected"), "trial" in err) == (0, 2, False)
    assert out.index("seed 0") < out.index("seed 1") < out.index("attacked: images, or samples")
    assert out.endswith(
        "nothing contradicts what is claimed: 2 networks searched, 40 places attacked\n"
    )
    plant(store, planted, ("model", "l_constant"), 1.02)
    code, out, err = cli("audit", "audited", "--images", 10, "--json")
    assert code == 1
    assert f"trial {planted}: its slope is 1.0" in err
    assert f"trial {honest}" not in err
    assert "1 of 2 claims is broken: 2 networks searched, 40 places attacked" in err
    found = {row["trial_key"]: row for row in json.loads(out)}
    assert found[honest]["violations"] == []
    assert len(found[planted]["violations"]) == 1
    assert found[planted]["attacked"] == 20
    assert cli("audit", "other")[0] == 4
