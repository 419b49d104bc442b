"""A configuration file of the original as an experiment."""

from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import NamedTuple, assert_never

from lnets.errors import SpecError
from lnets.legacy.account import Account
from lnets.legacy.attacks import attack, gradients, pgd
from lnets.legacy.classification import classification
from lnets.legacy.dual import GAN, dual, samples_of_gans
from lnets.legacy.fields import (
    AttackFields,
    ClassifierFields,
    DualFields,
    GanFields,
    GradientFields,
)
from lnets.legacy.gan import gan
from lnets.legacy.needed import needed_classifier, needed_gan
from lnets.legacy.source import Source
from lnets.legacy.text import header
from lnets.legacy.translated import Translated, translated
from lnets.legacy.translation import Translation
from lnets.specs.needs import NeedSpec
from lnets.specs.sweep import SweepSpec, sweep_name


class Imported(NamedTuple):
    """A configuration of the original as an experiment, and the trials that it needs first."""

    name: str
    """Of the file, as a sweep may be called."""
    main: Translated
    needs: dict[str, Translated]
    """By the names that the experiment has for them."""
    seed: int
    """Of everything random."""

    def sweep(self) -> SweepSpec:
        """The experiment with its seed."""
        needs = {
            name: NeedSpec(experiment=need.experiment, seed=self.seed)
            for name, need in self.needs.items()
        }
        return SweepSpec(
            name=self.name, experiment=self.main.experiment, needs=needs, seeds=(self.seed,)
        )

    def to_yaml(self) -> str:
        """The experiment as a file; a sweep where it needs other trials."""
        text = header(self.main.name, self.main.account)
        if not self.needs:
            return text + self.main.text()
        text += f"name: {self.name}\nexperiment:\n{self.main.text(('experiment',))}"
        text += f"seeds: [{self.seed}]\nneeds:\n"
        for name, need in self.needs.items():
            text += f"  {name}:\n    seed: {self.seed}\n    experiment:\n"
            text += header(need.name, need.account)
            text += need.text(("needs", name, "experiment"))
        return text


def import_file(
    file: FilePath,
    overrides: Sequence[str] = (),
    *,
    faithful: bool = False,
    adversarial: bool = False,
) -> Imported:
    """Read a configuration file of the original.

    Files that it names are not opened, unless an override names them.

    Args:
        file: As it stands, JSON.
        overrides: `key=value`, as of `Source`.
        faithful: Whether the original's algorithm is kept where it gives other numbers.
        adversarial: Whether a classifier is trained as `train_pgd.py` does it.

    Raises:
        SpecError: If it is none, or asks for what cannot be done.
    """
    source = Source(file, overrides)
    t = Translation(source, Account(source.data), faithful)
    fields = source.fields
    needs: dict[str, Translated] = {}
    if adversarial and not isinstance(fields, ClassifierFields):
        raise SpecError(f"{file}: --pgd is for configurations of classifiers; leave it out")
    match fields:
        case DualFields():
            images = None
            if samples_of_gans(fields):
                needs[GAN], images = needed_gan(t, fields)
            data = dual(t, fields, images)
        case ClassifierFields():
            data = classification(t, fields)
            data |= pgd(t, data) if adversarial else {}
        case GanFields():
            data = gan(t, fields)
        case AttackFields():
            named, needs = needed_classifier(t, fields.pretrained_path)
            data = attack(t, fields, named)
        case GradientFields():
            named, needs = needed_classifier(t, fields.pretrained_path)
            data = gradients(t, fields, named)
        case _:
            assert_never(fields)
    seed = getattr(fields, "seed", 0)
    return Imported(sweep_name(file.stem), translated(t, data), needs, seed)
