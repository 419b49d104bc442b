"""Train a GAN, and bound how far its images are from real ones."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lnets.specs.classification import ClassificationSpec
from lnets.specs.data import ImagesSpec
from lnets.specs.distributions import GanSamplesSpec
from lnets.specs.experiment import ExperimentSpec, TrainingSpec
from lnets.specs.image_models import InfoGanDiscriminatorSpec
from lnets.specs.layers import (
    BjorckConvSpec,
    OrthogonalLinearSpec,
    StandardConvSpec,
    StandardLinearSpec,
    norm_kept,
)
from lnets.specs.metrics import FEATURES, GAN, QUALITY, WASSERSTEIN, Metric
from lnets.specs.model import FullyConnectedSpec, ModelSpec
from lnets.specs.network import Shape, Width
from lnets.specs.optim import AdamSpec, OptimSpec
from lnets.specs.references import TrialReference
from lnets.specs.spec import Broken, Spec, frozen, rule_broken, show
from lnets.specs.wasserstein import WassersteinSpec, bad_critic

GanType = Literal["WGAN", "WGAN_GP", "LWGAN"]

_UNCONSTRAINED = InfoGanDiscriminatorSpec(
    type="infogan_discriminator",
    output_dim=1,
    activation="leaky_relu",
    conv=StandardConvSpec(type="standard_conv2d"),
    linear=StandardLinearSpec(type="standard"),
)
_LIPSCHITZ = InfoGanDiscriminatorSpec(
    type="infogan_discriminator",
    output_dim=1,
    activation="maxmin",
    conv=BjorckConvSpec(type="bjorck_conv2d"),
    linear=OrthogonalLinearSpec(type="orthogonal"),
)
_CRITICS: dict[str, ModelSpec] = {
    "WGAN": _UNCONSTRAINED,
    "WGAN_GP": _UNCONSTRAINED,
    "LWGAN": _LIPSCHITZ,
}


class GanDataSpec(ImagesSpec):
    """The images that a GAN is trained on: those that `image_samples` trains critics on."""

    max_images: int | None = Field(None, ge=2)
    """Images to train on, and images held out, that are read at most: always the same ones; null
    reads all."""


class GeneratorSpec(Spec):
    """Noise to images: two linear layers and two transposed convolutions, each normalised."""

    noise_dim: Width = 62
    """Numbers that an image is made of, uniform in [0, 1)."""
    widths: tuple[Width, Width, Width] = (1024, 128, 64)
    """Units of the hidden linear layer, then channels at a quarter and at half the image's size."""


class QualitySpec(Spec):
    """A critic trained afterwards, between the generator and real images that it has not seen."""

    model: ModelSpec = FullyConnectedSpec(
        type="fully_connected",
        layers=(256, 256, 1),
        activation="maxmin",
        linear=OrthogonalLinearSpec(type="orthogonal"),
    )
    """The critic; any that can be certified."""
    optim: OptimSpec = AdamSpec(type="adam", lr=0.002)
    """How it is trained."""
    steps: int = Field(1000, ge=1, le=100_000_000)
    """Training steps."""
    batch_size: int = Field(64, ge=1, le=1_000_000)
    """Images of each side per step."""
    test_sample_size: int = Field(2048, ge=2, le=1_000_000)
    """Held-out images of each side; of real ones, at most those held out."""


class GanSpec(TrainingSpec):
    """Train a generator of images against a critic of Wasserstein distances."""

    task: Literal["gan"]
    """What a trial does."""
    gan_type: GanType
    """What keeps the critic in bounds: `WGAN` clips its weights, `WGAN_GP` penalises its
    gradients, `LWGAN` has Lipschitz layers, so that its constant is proven to be at most 1."""
    data: GanDataSpec
    """The real images."""
    generator: GeneratorSpec = GeneratorSpec()
    """The generator."""
    generator_optim: OptimSpec = AdamSpec(type="adam", lr=0.0002, betas=(0.5, 0.999))
    """How the generator is trained."""
    model: ModelSpec = _UNCONSTRAINED
    """The critic; null, or left out, is the original's of that `gan_type`, an
    infogan_discriminator."""
    optim: OptimSpec
    """How the critic is trained."""
    critic_steps: int = Field(5, ge=1, le=1000)
    """Updates of the critic, a batch each, for every one of the generator."""
    clip: Annotated[float, Field(gt=0, le=1e3)] | None = None
    """Of WGAN: weights of the critic are kept in ±clip; null is 0.01."""
    gradient_penalty: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Of WGAN_GP: weight of the penalty on gradients of another norm than 1; null is 10."""
    epochs: int = Field(ge=1, le=100_000)
    """Passes over the real images; a last batch that is not full is left out."""
    batch_size: int = Field(64, ge=2, le=1_000_000)
    """Real images per update of the critic, and as many generated ones; no more than there are
    are used."""
    max_train_seconds: float | None = Field(None, gt=0)
    """Wall time after which training ends, wherever it is. Numbers then depend on the machine."""
    sample_every: int = Field(1, ge=1)
    """Epochs between two grids of generated images; the last one is always drawn."""
    checkpoint_every: int = Field(1, ge=1)
    """Epochs between two checkpoints, at which the critic of an LWGAN is certified."""
    quality: QualitySpec | None = QualitySpec()
    """How the distance of the generator from the data is bounded in the end; null leaves it."""
    features: TrialReference | None = None
    """A trained classifier of such images: what it makes of them before its last layer is compared
    too. The key of a finished trial of the same store, or a name under the sweep's `needs`."""

    @property
    def metrics(self) -> dict[str, Metric]:
        """What a trial reports."""
        known = dict(QUALITY) if self.quality is not None else {}
        known |= FEATURES if self.features is not None else {}
        if self.gan_type == "LWGAN" and not self.faithful:
            known["lipschitz_upper_bound"] = WASSERSTEIN["lipschitz_upper_bound"]
        return known | GAN

    @property
    def pause_unit(self) -> int:
        """An epoch with a checkpoint."""
        return self.checkpoint_every

    @property
    def input_batch(self) -> Shape:
        """Real and generated images."""
        return 2 * self.batch_size, *self.data.image_shape

    def why_alone(self) -> str | None:
        """The reason why trials must be trained one by one."""
        return "the two networks of a GAN are trained by themselves"

    def why_not_from(self, field: str, needed: ExperimentSpec) -> str | None:
        """Features are of a classifier of images of the same shape."""
        if not isinstance(needed, ClassificationSpec):
            return f"a trial of {needed.task} has no classifier"
        mine, its = list(self.data.image_shape), list(needed.data.image_shape)
        return (
            None if mine == its else f"it classifies images of shape {its}, and these have {mine}"
        )

    def quality_experiment(self) -> WassersteinSpec | None:
        """What bounds the generator's distance from the data; None if nothing does."""
        if self.quality is None:
            return None
        real, generated = (
            GanSamplesSpec(
                type="gan_samples",
                gan=TrialReference("this"),
                side=side,
                dataset=self.data.dataset,
                image_size=self.data.image_size,
                flatten=isinstance(self.quality.model, FullyConnectedSpec),
            )
            for side in ("real", "generated")
        )
        fields = {name: getattr(self.quality, name) for name in QualitySpec.model_fields}
        return WassersteinSpec(task="wasserstein", distrib1=real, distrib2=generated, **fields)

    @model_validator(mode="before")
    @classmethod
    def _every_type_has_its_critic(cls, data: Any) -> Any:
        data = frozen(data)
        if not isinstance(data, dict) or data.get("model") is not None:
            return data
        critic = _CRITICS.get(str(data.get("gan_type")))
        return data if critic is None else {**data, "model": critic.model_dump()}

    @model_validator(mode="after")
    def _parts_fit_each_other(self) -> Self:
        problems = [*self._bad_image(), *self._bad_options()]
        problems = problems or [*self._bad_critics()]
        if problems:
            raise rule_broken(*problems)
        return self

    def _bad_image(self) -> Iterator[Broken]:
        side = self.data.image_shape[1]
        if side % 4:
            message = (
                "must be a multiple of 4, because the generator doubles its images twice, got "
                f"{side}; take {side - side % 4}"
            )
            yield ("data", "image_size"), message

    def _bad_options(self) -> Iterator[Broken]:
        for name, owner in (("clip", "WGAN"), ("gradient_penalty", "WGAN_GP")):
            value = getattr(self, name)
            if value is not None and self.gan_type != owner:
                message = (
                    f"must be left out with {self.gan_type}, because it is of {owner}, got "
                    f"{show(value)}"
                )
                yield (name,), message
        if self.faithful and self.quality is not None:
            message = "must be null with faithful, under which nothing is proven"
            yield ("quality",), message

    def _bad_critics(self) -> Iterator[Broken]:
        yield from bad_critic(self.model, self.data.image_shape)
        lipschitz = self.gan_type == "LWGAN"
        yield from self._not_lipschitz() if lipschitz else self._lipschitz_layers()
        if self.gan_type == "WGAN_GP" and self.model.normalizes_batches:
            message = (
                "must normalise no batches with WGAN_GP, which penalises the gradient at each "
                f"image for itself, got {self.model.type} with batch normalisation"
            )
            yield ("model",), message
        if self.quality is not None:
            found = bad_critic(self.quality.model, self.data.image_shape)
            yield from ((("quality", *path), message) for path, message in found)

    def _not_lipschitz(self) -> Iterator[Broken]:
        """Why the critic of an LWGAN is not proven to be 1-Lipschitz."""
        layers = _layer_types(self.model)
        bad = [(name, kind) for name, kind in layers if norm_kept(kind) != "l2"]
        for name, kind in bad:
            message = (
                f"must keep an L2 bound of 1 with LWGAN, got {kind}; use orthogonal or bjorck, and "
                "bjorck_conv2d for convolutions"
            )
            yield ("model", name, "type"), message
        if not layers:
            message = (
                f"must have Lipschitz layers with LWGAN, got {self.model.type}; use "
                "infogan_discriminator, lipschitz_resnet, fully_conv or fully_connected"
            )
            yield ("model", "type"), message
        constant = getattr(self.model, "l_constant", 1.0)
        if constant != 1:
            message = f"must be 1 with LWGAN, whose critic is 1-Lipschitz, got {constant:g}"
            yield ("model", "l_constant"), message

    def _lipschitz_layers(self) -> Iterator[Broken]:
        """What would be clipped or penalised without effect."""
        for name, kind in _layer_types(self.model):
            if norm_kept(kind) is not None:
                message = (
                    f"must be standard with {self.gan_type}, which bounds the critic itself, got "
                    f"{kind}; or set gan_type: LWGAN"
                )
                yield ("model", name, "type"), message


def _layer_types(model: ModelSpec) -> list[tuple[str, str]]:
    """Field and type of each kind of layers that a network lets one choose."""
    found = [(name, getattr(model, name, None)) for name in ("conv", "linear")]
    return [(name, layers.type) for name, layers in found if layers is not None]
