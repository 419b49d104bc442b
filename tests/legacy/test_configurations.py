"""The 21 files have the fields and values of the original's, told as what they share and where they
differ."""

import json
from typing import Any

import pytest
import yaml

from tests.legacy.configurations import EVERY, FOLDER, file

Fields = dict[str, Any]


def flat(section: Fields, prefix: str = "") -> Fields:
    """Values by their dotted paths."""
    found = {}
    for name, value in section.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def fields(text: str) -> Fields:
    return flat(yaml.safe_load(text))


def without(found: Fields, *beginnings: str) -> Fields:
    return {name: value for name, value in found.items() if not name.startswith(beginnings)}


TRAINING = fields("""
seed: 0
cuda: false
model:
  l_constant: 1
  pretrained_best_path: null
  linear: {type: bjorck, bias: true, bjorck_beta: 0.5, bjorck_order: 1, power_iters: 2}
  per_epoch_proj:
    {turned_on: false, every_n_epochs: 100000000, reset_optimizer: false, type: l_2,
     bjorck_beta: 0.5, bjorck_iter: 20, bjorck_order: 1}
  per_update_proj: {turned_on: false, type: l_2, bjorck_beta: 0.5, bjorck_iter: 12, bjorck_order: 1}
optim:
  lr_schedule: {name: step, last_epoch: -1}
  momentum: 0.9
  betas: [0.0, 0.9, 0.99]
  wdecay: 0.0
  criterion: {tag: loss, minmax: min}
  patience: 250
logging: {report_freq: 1, save_model: false, save_best: false}
""")
DUAL = TRAINING | fields("""
task: wasserstein_distance_estimation
output_root: out/wde
visualize: true
model: {name: dual_fc, activation: maxmin, layers: [128, 128, 1], groupings: [2, 2, 1]}
model.linear: {safe_scaling: true, bjorck_iter: 20}
optim: {optimizer: aggmo, epochs: 225, epoch_len: 16, max_grad_norm: 10}
optim.lr_schedule: {lr_init: 0.01, lr_decay: 0.9, milestones: [32, 64]}
distrib1: &shell
  {name: MultiSphericalShell, dim: 1, empty_dim: 0, num_shells: 1, radius: 1.0e-7, center_x: [0],
   reshape_to_grid: false, sample_size: 32, test_sample_size: 2048}
distrib2: {<<: *shell, radius: 1}
visualize_1d: {xrange: [-1.2, 1.2], step: 0.02}
visualize_2d:
  {xrange: [-4.1, 4.1], yrange: [-1.1, 1.1], step: 0.02, fig_types: [contour],
   elev: [0, 60, 90], azim: [0]}
""")
CLASSIFIER = TRAINING | fields("""
task: classify
model: {activation: relu}
model.linear: {safe_scaling: false}
optim: {optimizer: adam, epochs: 200, max_grad_norm: 1.0e+8}
optim.lr_schedule: {lr_init: 0.001, lr_decay: 0.1}
data: {name: mnist, root: data, train_size: 0.9, input_dim: 784, num_workers: 0}
data.transform: {type: mnist}
""")
FULLY_CONNECTED = CLASSIFIER | fields("""
output_root: out/classification/mnist
model: {name: classify_fc, layers: [1024, 1024, 1024, 10], groupings: [2, 2, 2, 1]}
model.linear: {type: standard, bjorck_iter: 10, parseval: false}
model.per_epoch_proj: {every_n_epochs: 1}
model.per_update_proj: {bjorck_iter: 1}
optim: {batch_size: 128, patience: 50, criterion: {tag: acc, minmax: max}}
optim.lr_schedule: {milestones: [60, 100, 150]}
data: {indices_path: null, per_class_count: 30, validation: true}
logging: {save_best: true}
""")
LENET = CLASSIFIER | fields("""
output_root: out/classification/small_mnist
model: {name: lenet_classify, output_dim: 10, dropout_on: false, linear: {bjorck_iter: 5}}
optim: {batch_size: 32, lr_schedule: {milestones: [100, 150]}}
data: {in_channels: 1, indices_path: ./data/small_mnist/mnist, validation: false}
""")
GAN = fields("""
{seed: 0, output_root: out/gan/LGANS, exp_name: LWGAN, data_root: data/LNets/gan, dataset: mnist,
 epoch: 50, batch_size: 64, input_size: 28, lrG: 0.0002, beta1: 0.5, beta2: 0.999,
 gpu_mode: false, benchmark_mode: true}
""")
ATTACK = fields("""
{cuda: true, data: {batch_size: 1}, pretrained_path: out/path/to/model,
 output_root: out/adversarial, distance: Linfinity}
""")
PLANE = "distrib{}: {{dim: 2, center_x: [-2, 0, 2]}}\n"
SAMPLES = "distrib{}: {{name: GANSampler, dim: 3072, sample_size: 64, test_sample_size: 64}}\n"
EXPECTED: dict[str, tuple[Fields, str]] = {
    "absolute_value_experiment": (DUAL, "{}"),
    "three_cones_experiment": (
        DUAL,
        "model: {layers: [312, 312, 312, 1], groupings: [2, 2, 2, 1]}\noptim: {epochs: 600}\n"
        + PLANE.format(1)
        + PLANE.format(2),
    ),
    "high_dimensional_cone_experiment": (
        DUAL,
        """
visualize: false
model:
  activation: group_sort
  layers: [256, 256, 256, 256, 256, 256, 1]
  groupings: [256, 256, 256, 256, 256, 256, 1]
optim: {epochs: 150, epoch_len: 128, max_grad_norm: 1000}
optim.lr_schedule: {lr_init: 0.005, milestones: [15, 30, 60, 90]}
distrib1: {dim: 128}
distrib2: {dim: 128}
""",
    ),
    "estimate_wde_gan": (
        without(DUAL, "distrib", "visualize_"),
        SAMPLES.format(1)
        + SAMPLES.format(2)
        + """
task: EMD
output_root: out/wde_estimate
exp_name: bpp3
visualize: false
model: {activation: group_sort, layers: [720, 720, 1], groupings: [9, 9, 1]}
model.linear: {bjorck_iter: 27}
optim: {optimizer: adam, epochs: 512, epoch_len: 32, max_grad_norm: 0.1}
optim.lr_schedule: {lr_init: 0.001, milestones: [64, 96, 128, 256, 392]}
distrib1.generate_type: real
distrib2.generate_type: generated
logging: {report_freq: 8}
""",
    ),
    "fc_classification": (FULLY_CONNECTED, "exp_name: lipschitz-standard"),
    "fc_classification_bjorck": (FULLY_CONNECTED, "model.linear: {type: bjorck, bjorck_iter: 20}"),
    "fc_classification_dropout": (FULLY_CONNECTED, "model.name: classify_fc_dropout"),
    "fc_classification_l_inf": (FULLY_CONNECTED, "model.linear.type: l_inf_projected"),
    "fc_classification_l_inf_margin": (
        FULLY_CONNECTED,
        """
model: {name: classify_fc_hinge, activation: maxmin, l_constant: 1000, margin: 0.3, hinge_order: 1}
model.linear: {bjorck_iter: 3}
model.per_epoch_proj: {type: l_inf_projected}
model.per_update_proj: {type: l_inf_projected, turned_on: true}
optim: {optimizer: aggmo, lr_schedule: {lr_init: 0.0033}}
""",
    ),
    "fc_classification_parseval": (FULLY_CONNECTED, "model.per_update_proj.turned_on: true"),
    "fc_classification_spec_jac": (
        FULLY_CONNECTED,
        "model: {name: classify_fc_spec_jac, sn_reg: 0.05}",
    ),
    "fc_classification_spec_norm": (
        FULLY_CONNECTED,
        "model.linear: {type: spectral_normal, power_iters: 1}",
    ),
    "lenet_bjorck": (LENET, "{data.per_class_count: 100, exp_name: lipschitz}"),
    "lenet_standard": (
        LENET,
        """
data.per_class_count: 30
model.linear.type: standard
optim: {optimizer: sgd, lr_schedule: {lr_init: 0.01}}
""",
    ),
    "train_GAN": (GAN, "{gan_type: WGAN, lrD: 0.0002}"),
    "train_LWGAN": (GAN, "{gan_type: LWGAN, lrD: 0.002}"),
    "CWAttack": (ATTACK, "{name: SLSQPAttack, num_examples: 100, distance: MeanSquaredDistance}"),
    "boundary_attack": (ATTACK, "{name: BoundaryAttack, num_examples: 40}"),
    "fast_gradient_sign": (
        ATTACK,
        """
{name: GradientSignAttack, num_examples: 500, output_root: out/adversarual,
 attack_kwargs: {epsilons: 50, max_epsilon: 1.0}}
""",
    ),
    "projected_gradient_descent": (
        ATTACK,
        """
{name: ProjectedGradientDescent, num_examples: 500,
 attack_kwargs: {binary_search: 5, iterations: 20}}
""",
    ),
    "check_adv_gradients": (
        without(ATTACK, "distance"),
        "{data: {batch_size: 32}, visualization: {num_rows: 8}}",
    ),
}
UNKNOWN = ("distrib1.filepath", "distrib2.filepath", "distrib1.gan_", "distrib2.gan_")
"""Of files on the authors' machines."""


def test_there_are_21_of_them() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(EVERY) == set(EXPECTED)
    assert len(EVERY) == 21


@pytest.mark.parametrize("name", EVERY)
def test_they_have_the_fields_and_values_of_the_originals(name: str) -> None:
    found = without(flat(json.loads(file(name).read_text())), *UNKNOWN)
    shared, own = EXPECTED[name]
    expected = shared | fields(own)
    # Of the names of experiments and GANs' tasks, only some are known.
    for free in {"exp_name", "task", "split"} - expected.keys():
        found.pop(free, None)
    assert found == expected
