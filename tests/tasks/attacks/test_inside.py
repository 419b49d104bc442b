"""A classifier whose certificate is exact: attacks reach the radius, and never go past it."""

import copy
import math

import pytest
import torch
from torch import Generator, nn

from lnets.data.images import ImageData
from lnets.errors import TrialError
from lnets.nn.certificate import Norm
from lnets.tasks.attacks import inside
from lnets.tasks.attacks.attack import Target
from lnets.tasks.attacks.inside import Search, _Balls, search_inside
from lnets.tasks.certified import Certified, certify_images

SEARCHES = [
    f"{attack} in {dtype}" for dtype in ("float32", "float64") for attack in ("PGD", "AutoAttack")
]


def classifier(norm: Norm) -> nn.Module:
    """Two logits differ by √2·L (L2) or 2·L (L∞) per distance, along some direction."""
    linear = nn.Linear(64, 10)
    with torch.no_grad():
        linear.bias.zero_()
        if norm == "l2":
            nn.init.orthogonal_(linear.weight)
        else:  # each logit looks at pixels of its own
            linear.weight.zero_()
            for logit in range(10):
                linear.weight[logit, 6 * logit : 6 * logit + 6] = 1 / 6
    return nn.Sequential(nn.Flatten(), linear).eval()


def certified(norm: Norm, claimed: float = 1.0, count: int = 20) -> tuple[Certified, ImageData]:
    """Images with pixels up to the border of [0, 1], labelled as they are classified."""
    torch.manual_seed(0)
    model = classifier(norm)
    images = torch.rand(count, 1, 8, 8).round(decimals=1)
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    data = ImageData("some", images, labels, 10)
    return certify_images(model, data, norm, claimed=claimed), data


def searches(norm: Norm, claimed: float, dtype: torch.dtype) -> list[Search]:
    found, data = certified(norm, claimed)
    return list(search_inside(copy.deepcopy(found.exact).to(dtype), found, data))


@pytest.mark.parametrize(("norm", "dtype"), [("l2", torch.float32), ("linf", torch.float64)])
def test_it_reaches_what_is_certified_and_turns_nothing(norm: Norm, dtype: torch.dtype) -> None:
    found = searches(norm, 1.0, dtype)
    assert len(found) == 2
    for search in found:
        assert len(search.index) > 15
        assert not search.turned.any()
        assert not search.failed.any()
    assert found[0].reached.min() > 0.999, "a linear classifier is turned by the first gradient"
    assert found[0].reached.max() < 1.0005


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_every_search_finds_a_constant_that_is_wrong_by_two_percent(norm: Norm) -> None:
    found = [s for dtype in (torch.float32, torch.float64) for s in searches(norm, 0.98, dtype)]
    assert [search.name for search in found] == SEARCHES
    for search in found:
        assert search.turned.all()
        assert (search.reached > 1).all()
        assert (search.apart <= certified(norm, 0.98)[0].radius[search.index]).all()


def test_images_are_searched_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = searches("l2", 0.98, torch.float64)
    monkeypatch.setattr(inside, "_CHUNK", 7)
    parts = searches("l2", 0.98, torch.float64)
    assert len(parts) > len(whole)
    for name in SEARCHES[2:]:
        index = torch.cat([search.index for search in parts if search.name == name])
        assert index.tolist() == whole[0].index.tolist()


def test_autoattack_has_those_that_were_hardest_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "_HARDEST", 3)
    first, second = searches("l2", 0.98, torch.float64)
    assert len(second.index) == 3
    others = first.reached[~torch.isin(first.index, second.index)]
    assert first.reached[torch.isin(first.index, second.index)].min() >= others.max()


def test_images_that_roundings_could_turn_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A billionth of a margin is more than float64 rounds, and less than float32 does."""
    whole = searches("l2", 1.0, torch.float32)
    monkeypatch.setattr(inside, "_SHARE", 1 - 1e-6)
    assert 0 < len(searches("l2", 1.0, torch.float32)[0].index) < len(whole[0].index)
    monkeypatch.setattr(inside, "_SHARE", 1 - 1e-9)
    assert len(searches("l2", 1.0, torch.float64)) == 2
    with pytest.raises(TrialError, match=r"in float32 .* such roundings, or another network"):
        searches("l2", 1.0, torch.float32)


def test_another_network_than_the_certified_one_is_told() -> None:
    """Otherwise what it differs by would pass for roundings, which hide what is looked for."""
    found, data = certified("l2")
    deployed = copy.deepcopy(found.exact).float()
    with torch.no_grad():
        deployed[1].weight[0] *= 1.002
    with pytest.raises(TrialError, match=r"in float32 its margins differ by up to \d"):
        next(search_inside(deployed, found, data))
    with torch.no_grad():
        deployed[1].weight[0] = torch.nan
    with pytest.raises(TrialError, match="in float32 its margins differ by up to nan"):
        next(search_inside(deployed, found, data))


@pytest.mark.parametrize("answer", [0.2, math.nan])
def test_what_is_no_attack_says_nothing(monkeypatch: pytest.MonkeyPatch, answer: float) -> None:
    """Otherwise it would pass for a search that has found nothing."""
    monkeypatch.setattr(inside, "perturbed", lambda _, balls, x, *a, **k: x + answer)
    pgd, autoattack = searches("l2", 0.98, torch.float32)
    assert pgd.turned.all()
    assert autoattack.failed.all()
    assert not autoattack.turned.any()
    monkeypatch.setattr(inside, "strongest", lambda logits, x, *a, **k: x + 10 * answer)
    pgd, _ = searches("l2", 0.98, torch.float32)
    assert pgd.failed.all()
    assert not pgd.turned.any()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_pixels_are_not_rounded_out_of_small_balls(norm: Norm) -> None:
    """A constant that is claimed much too large, as that of networks without constraints may be."""
    for search in searches(norm, 1e4, torch.float32):
        assert len(search.index) > 15
        assert not search.failed.any()
        assert not search.turned.any()
    assert searches(norm, 1e8, torch.float32) == []
    assert len(searches(norm, 1e8, torch.float64)) == 2


def test_nothing_is_searched_where_nothing_is_certified() -> None:
    found, data = certified("l2")
    wrong = ImageData("some", data.images, (data.labels + 1) % 10, 10)
    again = certify_images(found.exact, wrong, "l2", claimed=1.0)
    assert list(search_inside(found.exact, again, wrong)) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_pictures_stand_for_points_in_balls(dtype: torch.dtype) -> None:
    """Also far outside of them, where an attack may look."""
    found, data = certified("linf")
    images, radii = data.images.to(dtype), torch.linspace(0.01, 5, len(data), dtype=dtype)
    balls = _Balls(Target(found.exact, images, data.labels), images, radii)
    moved = (
        balls.centres
        + 0.2 * torch.randn(balls.centres.shape, generator=Generator().manual_seed(0)).sign()
    )
    assert ((moved > 0) & (moved < 1)).all(), "AutoAttack would bring pixels back"
    order = torch.randperm(len(data))
    points = balls.around(moved[order], order)
    assert torch.allclose(
        (points - images[order]).flatten(1).abs(), 10 * radii[order, None].expand(-1, 64), rtol=1e-4
    )
    expected = balls._target(points).log_softmax(dim=1).float()
    assert torch.allclose(balls(moved[order]).log_softmax(dim=1), expected, atol=1e-5)
