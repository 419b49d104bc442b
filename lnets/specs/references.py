"""How an experiment names a trial whose result it starts from."""

from typing import Annotated

from pydantic import Field

TrialReference = Annotated[str, Field(pattern=r"^([0-9a-f]{64}|[a-z][a-z0-9_]{0,62})$")]
"""Key of a finished trial of the same store, or a name under the sweep's `needs`."""
