"""Which code runs: the commit of the checkout, and what was changed since."""

import hashlib
import os
import subprocess
from pathlib import Path

from lnets.errors import SpecError
from lnets.results.records import DIRTY, short_commit

_PACKAGE = Path(__file__).parent.parent
# Whatever a person has configured for reading differences.
_ALIKE = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--binary")


def code_commit() -> str | None:
    """Commit of the checkout that this package runs from; None if it runs from none.

    Of a checkout with changes it is followed by `-dirty-` and the SHA-256 of these: the
    differences of all files that git tracks, then names and contents of the package's new files.
    """
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git("rev-parse", "HEAD")
    changes = _git("diff", *_ALIKE, "HEAD") or b""
    new = _git("ls-files", "--others", "--exclude-standard", "-z", ".") or b""
    if commit is None or not (changes or new):
        return commit.decode().strip() if commit else None
    digest = hashlib.sha256(changes)
    for name in sorted(filter(None, new.split(b"\0"))):
        content = hashlib.sha256((_PACKAGE / os.fsdecode(name)).read_bytes()).digest()
        digest.update(name + b"\0" + content)
    return f"{commit.decode().strip()}{DIRTY}{digest.hexdigest()}"


def refuse_changed_code() -> None:
    """What `--require-clean` asks for.

    Raises:
        SpecError: If the code is no commit as it is.
    """
    commit = code_commit()
    if commit is None:
        raise SpecError(
            f"--require-clean: {_PACKAGE} is no checkout of git, so its commit is not known; run "
            "lnets from a checkout, or leave the flag out."
        )
    if DIRTY in commit:
        raise SpecError(
            f"--require-clean: the checkout of {_PACKAGE} has changes ({short_commit(commit)}); "
            "commit them, or put them aside with `git stash -u`, or leave the flag out."
        )


def _git(*arguments: str) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), *arguments], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
