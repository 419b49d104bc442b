"""An experiment that a configuration has become."""

from typing import Any, NamedTuple

from pydantic import ValidationError

from lnets.errors import Problem, SpecError
from lnets.legacy.account import Account
from lnets.legacy.text import body
from lnets.legacy.translation import Translation
from lnets.specs.experiments import EXPERIMENT, AnyExperiment
from lnets.specs.spec import Path, frozen
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


def translated(t: Translation, data: dict[str, Any]) -> Translated:
    """The experiment that data make, once every field of the configuration is accounted for.

    Args:
        t: What is translated.
        data: Of a spec.

    Raises:
        SpecError: If they break a rule of experiments.
    """
    _leave_out(t)
    assert not t.account.rest(), t.account.rest()
    trains = data["task"] != "robustness"
    given = {**data, "faithful": True} if t.faithful and trains else data
    try:
        experiment = EXPERIMENT.validate_python(frozen(given))
    except ValidationError as error:
        where = f"{t.source.file}, as an experiment"
        found = [
            Problem(where, ".".join(map(str, path)), message)
            for _, path, message in worded(error, AnyExperiment, given)
        ]
        raise SpecError("\n".join(map(str, found)), found) from None
    return Translated(experiment, given, t.account, t.source.file.name)


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
