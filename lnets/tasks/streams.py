"""Seeds of random streams that have nothing to do with each other."""

import hashlib


def stream_seed(seed: int, *stream: str | int) -> int:
    """What to seed a generator with, 32 bits that look random.

    torch's generators on the CPU read only the last 32 bits of a seed, so streams differ there.

    Args:
        seed: Of the trial.
        stream: What the stream is for.
    """
    text = "/".join(map(str, (seed, *stream)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
