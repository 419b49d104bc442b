"""Attacks of foolbox and pyautoattack, told apart by their specs.

foolbox does all but AutoAttack, which it has not; pyautoattack does that, with the accuracies of
torchattacks, whose requirements do not go with the other libraries' here.
"""

import logging
import math
import sys
import warnings
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from lnets.nn.certificate import Norm
from lnets.specs.attacks import (
    AttackSpec,
    AutoAttackSpec,
    BoundarySpec,
    CarliniWagnerSpec,
    DeepFoolSpec,
    FGSMSpec,
    HopSkipJumpSpec,
    PGDSpec,
)

with warnings.catch_warnings():
    # Its attack by blurring, which is not used here, imports scipy by an old name.
    warnings.filterwarnings("ignore", "Please import `gaussian_filter`", DeprecationWarning)
    import foolbox
from pyautoattack import AutoAttack

# Numbers of images, and of what an attack makes of them, that are held at once: 64 MiB.
_NUMBERS = 2**24
# Images of one forward, with what layers make of them.
_INPUTS = 2**20
# Logits that the loss of AutoAttack's targeted APGD compares.
_TARGETED_CLASSES = 4


def seeks_smallest(spec: AttackSpec) -> bool:
    """Whether an attack looks for the smallest perturbation, instead of any inside of a ball."""
    return isinstance(spec, (CarliniWagnerSpec, BoundarySpec, HopSkipJumpSpec, DeepFoolSpec))


def needs_start(spec: AttackSpec) -> bool:
    """Whether an attack begins at an image that is classified otherwise."""
    return isinstance(spec, (BoundarySpec, HopSkipJumpSpec))


def images_at_once(spec: AttackSpec, pixels: int) -> int:
    """How many images an attack can take at once in bounded memory.

    Args:
        spec: The attack.
        pixels: Numbers per image.
    """
    fitting = _INPUTS // pixels
    if isinstance(spec, HopSkipJumpSpec):
        most = min(spec.initial_evaluations * math.sqrt(spec.steps), spec.max_evaluations)
        fitting = min(fitting, int(_NUMBERS / (pixels * most)))
    return max(1, fitting)


def perturbed(
    spec: AttackSpec,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float | None,
    norm: Norm,
    starts: Tensor | None,
    seed: int,
) -> Tensor:
    """What a library returns, whatever that is; torch's random numbers are to be seeded before.

    Args:
        spec: Which attack.
        model: In evaluation mode, parameters without gradients.
        images: Classified correctly, pixels in [0, 1].
        labels: From 0, one per image.
        epsilon: Size of perturbations; None where the smallest is looked for.
        norm: Of perturbations.
        starts: Images that are classified otherwise, where the attack needs them.
        seed: Of AutoAttack, which seeds by itself.
    """
    if isinstance(spec, AutoAttackSpec):
        return _auto_attack(model, images, labels, epsilon, norm, seed)
    target = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
    criterion = foolbox.criteria.Misclassification(labels)
    attack = _foolbox(spec, epsilon, norm)
    options: dict[str, Any] = {} if epsilon is None else {"epsilon": epsilon}
    if starts is not None:
        options["starting_points"] = starts
    found = attack.run(target, images, criterion, **options)
    if isinstance(spec, CarliniWagnerSpec):
        # foolbox returns black images where it has found nothing.
        black = ~found.flatten(1).any(dim=1)
        found = torch.where(black[:, None, None, None], images, found)
    return found


def _foolbox(spec: AttackSpec, epsilon: float | None, norm: Norm) -> Any:
    l2, attacks = norm == "l2", foolbox.attacks
    match spec:
        case FGSMSpec():
            return attacks.L2FastGradientAttack() if l2 else attacks.LinfFastGradientAttack()
        case PGDSpec():
            assert epsilon is not None
            step = 2.5 * epsilon / spec.steps if spec.step_size is None else spec.step_size
            adam = spec.step_rule == "adam"
            name = f"L{2 if l2 else 'inf'}{'Adam' if adam else ''}ProjectedGradientDescentAttack"
            return getattr(attacks, name)(
                abs_stepsize=step, steps=spec.steps, random_start=spec.random_start
            )
        case CarliniWagnerSpec():
            return attacks.L2CarliniWagnerAttack(
                binary_search_steps=spec.binary_search_steps,
                steps=spec.steps,
                stepsize=spec.step_size,
            )
        case BoundarySpec():
            return attacks.BoundaryAttack(
                steps=spec.steps, spherical_step=spec.spherical_step, source_step=spec.source_step
            )
        case HopSkipJumpSpec():
            return attacks.HopSkipJumpAttack(
                steps=spec.steps,
                initial_gradient_eval_steps=spec.initial_evaluations,
                max_gradient_eval_steps=spec.max_evaluations,
                constraint=norm,
            )
        case DeepFoolSpec():
            kind = attacks.L2DeepFoolAttack if l2 else attacks.LinfDeepFoolAttack
            return kind(steps=spec.steps, candidates=spec.candidates, overshoot=spec.overshoot)
        case AutoAttackSpec():
            raise AssertionError("foolbox has no AutoAttack.")
        case _:
            assert_never(spec)


def _auto_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    epsilon: float | None,
    norm: Norm,
    seed: int,
) -> Tensor:
    assert epsilon is not None
    attack = AutoAttack(
        model,
        device=images.device,
        eps=epsilon,
        norm={"l2": "L2", "linf": "Linf"}[norm],
        seed=seed,
        version="standard",
    )
    with torch.no_grad():
        classes = model(images[:1]).shape[1]
    # It takes for granted that there are ten.
    others = min(attack.fab.n_target_classes, classes - 1)
    attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = others
    if classes < _TARGETED_CLASSES:
        attack.attacks_to_run.remove("apgd-t")
    # Its warnings are of defences that a plain network is not; and it forgets who else traces.
    attack.logger.setLevel(logging.ERROR)
    tracing = sys.gettrace()
    try:
        found, _ = attack.run_standard_evaluation(images, labels, batch_size=len(images))
    finally:
        sys.settrace(tracing)
    return found
