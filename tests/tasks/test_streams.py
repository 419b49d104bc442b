import itertools

import torch
from torch import Generator

from lnets.tasks.streams import stream_seed


def test_no_two_streams_begin_alike() -> None:
    """Not even where torch reads 32 bits of a seed only."""
    names = [("training",), ("held out",), *(("images", epoch) for epoch in range(50))]
    firsts = {
        torch.rand((), dtype=torch.float64, generator=Generator().manual_seed(s)).item()
        for s in itertools.chain(range(20), (stream_seed(s, *n) for s in range(20) for n in names))
    }
    assert len(firsts) == 20 * (1 + len(names))
    assert stream_seed(3, "images", 1) == stream_seed(3, "images", 1)
