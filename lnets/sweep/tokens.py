"""The token that Ray asks for: without it nobody may command a cluster."""

import contextlib
import os
import secrets
from pathlib import Path

from lnets.errors import ClusterError

_MODE = "RAY_AUTH_MODE"
_TOKEN = "RAY_AUTH_TOKEN"
_TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"


def wanted() -> bool:
    """Whether clusters are to ask for a token: unless RAY_AUTH_MODE says `disabled`."""
    return os.environ.get(_MODE, "token") != "disabled"


def read_token() -> str | None:
    """The token, from where Ray looks for it, too; None if there is none.

    Raises:
        ClusterError: If its file cannot be read.
    """
    if os.environ.get(_TOKEN):
        return os.environ[_TOKEN].strip()
    file = _file()
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterError(f"{file}: the token cannot be read: {error.strerror}.") from None


def ensure_token() -> None:
    """Make a token that nobody else can read, before a local Ray makes one that everybody can.

    Raises:
        ClusterError: If it cannot be written.
    """
    if not wanted() or os.environ.get(_TOKEN):
        return
    file = _file()
    try:
        if file.exists():
            with contextlib.suppress(PermissionError):  # another person's, who decides
                file.chmod(0o600)
            return
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_hex(32), encoding="utf-8")
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(temporary, file)
        temporary.unlink()
    except OSError as error:
        raise ClusterError(f"{file}: the token cannot be written: {error.strerror}.") from None


def _file() -> Path:
    named = os.environ.get(_TOKEN_FILE)
    return Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
