"""Attacks on classifiers: which there are, how they are evaluated, and training against one."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from lnets.specs.epsilons import Epsilon, Norm, not_rising, too_large, too_large_ones
from lnets.specs.spec import Broken, Spec, rule_broken

Steps = Annotated[int, Field(ge=1, le=100_000)]
StepSize = Annotated[float, Field(gt=0, le=1e3)]
_BOTH: tuple[Norm, ...] = ("l2", "linf")


class _AttackSpec(Spec):
    NORMS: ClassVar[tuple[Norm, ...]] = _BOTH
    """In which it looks for perturbations."""


class FGSMSpec(_AttackSpec):
    """One step along the gradient, as long as epsilon."""

    type: Literal["fgsm"]


class PGDSpec(_AttackSpec):
    """Steps along the gradient, each followed by a projection into the ball and into [0, 1]."""

    type: Literal["pgd"]
    steps: Steps = 40
    """Gradients per restart."""
    step_size: StepSize | None = None
    """Length of a step in pixels; null takes 2.5·epsilon/steps."""
    step_rule: Literal["gradient", "adam"] = "gradient"
    """Along the sign of the gradient (linf) or its direction (l2), or by Adam's rule after that."""
    restarts: int = Field(1, ge=1, le=1000)
    """How often it starts; the images that stood are attacked again."""
    random_start: bool = True
    """Whether it starts anywhere in the ball; restarts would otherwise be the same."""

    @model_validator(mode="after")
    def _restarts_differ(self) -> Self:
        if self.restarts > 1 and not self.random_start:
            message = (
                f"must be 1 without random_start, because all would be the same, got "
                f"{self.restarts}"
            )
            raise rule_broken((("restarts",), message))
        return self


class CarliniWagnerSpec(_AttackSpec):
    """The smallest perturbation, by Adam on its size and the logits at once."""

    NORMS: ClassVar[tuple[Norm, ...]] = ("l2",)

    type: Literal["carlini_wagner"]
    binary_search_steps: int = Field(9, ge=1, le=100)
    """Weights of the logits that are tried."""
    steps: Steps = 1000
    """Of Adam, for each of them."""
    step_size: StepSize = 0.01
    """Adam's learning rate."""


class BoundarySpec(_AttackSpec):
    """A walk along the decision boundary that looks at predictions only."""

    NORMS: ClassVar[tuple[Norm, ...]] = ("l2",)

    type: Literal["boundary"]
    steps: Steps = 5000
    """At most."""
    spherical_step: float = Field(0.01, gt=0, le=1)
    """First step along the sphere, relative to the distance."""
    source_step: float = Field(0.01, gt=0, le=1)
    """First step towards the image, relative to the distance."""


class HopSkipJumpSpec(_AttackSpec):
    """Gradients at the decision boundary, estimated from predictions only."""

    type: Literal["hop_skip_jump"]
    steps: Steps = 32
    """Jumps."""
    initial_evaluations: int = Field(100, ge=1, le=1_000_000)
    """Predictions for the first gradient; for that of step k √k times as many."""
    max_evaluations: int = Field(10_000, ge=1, le=1_000_000)
    """Predictions for a gradient at most."""


class DeepFoolSpec(_AttackSpec):
    """Steps to the nearest boundary of the classifier's linear approximation."""

    type: Literal["deepfool"]
    steps: Steps = 50
    """At most."""
    candidates: int = Field(10, ge=2, le=1000)
    """How many of the likeliest classes are looked at."""
    overshoot: float = Field(0.02, ge=0, le=10)
    """By which share of the perturbation it goes farther than the boundary."""


class AutoAttackSpec(_AttackSpec):
    """The standard ensemble of Croce and Hein: APGD, targeted APGD, targeted FAB, Square."""

    type: Literal["autoattack"]


AttackSpec = Annotated[
    FGSMSpec
    | PGDSpec
    | CarliniWagnerSpec
    | BoundarySpec
    | HopSkipJumpSpec
    | DeepFoolSpec
    | AutoAttackSpec,
    Field(discriminator="type"),
]
ATTACK_TYPES: tuple[str, ...] = tuple(
    get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(get_args(AttackSpec)[0])
)
"""Of every attack that there is."""


class EvaluationSpec(Spec):
    """Attacks on a trained classifier: how accurate is it when test images are perturbed?"""

    attacks: tuple[AttackSpec, ...] = Field((PGDSpec(type="pgd"),), min_length=1, max_length=16)
    """Each type once; accuracies are those of each, and of all together."""
    epsilons: tuple[Epsilon, ...] = Field(min_length=1, max_length=64)
    """Sizes of perturbations, in pixels of [0, 1]: numbers, or fractions such as 8/255."""
    max_images: int | None = Field(None, ge=1)
    """Test images at most, evenly spread over all; all figures of the trial are then of these, so
    that they can be compared. null takes all."""

    @model_validator(mode="after")
    def _attacks_differ_and_epsilons_rise(self) -> Self:
        problems = list(not_rising(self.epsilons))
        types = [attack.type for attack in self.attacks]
        for i, kind in enumerate(types):
            if kind in types[:i]:
                message = f"must differ in type, got {kind} again; search `attacks` for both"
                problems.append((("attacks", i), message))
        if problems:
            raise rule_broken(*problems)
        return self

    def misfits(self, norm: Norm, numbers: int | None = None) -> Iterator[Broken]:
        """What cannot be in a norm: path of the field from here, and message.

        Args:
            norm: Of perturbations.
            numbers: Of an image; None where they are not known.
        """
        for i, attack in enumerate(self.attacks):
            if norm not in attack.NORMS:
                message = f"must be an attack in {norm}, got {attack.type}, which is one in l2 only"
                yield ("attacks", i, "type"), message
        yield from too_large_ones(self.epsilons, norm, numbers)


class AdversarialSpec(Spec):
    """Training on attacked images instead of the training images themselves."""

    attack: Literal["pgd"] = "pgd"
    """How they are attacked; `steps: 1` is the fast gradient sign method."""
    norm: Norm = "linf"
    """Of perturbations."""
    epsilon: Epsilon
    """Their size, in pixels of [0, 1]: a number, or a fraction such as 8/255."""
    steps: int = Field(7, ge=1, le=1000)
    """Gradients per batch: each costs about as much as a training step."""
    step_size: StepSize | None = None
    """Length of a step in pixels; null takes 2.5·epsilon/steps."""
    random_start: bool = True
    """Whether the attack starts anywhere in the ball, or at the image."""

    @model_validator(mode="after")
    def _epsilon_is_of_pixels(self) -> Self:
        wrong = too_large(self.epsilon, self.norm)
        if wrong is not None:
            raise rule_broken((("epsilon",), wrong))
        return self
