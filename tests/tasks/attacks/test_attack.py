"""Every attack behind the one interface, and attacks that are none."""

import json
import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from lnets.nn.certificate import Norm
from lnets.specs.attacks import ATTACK_TYPES, AttackSpec
from lnets.tasks.attacks import attack as attacks
from lnets.tasks.attacks import libraries
from lnets.tasks.attacks.attack import Attacked, Target, attack, distances
from lnets.tasks.attacks.libraries import seeks_smallest
from tests.tasks.attacks.linear import boundary, example

READ: TypeAdapter[AttackSpec] = TypeAdapter(AttackSpec)
QUICK: dict[str, dict[str, Any]] = {
    "pgd": {"steps": 20, "restarts": 2},
    "carlini_wagner": {"steps": 60, "binary_search_steps": 6},
    "boundary": {"steps": 200},
    "hop_skip_jump": {"steps": 4},
}
CASES = [
    (kind, norm)
    for kind in ATTACK_TYPES
    for norm in ("l2", "linf")
    if kind != "autoattack" and (norm == "l2" or kind not in ("carlini_wagner", "boundary"))
]
# By which an attack that looks for the smallest perturbation may miss it.
MISSED = {"deepfool": 1.05, "carlini_wagner": 1.3, "boundary": 3.0, "hop_skip_jump": 3.0}


def read(kind: str, **options: Any) -> AttackSpec:
    return READ.validate_json(json.dumps({"type": kind, **QUICK.get(kind, {}), **options}))


def run(
    spec: AttackSpec, norm: Norm, factor: float, scale: float = 1.0, seed: int = 0
) -> tuple[Attacked, Tensor, Tensor]:
    """An attack on the linear classifier at a multiple of the farthest distance of its boundary."""
    model, images, labels = example(scale=scale)
    target, apart = Target(model, images, labels), boundary(model, images, labels, norm)
    epsilon = None if seeks_smallest(spec) else factor * float(apart.max())
    found = attack(spec, target, images, labels, epsilon=epsilon, norm=norm, seed=seed)
    wrong = model(found.images.float()).argmax(dim=1) != labels
    return found, wrong, distances(found.images, images.double(), norm) / apart


@pytest.mark.parametrize(("kind", "norm"), CASES)
@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_it_finds_what_there_is(kind: str, norm: Norm, scale: float) -> None:
    """However large logits are, so that the softmax has no gradient."""
    spec = read(kind)
    found, wrong, apart = run(spec, norm, 1.1, scale)
    assert not found.failed.any()
    assert ((found.images >= 0) & (found.images <= 1)).all()
    assert found.queries >= len(wrong)
    assert found.seconds > 0
    if seeks_smallest(spec):
        assert (apart > 0.99).all()
        assert apart.median() < MISSED[kind]
    else:
        assert wrong.all()


@pytest.mark.parametrize(("norm", "factor"), [("l2", 1.6), ("linf", 1.1)])
def test_steps_may_follow_the_rule_of_adam(norm: Norm, factor: float) -> None:
    """Which has a scale for each pixel, and so goes a longer way in L2."""
    spec, kinds = read("pgd", step_rule="adam"), libraries.foolbox.attacks
    kind = {"l2": kinds.L2AdamPGD, "linf": kinds.LinfAdamPGD}[norm]
    assert isinstance(libraries._foolbox(spec, 0.1, norm), kind)
    found, wrong, _ = run(spec, norm, factor)
    assert wrong.all()
    assert not found.failed.any()


@pytest.mark.parametrize(("kind", "norm"), [c for c in CASES if not seeks_smallest(read(c[0]))])
def test_it_stays_in_its_ball(kind: str, norm: Norm) -> None:
    found, wrong, share = run(read(kind), norm, 0.999)
    apart = boundary(*example(), norm)
    assert not found.failed.any()
    assert not wrong[apart.argmax()]
    assert (share * apart < 0.999 * apart.max().double()).all()


@pytest.mark.parametrize(("kind", "norm"), CASES)
def test_its_random_numbers_are_its_own(kind: str, norm: Norm) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = run(read(kind), norm, 0.9)[0]
    assert torch.equal(torch.rand(3), expected)
    again, other = (run(read(kind), norm, 0.9, seed=seed)[0] for seed in (0, 1))
    assert torch.equal(first.images, again.images)
    if kind in ("boundary", "hop_skip_jump"):  # a linear classifier leads all others to one place
        assert not torch.equal(first.images, other.images)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_autoattack_turns_what_can_be_turned(classes: int, norm: Norm) -> None:
    """However few classes there are: it takes for granted that there are ten."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes)).eval().requires_grad_(False)
    images = torch.rand(6, 1, 8, 8)
    labels = model(images).argmax(dim=1)
    target = Target(model, images, labels)
    for epsilon, turned in ((1e-4, 0), (0.9, 6)):
        found = attack(
            read("autoattack"), target, images, labels, epsilon=epsilon, norm=norm, seed=0
        )
        assert not found.failed.any()
        assert int((model(found.images.float()).argmax(dim=1) != labels).sum()) == turned
    assert found.queries > len(images)


def broken(wrong: str) -> Any:
    def perturbed(*arguments: Any, epsilon: float | None, **_: Any) -> Tensor:
        moved = arguments[2].clone()
        match wrong:
            case "no number":
                moved[1, 0, 0, 0] = math.nan
            case "too far":
                moved[1] += 0.2
            case "not black":
                moved[1, 0, 0, 0] = -0.01
            case "infinite":
                moved[1, 0, 0, 0] = math.inf
        return moved

    return perturbed


@pytest.mark.parametrize("wrong", ["no number", "too far", "not black", "infinite"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_what_is_no_attack_is_a_failure(
    wrong: str, norm: Norm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attacks, "perturbed", broken(wrong))
    model, images, labels = example(4)
    target = Target(model, images, labels)
    found = attack(read("fgsm"), target, images, labels, epsilon=0.1, norm=norm, seed=0)
    assert found.failed.tolist() == [False, True, False, False]
    assert torch.equal(found.images, images.double())


def test_a_perturbation_that_only_rounding_takes_out_is_brought_back() -> None:
    images = torch.full((3, 1, 2, 2), 0.9)
    moved = images + 0.1 + 2e-7
    found, failed = attacks.checked(moved, images, 0.1, "linf")
    assert not failed.any()
    assert (found <= 1).all()
    assert (distances(found, images.double(), "linf") < 0.1).all()


@pytest.mark.parametrize("kind", ["boundary", "hop_skip_jump"])
def test_without_an_image_of_another_class_there_is_nothing_to_begin_with(kind: str) -> None:
    model, images, _ = example()
    labels = model(images).argmax(dim=1)
    one = images[labels == 0]
    target = Target(model, one, labels[labels == 0])
    found = attack(read(kind), target, one, labels[labels == 0], epsilon=None, norm="l2", seed=0)
    assert found.failed.all()
    assert torch.equal(found.images, one.double())


def test_carlini_wagner_moves_nothing_where_it_finds_nothing() -> None:
    """foolbox answers with black images then, which may well be of another class."""
    model, images, _ = example()
    # So that black is of the other class, and too far for one small step of Adam.
    model[1].bias[0] -= 2 * (model(torch.zeros(1, 1, 3, 3))[0, 0] - model(images[:1])[0, 0])
    labels = model(images).argmax(dim=1)
    black = model(torch.zeros(1, 1, 3, 3)).argmax(dim=1)
    assert (labels != black).any()
    spec = read("carlini_wagner", steps=1, binary_search_steps=1)
    target = Target(model, images, labels)
    found = attack(spec, target, images, labels, epsilon=None, norm="l2", seed=0)
    assert not found.failed.any()
    assert (distances(found.images, images.double(), "l2") < 0.1).all()


def test_an_image_on_which_foolbox_gives_up_spoils_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, images, labels = example()
    perturbed = attacks.perturbed

    def one_start_is_none(*given: Any, starts: Tensor, **more: Any) -> Tensor:
        bad = (given[2] == images[5]).flatten(1).all(dim=1)[:, None, None, None]
        return perturbed(*given, starts=torch.where(bad, given[2], starts), **more)

    monkeypatch.setattr(attacks, "perturbed", one_start_is_none)
    target = Target(model, images, labels)
    found = attack(read("boundary"), target, images, labels, epsilon=None, norm="l2", seed=0)
    assert found.failed.nonzero().flatten().tolist() == [5]
    others = torch.arange(len(images)) != 5
    assert (model(found.images[others].float()).argmax(dim=1) != labels[others]).all()


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(read("deepfool"), "l2", 1.0)[0]
    monkeypatch.setattr(attacks, "images_at_once", lambda *_: 5)
    parts = run(read("deepfool"), "l2", 1.0)[0]
    torch.testing.assert_close(whole.images, parts.images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in ATTACK_TYPES if kind != "autoattack"])
def test_no_forward_is_larger_than_memory_allows(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of hop_skip_jump neither are the many samples that it takes around each image."""
    inputs, numbers = 5 * 9, 2000 * 9
    monkeypatch.setattr(libraries, "_INPUTS", inputs)
    monkeypatch.setattr(libraries, "_NUMBERS", numbers)
    model, images, labels = example(24)
    target, sizes = Target(model, images, labels), []
    target.register_forward_pre_hook(lambda _, x: sizes.append(x[0].numel()))
    spec = read(kind)
    epsilon = None if seeks_smallest(spec) else 0.1
    attack(spec, target, images, labels, epsilon=epsilon, norm="l2", seed=0)
    assert 0 < max(sizes) <= (numbers if kind == "hop_skip_jump" else inputs)
