"""Readers of data sets of large images, which are decoded, shrunk and cropped when asked for."""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import CenterCrop, Compose, PILToTensor, Resize

from lnets.data.images import Source
from lnets.data.readers import check_count, reading
from lnets.errors import DataError
from lnets.specs.data import DATASETS

_T = TypeVar("_T")


def read_imagenet(root: Path, train: bool, image_size: int) -> Source:
    """Class folders in `imagenet/train` and `imagenet/val`; the test images are those of `val`.

    Args:
        root: Folder of all data sets.
        train: Whether the training images are wanted, else the test images.
        image_size: Height and width that images are shrunk and cropped to.

    Raises:
        DataError: If they are not there, lack images or classes, are damaged, or the two have
            different class folders.
    """
    folders = [root / "imagenet" / half for half in ("train", "val")]
    folder = folders[0 if train else 1]
    remedy = "unpacking ILSVRC2012 with a folder per class in it"
    with reading("imagenet", folder, remedy):
        found = ImageFolder(folder)
        # Labels are places in the sorted names, so a folder that lacks in one shifts them.
        names = [{entry.name for entry in one.iterdir() if entry.is_dir()} for one in folders]
        if names[0] != names[1]:
            raise ValueError(f"train and val differ in {sorted(names[0] ^ names[1])[0]}")
        classes = DATASETS["imagenet"].num_classes
        if len(names[0]) != classes:
            raise ValueError(f"must be {classes:,} class folders, got {len(names[0]):,}")
        check_count("imagenet", train, len(found.targets))

    def read(index: Tensor) -> Tensor:
        with reading("imagenet", folder, remedy):
            paths = [found.samples[i][0] for i in index.tolist()]
            return _decoded(paths, found.loader, image_size)

    return Source(torch.tensor(found.targets), read)


def read_lsun_bed(root: Path, train: bool, image_size: int) -> Source:
    """Bedrooms of LSUN, in `bedroom_train_lmdb` and `bedroom_val_lmdb`; all have label 0.

    Torchvision's class for this format is not used: it pickles a list of keys into the current
    folder, and trusts whatever list it finds there.

    Args:
        root: Folder of all data sets.
        train: Whether the training images are wanted, else those of `val`.
        image_size: Height and width that images are shrunk and cropped to.

    Raises:
        DataError: If they are not there, lack images, or are damaged.
    """
    half = "train" if train else "val"
    folder = root / f"bedroom_{half}_lmdb"
    remedy = f"unpacking LSUN's bedroom_{half}_lmdb.zip there"
    try:
        import lmdb
    except ImportError:
        raise DataError(
            "lsun_bed: is read by lmdb, which is not here; pip install 'lnets[data]'"
        ) from None

    def opened() -> Any:
        return lmdb.open(str(folder), readonly=True, lock=False, readahead=False)

    with reading("lsun_bed", folder, remedy), opened() as database:
        pages = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
        size = (folder / "data.mdb").stat().st_size
        if size < pages:  # reading beyond the end of the file would kill the process
            raise ValueError(f"data.mdb has {size:,} of {pages:,} bytes")
        with database.begin() as transaction:
            keys = list(transaction.cursor().iternext(values=False))
        check_count("lsun_bed", train, len(keys))

    def read(index: Tensor) -> Tensor:
        with reading("lsun_bed", folder, remedy), opened() as database:

            def load(key: bytes) -> Image.Image:
                with database.begin() as transaction:
                    content = transaction.get(key)
                return Image.open(io.BytesIO(content)).convert("RGB")

            return _decoded([keys[i] for i in index.tolist()], load, image_size)

    return Source(torch.zeros(len(keys), dtype=torch.int64), read)


def _decoded(items: Sequence[_T], load: Callable[[_T], Image.Image], image_size: int) -> Tensor:
    fit = Compose([Resize(image_size), CenterCrop(image_size), PILToTensor()])
    images = torch.empty(len(items), 3, image_size, image_size, dtype=torch.uint8)
    # Pillow decodes and shrinks without Python's lock.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for image, decoded in zip(
            images, pool.map(lambda item: fit(load(item)), items), strict=True
        ):
            image.copy_(decoded)
    return images
