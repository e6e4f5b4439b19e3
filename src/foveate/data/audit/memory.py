"""What a check found is kept, so that training need not look at every picture again."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foveate.core.memo import read_memo, write_memo
from foveate.data.annotations import mask_files
from foveate.data.audit.auditor import AuditConfig, audit
from foveate.data.audit.report import Audit
from foveate.data.cache_config import CacheConfig, cache_folder
from foveate.data.discover import Discovery

AUDIT_VERSION = 1


def checked(
    found: Discovery, cache: CacheConfig, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """The audit as plain values; remembered in the cache folder as long as no file changes."""
    memory = _memory(found, cache)
    known: dict[str, Any] | None = read_memo(memory) if cache.enabled else None
    if known is not None:
        return known
    report = audit(found.catalog, AuditConfig(), empty_classes=found.empty_classes, progress=progress)
    if cache.enabled:
        write_memo(memory, report.as_dict())
    return report.as_dict()


def remember(found: Discovery, report: Audit) -> None:
    """Keep what ``audit`` found with its default settings, so that ``checked`` need not look again."""
    write_memo(_memory(found, CacheConfig()), report.as_dict())


def _memory(found: Discovery, cache: CacheConfig) -> Path:
    return cache_folder(cache) / "audits" / f"{state_of_files(found)}.json"


def state_of_files(found: Discovery) -> str:
    """A key over everything the audit depends on: paths, sizes, times, labels, splits, masks."""
    digest = hashlib.sha256(f"{AUDIT_VERSION} {found.catalog.root} {found.empty_classes}".encode())
    digest.update(found.catalog.hash.encode())
    for row, sample in enumerate(found.catalog.samples):
        for file in (found.catalog.file(row), *mask_files(found.catalog.root, sample.mask)):
            if file.is_file():
                status = file.stat()
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
