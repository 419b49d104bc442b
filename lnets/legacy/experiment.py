"""A configuration file of the original as an experiment."""

import json
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple, assert_never

from pydantic import ValidationError

from lnets.errors import Problem, SpecError
from lnets.legacy.account import Account
from lnets.legacy.classification import classification
from lnets.legacy.dual import GAN, dual, samples_of_gans
from lnets.legacy.fields import (
    AttackFields,
    ClassifierFields,
    DualFields,
    GanFields,
    GradientFields,
)
from lnets.legacy.gan import TRAIN_GAN, gan
from lnets.legacy.source import Source
from lnets.legacy.text import body, header
from lnets.legacy.translation import Translation
from lnets.specs.experiments import EXPERIMENT, AnyExperiment
from lnets.specs.needs import NeedSpec
from lnets.specs.spec import Path, frozen
from lnets.specs.sweep import SweepSpec, sweep_name
from lnets.specs.wording import worded


class Translated(NamedTuple):
    """An experiment, and what is to say of it."""

    experiment: AnyExperiment
    given: dict[str, Any]
    """Its fields that are not defaults."""
    account: Account
    """Of the configuration's fields."""
    name: str
    """Of the configuration's file."""

    def text(self, path: Path = ()) -> str:
        """Its fields as YAML, for the place in a file that a path leads to."""
        beside = {(*path, *field): texts for field, texts in self.account.beside.items()}
        return body(self.experiment.model_dump(mode="json"), self.given, beside, path)


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
    file: FilePath, overrides: Sequence[str] = (), *, faithful: bool = False
) -> Imported:
    """Read a configuration file of the original.

    Files that it names are not opened, unless an override names them.

    Args:
        file: As it stands, JSON.
        overrides: `key=value`, as of `Source`.
        faithful: Whether the original's algorithm is kept where it gives other numbers.

    Raises:
        SpecError: If it is none, or asks for what cannot be done.
    """
    source = Source(file, overrides)
    t = Translation(source, Account(source.data), faithful)
    fields = source.fields
    needs: dict[str, Translated] = {}
    match fields:
        case DualFields():
            images = None
            if samples_of_gans(fields):
                needs[GAN], images = _gan_of(t, fields)
            data = dual(t, fields, images)
        case ClassifierFields():
            data = classification(t, fields)
        case GanFields():
            data = gan(t, fields)
        case AttackFields() | GradientFields():
            raise AssertionError
        case _:
            assert_never(fields)
    seed = getattr(fields, "seed", 0)
    return Imported(sweep_name(file.stem), _translated(t, data), needs, seed)


def _translated(t: Translation, data: dict[str, Any]) -> Translated:
    """The experiment that data make, once every field of the configuration is accounted for."""
    _leave_out(t)
    assert not t.account.rest(), t.account.rest()
    given = {**data, "faithful": True} if t.faithful else data
    name = t.source.file.name
    try:
        experiment = EXPERIMENT.validate_python(frozen(given))
    except ValidationError as error:
        where = f"{t.source.file}, as an experiment"
        found = [
            Problem(where, ".".join(map(str, path)), message)
            for _, path, message in worded(error, AnyExperiment, given)
        ]
        raise SpecError("\n".join(map(str, found)), found) from None
    return Translated(experiment, given, t.account, name)


def _leave_out(t: Translation) -> None:
    """What no part of an experiment is made of."""
    account = t.account
    account.drop("it only names the original's folders", "task", "exp_name")
    account.drop("results are in the store", "output_root", "logging.save_model")
    account.drop("data sets are where LNETS_DATA says", "data.root", "data_root")
    account.drop("`resources.gpu` of a sweep says it", "cuda", "gpu_mode")
    account.drop("nothing is tuned while it runs", "benchmark_mode")
    account.drop("images are in memory", "data.num_workers")
    account.drop("`run --seed`, or `seeds` of a sweep", "seed")
    _start(t)
    folders = [path for path in account.rest() if path.endswith("_dir")]
    account.drop("folders of a run", *folders)
    unread = [path for path in account.rest() if path.startswith("model.")]
    account.ignore("this model does not read it", *unread)


def _start(t: Translation) -> None:
    path = "model.pretrained_best_path"
    model = getattr(t.source.fields, "model", None)
    if getattr(model, "pretrained_best_path", None) is not None:
        t.account.differs.append(
            f"training starts anew: the weights in {path} are of another program, and are not "
            "opened"
        )
    t.account.drop("`init_from` of a classification names a trial", path)


def _gan_of(t: Translation, fields: DualFields) -> tuple[Translated, dict[str, Any]]:
    """The GAN that samples are of, and what says which images these are."""
    paths = {
        f"{name}.gan_config_json_path": distrib.gan_config_json_path
        for name, distrib in samples_of_gans(fields)
    }
    asked = {path: file for path, file in paths.items() if t.source.overridden(path)}
    if len(set(asked.values())) > 1:
        raise t.source.refusal(max(asked), "must name one GAN for both distributions; give one")
    if asked:
        path, named = next(iter(asked.items()))
        file = FilePath(str(named))
        if not file.is_file():
            message = f"must be the configuration of a GAN, but there is no file {named}"
            raise t.source.refusal(path, f"{message}; leave it out to take the original's")
        source = Source(file)
        if not isinstance(source.fields, GanFields):
            raise t.source.refusal(path, f"must be the configuration of a GAN, got {named}")
        t.account.carry(*paths)
    else:
        source = Source(FilePath("train_GAN.json"), text=json.dumps(TRAIN_GAN))
        t.account.drop(
            "not opened; the GAN of the original's train_GAN.json takes its place. To take "
            f"another, give its configuration: -o {min(paths)}=FILE",
            *paths,
        )
    needed = Translation(source, Account(source.data), t.faithful)
    assert isinstance(source.fields, GanFields)
    data = gan(needed, source.fields) | {"quality": None}
    return _translated(needed, data), data["data"]
