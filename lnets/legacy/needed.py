"""Trials that an experiment needs first, in place of files that its configuration names."""

import json
import re
from pathlib import Path as FilePath
from typing import Any

from lnets.legacy.account import Account
from lnets.legacy.attacks import CLASSIFIER, FC_CLASSIFICATION
from lnets.legacy.classification import classification
from lnets.legacy.dual import samples_of_gans
from lnets.legacy.fields import AnyFields, ClassifierFields, DualFields, GanFields
from lnets.legacy.gan import TRAIN_GAN, gan
from lnets.legacy.source import Source
from lnets.legacy.translated import Translated, translated
from lnets.legacy.translation import Translation

_IN_A_RUN = FilePath("logs") / "config.json"


def needed_gan(t: Translation, fields: DualFields) -> tuple[Translated, dict[str, Any]]:
    """The GAN that samples are of, and what says which images these are.

    Raises:
        SpecError: If a file was asked for that is none of a GAN.
    """
    paths = {
        f"{name}.gan_config_json_path": distrib.gan_config_json_path
        for name, distrib in samples_of_gans(fields)
    }
    asked = {path: file for path, file in paths.items() if t.source.overridden(path)}
    if len(set(asked.values())) > 1:
        raise t.source.refusal(max(asked), "must name one GAN for both distributions; give one")
    source = Source(FilePath("train_GAN.json"), text=json.dumps(TRAIN_GAN))
    if asked:
        path, named = next(iter(asked.items()))
        source = _opened(t, path, FilePath(str(named)), GanFields, "a GAN")
        t.account.carry(*paths)
    else:
        t.account.drop(
            "not opened; the GAN of the original's train_GAN.json takes its place. To take "
            f"another, give its configuration: -o {min(paths)}=FILE",
            *paths,
        )
    needed = Translation(source, Account(source.data), t.faithful)
    assert isinstance(source.fields, GanFields)
    data = gan(needed, source.fields) | {"quality": None}
    return translated(needed, data), data["data"]


def needed_classifier(t: Translation, named: str) -> tuple[str, dict[str, Translated]]:
    """What an experiment calls the classifier that it attacks, and the trial, if one is needed.

    Args:
        t: What is translated.
        named: The folder of a run of the original, or what was given in its place.

    Raises:
        SpecError: If a file was asked for that is none of a classifier.
    """
    path = "pretrained_path"
    source = Source(FilePath("fc_classification.json"), text=json.dumps(FC_CLASSIFICATION))
    if t.source.overridden(path):
        t.account.carry(path)
        if re.fullmatch("[0-9a-f]{64}", named):
            return named, {}
        file = FilePath(named)
        file = file / _IN_A_RUN if file.is_dir() else file
        source = _opened(t, path, file, ClassifierFields, "a classifier")
    t.account.drop(
        "not opened; the classifier of the original's fc_classification.json takes its place. To "
        f"take another, give its configuration, the folder of its run, or the key of a trial: -o "
        f"{path}=…",
        path,
    )
    needed = Translation(source, Account(source.data), t.faithful)
    assert isinstance(source.fields, ClassifierFields)
    return CLASSIFIER, {CLASSIFIER: translated(needed, classification(needed, source.fields))}


def _opened(t: Translation, path: str, file: FilePath, kind: type[AnyFields], of: str) -> Source:
    """A configuration that an override names."""
    if not file.is_file():
        message = f"must be the configuration of {of}, but there is no file {file}"
        raise t.source.refusal(path, f"{message}; leave it out to take the original's")
    source = Source(file)
    if not isinstance(source.fields, kind):
        raise t.source.refusal(path, f"must be the configuration of {of}, got {file}")
    return source
