"""The channels that matter for each class, as a folder.

DIR/channels.csv              class, layer, channel, in how many pictures it counts, and in how many of other classes
DIR/influences.csv            which channel of a layer feeds which channel of the next, by class
DIR/graph.json                both as a graph (node-link form, as networkx reads it)
DIR/graph.html                that graph drawn, class by class
DIR/pictures/LAYER/K.png      the pictures with the channel's largest maxima
DIR/inversions/LAYER/K.png    on request: a picture made for the channel
DIR/manifest.json             written last
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from foveate.core.files import csv_text, write_bytes, write_csv, write_json, write_text
from foveate.core.lock import check_new
from foveate.data.decode import read_image
from foveate.experiment.run_folder import RunFolder
from foveate.explanation.inversion import Inversion
from foveate.explanation.summit import Summit, SummitConfig
from foveate.reporting.inversions import safe_name, to_picture, write_manifest
from foveate.reporting.page import render_page
from foveate.reporting.pictures import data_uri
from foveate.reporting.raster import grid, png

SIDE = 160
"""Of an example picture in px."""
NODE, STEP, ROW = 56, 260, 84
"""Of the drawn graph in px: side of a node, from layer to layer, from node to node."""


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
    thumbs: dict[tuple[str, int], str] = {}
    for (layer, channel), rows in found.examples.items():
        cells = []
        for row in rows:
            image = read_image(run.catalog.file(row), at_least=SIDE)
            name = names[run.catalog.samples[row].label]
            cells.append((ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.LANCZOS), [name]))
        if cells:
            thumbs[layer, channel] = data_uri(cells[0][0].resize((NODE, NODE), Image.Resampling.LANCZOS))
        sheet = grid(cells, across=9, lines=1)
        write_bytes(out / "pictures" / safe_name(layer) / f"{channel}.png", png(sheet))
    page = {
        "title": run.folder.resolve().name, "layers": found.layers, "split_name": split, "side": NODE, "step": STEP,
        "bend": (STEP - NODE) // 2, "graphs": drawn_graphs(found, names, thumbs),
    }  # fmt: skip
    write_text(out / "graph.html", render_page("channels.html.j2", page))
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


def drawn_graphs(
    found: Summit, names: Sequence[str], thumbs: Mapping[tuple[str, int], str]
) -> list[dict[str, Any]]:
    """What the page draws for each class that has channels: nodes in columns by layer, the most important on top."""
    column = {layer: k for k, layer in enumerate(found.layers)}
    graphs = []
    for label, name in enumerate(names):
        nodes: dict[tuple[str, int], dict[str, Any]] = {
            (c.layer, c.channel): {
                "x": 20 + column[c.layer] * STEP, "y": 28 + (c.rank - 1) * ROW, "channel": c.channel,
                "share": c.share, "uri": thumbs.get((c.layer, c.channel)),
                "words": f"{c.layer}, channel {c.channel}: in {c.pictures} pictures of {name}; "
                f"in {100 * c.elsewhere:.0f} % of other classes'",
            }
            for c in found.channels if c.label == label
        }  # fmt: skip
        own = [
            e for e in found.influences
            if e.label == label and (e.lower, e.source) in nodes and (e.upper, e.target) in nodes
        ]  # fmt: skip
        most = max((e.strength for e in own), default=1.0) or 1.0
        edges = []
        for e in own:
            start, end = nodes[e.lower, e.source], nodes[e.upper, e.target]
            edges.append(
                {
                    "x1": start["x"] + NODE, "y1": start["y"] + NODE // 2, "x2": end["x"],
                    "y2": end["y"] + NODE // 2, "width": 0.5 + 6 * max(e.strength, 0.0) / most,
                    "words": f"channel {e.source} of {e.lower} feeds channel {e.target} of {e.upper}: "
                    f"{100 * e.strength:.0f} % of what raises it",
                }
            )  # fmt: skip
        if nodes:
            rows = [(e.lower, e.source, e.upper, e.target, e.pictures, e.strength) for e in own]
            header = ("lower_layer", "from", "upper_layer", "to", "pictures", "strength")
            height = max(node["y"] for node in nodes.values()) + ROW
            graphs.append(
                {
                    "name": name, "nodes": list(nodes.values()), "edges": edges, "height": height,
                    "width": 180 + NODE + (len(found.layers) - 1) * STEP, "data": csv_text(header, rows),
                }
            )  # fmt: skip
    return graphs
