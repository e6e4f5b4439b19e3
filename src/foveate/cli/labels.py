"""foveate labels apply"""

import os
from collections import Counter
from pathlib import Path

from foveate.cli.command import command
from foveate.cli.flags import LAYOUT, Typed, layout_of
from foveate.cli.screen import fail, open_run, say, show, table, tell


@command(*LAYOUT)
def apply(
    file: Path, data: Path, *, typed: Typed, out: Path | None = None, field: str = "", new_classes: bool = False,
    run: Path | None = None,
) -> None:  # fmt: skip
    """Show which labels a file of corrections changes, and write the pictures with them as a table (--out).

    Nothing is moved: use the table in place of the folder. Exit status 1 where a picture or class is not known.

    Args:
        file: Label Studio's JSON or JSON-MIN, FiftyOne's samples.json, or predictions with a column 'corrected'.
        out: The table to write, in the data folder; without it nothing is written.
        field: The control, field or column of the corrected labels, where there are several.
        new_classes: Take classes that the pictures have not had so far.
        run: Keep the split of this run, so that what it has learnt is not tested; new pictures are for training.
    """
    from foveate.data.discover import discover
    from foveate.data.label_corrections import changes, match, read_corrections, write_corrected

    catalog = discover(data, layout_of(typed)).catalog
    found = match(catalog, read_corrections(file, field), new_classes=new_classes)
    changed = changes(catalog, found.labels)
    if changed:
        show(
            table(
                ("*picture", "*now", "*corrected"),
                [(path, old or "(none)", new) for path, old, new in changed],
            )
        )
    say(f"{len(changed)} labels change, {len(found.labels) - len(changed)} are confirmed.")
    if found.by_name:
        say(f"{found.by_name} pictures were found by their file names; look whether they are the right ones.")
    for name, why in found.left.items():
        say(("not applied:", "yellow"), f" {name}: {why}")
    if out is not None:
        splits, going_on = None, ""
        if run is not None:
            known, going_on = open_run(run).catalog, f" --from {run}"
            split_of = {os.path.realpath(known.file(row)): s.split for row, s in enumerate(known.samples)}
            splits = {
                sample.path: split
                for row, sample in enumerate(catalog.samples)
                if (split := split_of.get(os.path.realpath(catalog.file(row))))
            }
            names = (*catalog.classes, "")
            now = Counter(found.labels.get(sample.path, names[sample.label]) for sample in catalog.samples)
            for name in sorted(now.keys() - {*known.classes, ""}):
                tell(
                    f"{now[name]} pictures are of the class {name}, which {run} has not learnt; correct them if that "
                    "is the name of a folder only."
                )
        write_corrected(catalog, found.labels, out, splits)
        say("All pictures with their labels are in ", out, f". Next: foveate train {out}{going_on} --out RUN")
    elif changed:
        say("Nothing was written; --out names the table to write.")
    if found.left:
        fail(f"{len(found.left)} of {len(found.left) + len(found.labels)} labels were not applied.")
