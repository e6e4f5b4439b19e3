"""Published data sets that torchvision fetches. Nothing else here uses the network, and nothing calls this but the
command ``foveate data get``."""

from pathlib import Path

from foveate.core.errors import ConfigError, DataError, first_line
from foveate.core.torchvision_guard import datasets
from foveate.data.layouts import DATA_SETS
from foveate.data.layouts.layout import Layout

FETCHED = {kind.torchvision.lower(): kind() for kind in DATA_SETS if kind.torchvision}
"""{name: data set}"""


def find(name: str) -> Layout:
    """The data set of this name, whatever its case and hyphens.

    Raises:
        ConfigError: torchvision does not fetch it.
    """
    layout = FETCHED.get(name.lower().replace("-", ""))
    if layout is None:
        raise ConfigError(f"'{name}' is not fetched; choose one of {', '.join(FETCHED)}.")
    return layout


def download(layout: Layout, to: Path) -> None:
    """Fetch and unpack into the folder ``to``.

    Raises:
        DataError: no network, or what came is not what was published (torchvision compares checksums).
    """
    kind = getattr(datasets, layout.torchvision)
    try:
        if issubclass(kind, datasets.CIFAR10):  # to make one reads its pickles
            archive = {"filename": kind.filename, "md5": kind.tgz_md5}
            datasets.utils.download_and_extract_archive(kind.url, to, **archive)
        else:
            kind(to, download=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{layout.name} could not be fetched ({first_line(error)}); fetch it from {layout.page} yourself."
        ) from error
