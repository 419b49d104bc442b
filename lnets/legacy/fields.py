"""Every field that configuration files of the original LNets code have, as they stand there.

A field of the original must be there where the original reads it; here it may be left out where
there is a default for what it becomes.
"""

from typing import Annotated, Literal

from pydantic import Field

from lnets.specs.spec import Spec

Numbers = tuple[float, ...]
Count = Annotated[int, Field(ge=1)]


class LinearFields(Spec):
    """`model.linear`."""

    type: str = "standard"
    bias: bool = True
    safe_scaling: bool = False
    bjorck_beta: float = 0.5
    bjorck_iter: int = 20
    bjorck_order: int = 1
    power_iters: int = 1
    parseval: bool = False
    """Never read."""


class ProjectionFields(Spec):
    """`model.per_update_proj`."""

    turned_on: bool
    type: str = "l_2"
    bjorck_beta: float = 0.5
    bjorck_iter: int = 20
    bjorck_order: int = 1
    scale_all: bool = False


class EpochProjectionFields(ProjectionFields):
    """`model.per_epoch_proj`."""

    every_n_epochs: Count = 1
    reset_optimizer: bool = False


class ModelFields(Spec):
    """`model`."""

    name: str
    activation: str = "relu"
    layers: tuple[int, ...] | None = None
    groupings: tuple[int, ...] | None = None
    """Group sizes; −1 first in files that the original has written."""
    l_constant: float = 1.0
    pretrained_best_path: str | None = None
    margin: float | None = None
    hinge_order: int | None = None
    """Never read."""
    sn_reg: float | None = None
    output_dim: int | None = None
    dropout_on: bool = False
    channels: tuple[int, ...] | None = None
    kernels: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    l_correction_constant: float = 1.0
    linear: LinearFields = LinearFields()
    per_epoch_proj: EpochProjectionFields | None = None
    per_update_proj: ProjectionFields | None = None


class ScheduleFields(Spec):
    """`optim.lr_schedule`."""

    name: str
    lr_init: float
    lr_decay: float
    milestones: tuple[int, ...] | None = None
    """Epochs after which the rate drops."""
    last_epoch: int = -1


class CriterionFields(Spec):
    """`optim.criterion`."""

    tag: str
    minmax: Literal["min", "max"]


class OptimFields(Spec):
    """`optim`."""

    optimizer: str
    lr_schedule: ScheduleFields
    epochs: Count
    epoch_len: Count | None = None
    """Steps per epoch of a Wasserstein estimation."""
    batch_size: Count | None = None
    momentum: float = 0.9
    betas: Numbers = (0.0, 0.9, 0.99)
    wdecay: float = 0.0
    criterion: CriterionFields | None = None
    patience: float | None = None
    """Never read."""
    max_grad_norm: float | None = None


class TransformFields(Spec):
    """`data.transform`."""

    type: str
    norm_mean: Numbers | None = None
    norm_std: Numbers | None = None


class DataFields(Spec):
    """`data` of a classification."""

    name: str
    root: str | None = None
    indices_path: str | None = None
    per_class_count: Count | None = None
    transform: TransformFields | None = None
    validation: bool = True
    train_size: float = Field(0.9, gt=0, le=1)
    input_dim: int | None = None
    in_channels: int | None = None
    num_workers: int = 0
    class_count: int | None = None
    im_height: int | None = None
    """Never read."""
    im_width: int | None = None
    """Never read."""


class DistribFields(Spec):
    """`distrib1` and `distrib2`."""

    name: str
    filepath: str | None = None
    """File of Python code that the original imports."""
    dim: Count
    sample_size: Count
    test_sample_size: Count
    empty_dim: int = 0
    num_shells: int | None = None
    """Never read."""
    radius: float | None = None
    center_x: Numbers = (0.0,)
    reshape_to_grid: Literal[False] | tuple[int, int] = False
    gan_config_json_path: str | None = None
    """`hparams.json` of a trained GAN."""
    generate_type: Literal["real", "generated"] | None = None


class PlaneFields(Spec):
    """`visualize_2d`."""

    xrange: tuple[float, float]
    yrange: tuple[float, float]
    step: float
    fig_types: str | tuple[str, ...] = "contour"
    elev: float | Numbers = 90.0
    azim: float | Numbers = 0.0


class LineFields(Spec):
    """`visualize_1d`."""

    xrange: tuple[float, float]
    step: float


class LoggingFields(Spec):
    """`logging`."""

    report_freq: Count = 1
    save_model: bool = False
    save_best: bool = False


class _TrainingFields(Spec):
    seed: int = Field(0, ge=0)
    task: str | None = None
    output_root: str | None = None
    exp_name: str | None = None
    cuda: bool = False
    model: ModelFields
    optim: OptimFields
    logging: LoggingFields = LoggingFields()


class DualFields(_TrainingFields):
    """A configuration of `train_dual.py`."""

    distrib1: DistribFields
    distrib2: DistribFields
    visualize: bool = False
    visualize_1d: LineFields | None = None
    visualize_2d: PlaneFields | None = None


class ClassifierFields(_TrainingFields):
    """A configuration of `train_classifier.py`, and of `train_pgd.py`."""

    data: DataFields


class GanFields(Spec):
    """A configuration of `train_gan.py`, or the `hparams.json` that it has written."""

    gan_type: str
    dataset: str
    epoch: Count
    batch_size: Count
    input_size: int
    lrG: float  # noqa: N815 - its name there
    lrD: float  # noqa: N815
    beta1: float
    beta2: float
    seed: int = Field(0, ge=0)
    task: str | None = None
    output_root: str | None = None
    exp_name: str | None = None
    data_root: str | None = None
    split: str | None = None
    """Never read."""
    gpu_mode: bool = False
    benchmark_mode: bool = False


class BatchFields(Spec):
    """`data` of an attack."""

    batch_size: Count = 1


class GridFields(Spec):
    """`visualization`."""

    num_rows: Count


class AttackFields(Spec):
    """A configuration of `eval_adv_robustness.py`."""

    name: str
    pretrained_path: str
    attack_kwargs: dict[str, int | float | bool | str]
    distance: str
    num_examples: Count
    data: BatchFields = BatchFields()
    output_root: str | None = None
    cuda: bool = False


class GradientFields(Spec):
    """A configuration of `check_adv_gradients.py`."""

    pretrained_path: str
    visualization: GridFields
    data: BatchFields = BatchFields()
    output_root: str | None = None
    cuda: bool = False


AnyFields = DualFields | ClassifierFields | GanFields | AttackFields | GradientFields
