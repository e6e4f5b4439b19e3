"""A data folder (or table) in one of the usual layouts -> Catalog, without opening a picture.

Splits, ids in folder names, masks and boxes are recognised by name; what was decided, and why, is in the
notes.
"""

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foveate.core.errors import DataError, few
from foveate.data.annotations import READERS
from foveate.data.annotations.picture_masks import FileReader
from foveate.data.catalog import UNLABELLED, Catalog, Sample, composed
from foveate.data.class_folders import (
    EXPECTED,
    LabelOf,
    class_table,
    depth_notes,
    empty_folders,
    find_bases,
    layout_notes,
    only_folder,
    place,
    refuse_mask_trees,
    spelling_notes,
)
from foveate.data.layout_settings import OFF, LayoutConfig, column_of, rule_of, word_of
from foveate.data.layouts import catalog_of, recognise
from foveate.data.listing import UNREADABLE, Scan, picture_list, scan
from foveate.data.mask_matching import MaskFinds
from foveate.data.mask_search import find_masks
from foveate.data.table_catalog import SUFFIXES, PictureTable, read_manifest

MOST = 8
"""Values of an attribute that a note names."""


@dataclass(frozen=True)
class Discovery:
    """What a data folder holds."""

    catalog: Catalog
    layout: str
    """"class folders", "split folders", "manifest", or the name of a published data set."""
    notes: tuple[str, ...] = ()
    """Sentences: each automatic choice with its reason, and what was left out."""
    empty_classes: tuple[str, ...] = ()
    """Class folders without a picture; they are not among the classes."""


def discover(data: Path, config: LayoutConfig | None = None) -> Discovery:
    """Find pictures, labels, splits, masks and groups of a folder or a CSV table.

    Raises:
        DataError: nothing usable is there, or it can be read in two ways; the message shows the expected
        layouts.
    """
    config = config or LayoutConfig()
    found = _discover(data, config)
    catalog = found.catalog
    if config.group is not None and not column_of(config.group):
        groups = _words(catalog, config.group)
        if "" in groups:
            path = catalog.samples[groups.index("")].path
            raise DataError(f"Group '{config.group}' finds nothing in the path {path}; mend it.")
        catalog = catalog.with_column("group", groups)
    catalog, said = _with_attributes(catalog, config)
    notes = (
        *found.notes,
        *said,
        *spelling_notes("classes", catalog.classes),
        *spelling_notes("groups", {sample.group for sample in catalog.samples}),
    )
    return replace(found, catalog=catalog, notes=notes)


def _discover(data: Path, config: LayoutConfig) -> Discovery:
    data = Path(os.path.abspath(data))
    if not data.exists():
        raise DataError(f"{data} does not exist; give a folder of pictures or a CSV table.")
    if data.is_file():
        if data.suffix.lower() not in SUFFIXES:
            raise DataError(f"{data} is a single file; give a folder of pictures or a CSV table.\n{EXPECTED}")
        return _from_manifest(data, data.parent, config, ["The table was given."])
    if config.manifest is not None:
        inside = data / config.manifest
        table = inside if inside.is_file() else Path(os.path.abspath(config.manifest))
        if not table.is_file():
            raise DataError(
                f"The manifest {config.manifest} exists neither in {data} nor in the current folder."
            )
        return _from_manifest(table, data, config, ["The table was asked for."])
    found = scan(data)
    notes: list[str] = []
    if found.links:
        notes.append(
            f"{len(found.links)} links to folders that are read under another name already are left out, "
            f"for example {found.links[0]}."
        )
    published = _published(data, found, config, notes)
    if published is not None:
        return published
    tables = _tables(data, found, config, notes)
    if len(tables) == 1:
        reason = f"{tables[0].name} is used, since it is the one table with a path and a label column."
        return _from_manifest(tables[0], data, config, [*notes, reason], found)
    return _from_folders(data, found, config, notes, tables)


def _published(data: Path, found: Scan, config: LayoutConfig, notes: list[str]) -> Discovery | None:
    """A data set as its authors publish it; None when it is none, or when the settings say how it is read otherwise."""
    known = recognise(data, found)
    chosen = config.roles.get("label", "")
    if known is None or _path_rule(config.label) is not None or len(config.roles) > bool(chosen):
        return None
    layout, folder = known
    if chosen and chosen not in layout.choices(folder):
        return None
    catalog, said = catalog_of(layout, folder, layout.read(folder, chosen))
    if config.masks is not None:
        listed = [sample.path for sample in catalog.samples]
        finds = _find_masks(catalog.root, scan(catalog.root), config.below(data), listed, catalog)
        said += finds.notes
        catalog = catalog.with_column("mask", [finds.references.get(path, "") for path in listed])
    elif config.mask_kind != "auto" or config.mask_values:
        catalog = catalog.with_column("mask", [_read_as(sample.mask, config) for sample in catalog.samples])
    return Discovery(catalog, layout.name, (*notes, *said))


def _read_as(reference: str, config: LayoutConfig) -> str:
    """The reference of a published mask file, read as the settings say; others as they are."""
    kind, _, payload = reference.partition(":")
    if not isinstance(READERS.get(kind), FileReader):
        return reference
    values = ",".join(map(str, config.mask_values or ()))
    return f"png[{values}]:{payload}" if values else f"{config.mask_kind}:{payload}"


def loose_pictures(paths: Sequence[Path]) -> Catalog:
    """Unlabelled pictures, each once, sorted; see ``picture_list``. No classes, no splits.

    Raises:
        DataError: a path does not exist, or there is no picture.
    """
    root, names = picture_list(paths)
    return Catalog(root, (), tuple(Sample(name) for name in sorted(set(names))))


def is_flat(data: Path) -> bool:
    """Whether all pictures lie in the folder itself, with no table beside them that could name their classes."""
    if not data.is_dir():
        return False
    found = scan(data)
    tables = any("/" not in name and name.lower().endswith(SUFFIXES) for name in found.others)
    return bool(found.pictures) and not tables and not any("/" in path for path in found.pictures)


def flat(data: Path) -> Discovery:
    """A folder of loose pictures: all of one class, which nobody learns."""
    pictures = loose_pictures([data])
    samples = tuple(replace(sample, label=0) for sample in pictures.samples)
    note = f"One flat folder: {len(samples)} pictures without classes."
    return Discovery(Catalog(pictures.root, ("picture",), samples), "flat folder", (note,))


def _tables(data: Path, found: Scan, config: LayoutConfig, notes: list[str]) -> list[Path]:
    """Tables at the top of the folder that list pictures which exist."""
    tables = []
    for name in found.others:
        if "/" in name or not name.lower().endswith(SUFFIXES):
            continue
        try:
            table = PictureTable.read(data / name, config.roles, labelled=_path_rule(config.label) is None)
            if table is not None and table.base([data]) is not None:
                tables.append(data / name)
            elif table is not None:
                notes.append(f"{name} lists no picture that exists, so it is not used as a manifest.")
        except DataError as error:
            notes.append(f"{name} is not used as a manifest: {error}")
    return tables


def _from_manifest(
    table: Path, data: Path, config: LayoutConfig, notes: list[str], found: Scan | None = None
) -> Discovery:
    """``found`` is given when the table lies in the data folder, so that masks may be looked for there."""
    rule = _path_rule(config.label)
    said: list[str] = []
    catalog = read_manifest(table, root=data, columns=config.roles, label_of=rule, notes=said)
    notes += [f"Manifest {table.name}: {len(catalog)} pictures, {len(catalog.classes)} classes.", *said]
    missing = [sample.path for row, sample in enumerate(catalog.samples) if not catalog.file(row).is_file()]
    if missing:
        notes.append(f"{len(missing)} pictures of {table.name} do not exist, for example {missing[0]}.")
    if config.masks is not None or (found is not None and not catalog.has_masks and catalog.root == data):
        listed = [sample.path for sample in catalog.samples]
        finds = _find_masks(catalog.root, found or scan(catalog.root), config, listed, catalog)
        notes += finds.notes
        catalog = catalog.with_column("mask", [finds.references.get(s.path, s.mask) for s in catalog.samples])
    return Discovery(catalog, "manifest", tuple(notes))


def _find_masks(
    root: Path,
    found: Scan,
    config: LayoutConfig,
    pictures: list[str] | None = None,
    told: Catalog | None = None,
) -> MaskFinds:
    """``told``: what says itself which masks its pictures have, found by themselves."""
    if config.masks == Path(OFF):
        return MaskFinds()
    return find_masks(
        root, found, masks=config.mask_sources, kind=config.mask_kind, values=config.mask_values, pictures=pictures,
        known={sample.path: sample.mask for sample in told.samples if sample.mask} if told else {},
    )  # fmt: skip


def _path_rule(rule: str | None) -> LabelOf | None:
    """The rule's word of a path; None without a rule, and when it names a column."""
    return None if rule is None or column_of(rule) else word_of(rule, folders=True)


def _words(catalog: Catalog, rule: str) -> list[str]:
    """What the rule finds in each picture's path."""
    return [composed(word_of(rule)(sample.path).strip()) for sample in catalog.samples]


def _with_attributes(catalog: Catalog, config: LayoutConfig) -> tuple[Catalog, list[str]]:
    """The catalog with all attributes that are asked for, in that order; and a sentence on each."""
    columns, notes = {}, []
    for name, rule in map(rule_of, config.attributes):
        values = columns[name] = catalog.values(name) if column_of(rule) else _words(catalog, rule)
        counts = Counter(value for value in values if value)
        if not counts:
            raise DataError(
                f"No picture of {catalog.root} has a value for the attribute '{name}' ({rule}); mend it."
            )
        listed = few([f"{value} {count}" for value, count in counts.most_common()], MOST)
        without = len(values) - counts.total()
        notes.append(f"Attribute {name}: {listed}{f'; {without} pictures have none' if without else ''}.")
    if not columns:
        return catalog, notes
    rows = zip(*columns.values(), strict=True)
    return catalog.with_column("attributes", rows, attributes=tuple(columns)), notes


def _from_folders(
    data: Path, found: Scan, config: LayoutConfig, notes: list[str], tables: Sequence[Path]
) -> Discovery:
    if not found.pictures:
        formats = _others_note(found) or "It holds no other files either."
        raise DataError(f"{data} holds no pictures. {formats}\n{EXPECTED}")
    if config.roles:
        columns = ", ".join(f"{name} ({role})" for role, name in config.roles.items())
        raise DataError(
            f"{data} holds no table that lists pictures and has the columns {columns}; name the table as DATA, or "
            f"switch off what asks for them (as --group {OFF})."
        )
    finds = _find_masks(data, found, config)
    pictures = [path for path in found.pictures if path not in finds.files]
    inner = only_folder(pictures)
    if inner is not None and all(path.startswith(f"{inner}/") for path in finds.files):
        notes.append(
            f"All pictures lie in {inner}/, which has several folders itself, so it is read instead."
        )
        below = _discover(data / inner, config.below(data))
        return replace(below, notes=(*notes, *below.notes))
    rule = _path_rule(config.label)
    bases = find_bases(data, pictures, notes, rule)
    if rule is None and config.masks != Path(OFF):
        for base in bases:
            refuse_mask_trees(data, pictures, base.prefix)
    placed = place(pictures, bases, notes, rule)
    folders = sorted({folder for folder, _ in placed.values() if folder})
    if not folders:
        many = f"several tables ({', '.join(table.name for table in tables)}), name one as the manifest"
        raise DataError(
            f"{data} has {len(pictures)} pictures but {many if tables else 'no class folders'}.\n{EXPECTED}"
        )
    if tables:
        names = ", ".join(table.name for table in tables)
        notes.append(f"The class folders count and not the tables {names}, since there are several of them.")
    table = class_table(folders)
    samples = tuple(
        Sample(
            path,
            table.index.get(folder, UNLABELLED),
            split,
            finds.references.get(path, ""),
            next((base.fold for base in bases if base.fold and path.startswith(base.prefix)), ""),
        )
        for path, (folder, split) in sorted(placed.items())
    )
    catalog = Catalog(data, table.classes, samples, table.class_ids)
    layout = "split folders" if any(split for _, split in placed.values()) else "class folders"
    summary = f"{len(samples)} pictures, {len(table.classes)} classes, {table.reason}"
    how = layout.capitalize() if rule is None else f"Classes by {config.label}"
    notes.append(f"{how}: {summary}.")
    notes += finds.notes + layout_notes(placed, pictures, rule is not None)
    notes += [] if rule else depth_notes(placed, bases)
    notes += [note for note in [_others_note(found, finds.documents)] if note]
    empty = () if rule else empty_folders(found.folders, pictures, bases, finds.files)
    return Discovery(catalog, layout, tuple(notes), empty)


def _others_note(found: Scan, used: Collection[str] = ()) -> str:
    """A sentence on the files that are no pictures; "" when there are none."""
    others = [
        name
        for name in found.others
        if name not in used and ("/" in name or not name.lower().endswith((*SUFFIXES, ".json")))
    ]
    suffixes = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in others)
    unreadable = sorted(UNREADABLE & suffixes.keys())
    parts = []
    if others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(5))
        parts.append(f"{len(others)} other files are left alone ({counts}), for example {others[0]}.")
    if unreadable:
        suffix_list = ", ".join(unreadable)
        parts.append(f"Pictures in {suffix_list} are not read here; convert them to JPEG, PNG or TIFF.")
    return " ".join(parts)
