"""The channels that matter for each class, as a folder.

DIR/channels.csv              class, layer, channel, in how many pictures it counts, and in how many of other classes
DIR/influences.csv            which channel of a layer feeds which channel of the next, by class
DIR/graph.json                both as a graph (node-link form, as networkx reads it)
DIR/pictures/LAYER/K.png      the pictures with the channel's largest maxima
DIR/inversions/LAYER/K.png    on request: a picture made for the channel
DIR/manifest.json             written last
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from foveate.core.files import write_bytes, write_csv, write_json
from foveate.data.decode import read_image
from foveate.experiment.run_folder import RunFolder
from foveate.explanation.inversion import Inversion
from foveate.explanation.summit import Summit, SummitConfig
from foveate.reporting.inversions import check_new, safe_name, to_picture, write_manifest
from foveate.reporting.raster import grid, png

SIDE = 160
"""Of an example picture in px."""


def write_channels(
    found: Summit,
    run: RunFolder,
    out: Path,
    config: SummitConfig,
    *,
    split: str,
    inversions: Sequence[Inversion] = (),
) -> Path:
    """Write everything into the new folder ``out``.

    Raises:
        DataError: ``out`` holds files.
    """
    check_new(out)
    names = run.catalog.classes
    write_csv(
        out / "channels.csv",
        ("class", "layer", "channel", "rank", "pictures", "share", "mean_maximum", "share_in_other_classes"),
        [
            (names[c.label], c.layer, c.channel, c.rank, c.pictures, c.share, c.mean, c.elsewhere)
            for c in found.channels
        ],
    )
    write_csv(
        out / "influences.csv",
        ("class", "lower_layer", "from", "upper_layer", "to", "pictures", "share", "strength"),
        [
            (names[e.label], e.lower, e.source, e.upper, e.target, e.pictures, e.share, e.strength)
            for e in found.influences
        ],
    )
    write_json(out / "graph.json", found.graph(names))
    for (layer, channel), rows in found.examples.items():
        cells = []
        for row in rows:
            image = read_image(run.catalog.file(row), at_least=SIDE)
            name = names[run.catalog.samples[row].label]
            cells.append((ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.LANCZOS), [name]))
        sheet = grid(cells, across=9, lines=1)
        write_bytes(out / "pictures" / safe_name(layer) / f"{channel}.png", png(sheet))
    for inversion in inversions:
        for number, image in zip(inversion.numbers, inversion.images, strict=True):
            file = out / "inversions" / safe_name(inversion.layer or "") / f"{number}.png"
            write_bytes(file, png(to_picture(image)))
    facts = {
        "layers": list(found.layers),
        "split": split,
        "pictures": dict(zip(names, found.pictures.tolist(), strict=True)),
        "settings": config.model_dump(mode="json"),
        "inversion": inversions[0].settings if inversions else None,
    }
    return write_manifest(out, run, facts)
