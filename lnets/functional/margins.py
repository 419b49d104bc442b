"""Margins of classifiers: what they certify, and losses that widen them."""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own habit


def margins(
    logits: Float[Tensor, "*batch classes"], labels: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """The true logit minus the largest other one; negative where the prediction is wrong.

    Args:
        logits: Of two classes at least.
        labels: From 0.
    """
    index = labels.unsqueeze(-1)
    others = logits.scatter(-1, index, -math.inf).amax(dim=-1)
    return logits.gather(-1, index).squeeze(-1) - others


def certified_radius(
    margin: Float[Tensor, "*batch"], lipschitz: float, norm: Literal["l2", "linf"]
) -> Float[Tensor, "*batch"]:
    """How far an input may move, in the norm, before the prediction can change; at least 0.

    All logits together are taken to be Lipschitz from the norm to the same norm: two of them then
    differ by at most √2·L, or 2·L, times the distance.

    Args:
        margin: Of the true class, in logits; a wrong prediction has none to lose.
        lipschitz: Proven constant.
        norm: Of the inputs, and of the logits.

    Source:
        Tsuzuku, Sato, Sugiyama (2018), arXiv:1802.04034; Li et al. (2019), arXiv:1911.00937.
    """
    # Rounded up, so that the radius comes out too small.
    steepest = lipschitz * (math.nextafter(math.sqrt(2), 2) if norm == "l2" else 2.0)
    return (margin / steepest * (1 - 4 * torch.finfo(margin.dtype).eps)).clamp_min(0)


def margin_cross_entropy(
    logits: Float[Tensor, "*batch classes"],
    labels: Int[Tensor, "*batch"],
    *,
    margin: float = 0.0,
    temperature: float = 1.0,
) -> Float[Tensor, "*batch"]:
    """t·CE((f − m·1_y)/t): cross entropy that asks for a margin m at temperature t.

    Args:
        logits: f.
        labels: y.
        margin: m, in logits.
        temperature: t, in logits.

    Source:
        Prach, Lampert (2022), arXiv:2208.03160.
    """
    lowered = logits
    if margin:
        lowered = logits - margin * F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    found = F.cross_entropy((lowered / temperature).movedim(-1, 1), labels, reduction="none")
    return temperature * found


def multi_margin(
    logits: Float[Tensor, "*batch classes"], labels: Int[Tensor, "*batch"], *, margin: float
) -> Float[Tensor, "*batch"]:
    """The mean over classes of max(0, m − f_y + f_j), with the true class as 0.

    Args:
        logits: f.
        labels: y.
        margin: m, in logits.

    Source:
        Crammer, Singer (2001), JMLR 2.
    """
    true = logits.gather(-1, labels.unsqueeze(-1))
    short = (margin - true + logits).clamp_min(0)
    return (short.sum(dim=-1) - margin) / logits.shape[-1]


def hinge_kr(
    logits: Float[Tensor, "*batch classes"],
    labels: Int[Tensor, "*batch"],
    *,
    margin: float,
    alpha: float,
) -> Float[Tensor, "*batch"]:
    """α·hinge − (1 − α)·dual value, each class against the rest.

    Only the mean over the samples of a batch is that loss.

    Args:
        logits: f; their last batch dimension is that of the samples.
        labels: y.
        margin: Of the hinge, in logits.
        alpha: α.

    Source:
        Serrurier et al. (2021), arXiv:2006.06520.
    """
    true = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    signs = 2 * true - 1
    hinge = (margin / 2 - signs * logits).clamp_min(0).mean(dim=-1)
    # A class that a batch lacks, or that is all of it, has no dual value.
    count = true.sum(dim=-2, keepdim=True)
    rest = true.shape[-2] - count
    both = ((count > 0) & (rest > 0)).to(logits.dtype)
    weights = true / count.clamp_min(1) - (1 - true) / rest.clamp_min(1)
    dual = true.shape[-2] * (both * weights * logits).mean(dim=-1)
    return alpha * hinge - (1 - alpha) * dual
