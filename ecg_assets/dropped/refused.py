"""Checkpoints that could not be used: which, why, and since when.

A refusal holds for exactly this content: it is no longer listed once the file is removed
or changed, and is forgotten when the checkpoint can be used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ecg_assets.dropped.checkpoints import (
    LONGEST_NAME,
    SPEC,
    VOCABULARY,
    Dropped,
    explain_clash,
    find_source,
    fingerprint_dropped,
    show_name,
    state_of,
)
from ecg_assets.errors import CheckpointError
from ecg_assets.lineage import fingerprint_bytes
from ecg_assets.storage import replace_file
from ecg_assets.store import Store
from ecg_assets.tables import Column, TableSchema

REFUSED_CHECKPOINTS = TableSchema(
    "refused_checkpoints",
    (
        Column("file", pa.string(), "name of the file or folder below checkpoints"),
        Column("reason", pa.string(), "what is wrong with it, and what to do"),
        Column("first_refused", pa.string(), "time of the first refusal, ISO 8601, UTC"),
        Column("content_sha256", pa.string(), "of the file's bytes, or of what the folder holds"),
    ),
)

_RECORD = ("file", "content_sha256", "reason", "first_refused", "state", "clash")

LISTING = "listing"
"""Metadata of `refused_checkpoints`: fingerprint of the list that it shows."""


@contextmanager
def refusals_kept(store: Store, checkpoint_id: str) -> Iterator[None]:
    """Write down why a checkpoint is refused in this block; forget it when the block succeeds."""
    source = find_source(store.checkpoints, checkpoint_id)
    try:
        yield
    except CheckpointError as error:
        if source.exists():  # one that is gone is not refused
            refuse(store, source, str(error))
        raise
    _record_path(store, source).unlink(missing_ok=True)


def is_refused(store: Store, item: Dropped, manifests: Path | None = None) -> bool:
    """Tell whether exactly this content was refused, whatever its files' times are now.

    A refusal for `manifests` holds for these alone, as they were.
    """
    record = _read(_record_path(store, item.path))
    if (
        not record
        or record["content_sha256"] != item.content_sha256
        or _is_settled(store, record)
        or record.get("manifests", "") not in {"", str(manifests)}
    ):
        return False
    if record["state"] != state_of(item.path):
        _write(store, {**record, "state": state_of(item.path) or ""})
    return True


def list_refused(store: Store) -> pd.DataFrame:
    """List what is refused and still there as it was, by name, in `REFUSED_CHECKPOINTS`."""
    columns = [column.name for column in REFUSED_CHECKPOINTS.columns]
    records = [_read(path) for path in sorted(_folder(store).glob("*.json"))]
    current = [
        {**record, "file": show_name(record["file"])}
        for record in records
        if record
        and record["state"] == state_of(_source(store, record))
        and not _is_settled(store, record)
    ]
    return pd.DataFrame(current, columns=columns)


def refuse(store: Store, source: Path, reason: str, manifests: Path | None = None) -> None:
    """Write down that a file or folder below checkpoints is refused as it is now.

    Parameters
    ----------
    manifests
        Folder of those that it does not fit, if that is the reason.
    """
    content = fingerprint_dropped(source)
    before = _read(_record_path(store, source))
    checkpoint_id = Dropped(source).checkpoint_id
    now = datetime.now(UTC).isoformat(timespec="seconds")
    is_known = before.get("content_sha256") == content
    _write(
        store,
        {
            "file": source.name,
            "content_sha256": content,
            "reason": reason,
            "first_refused": before["first_refused"] if is_known else now,
            "state": state_of(source) or "",
            "clash": explain_clash(store.checkpoints, checkpoint_id) and checkpoint_id,
            "manifests": str(manifests or ""),
            "wanted": _fingerprint_wanted(str(manifests or "")),
        },
    )


def _write(store: Store, record: dict[str, str]) -> None:
    with replace_file(_record_path(store, _source(store, record))) as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _is_settled(store: Store, record: dict[str, str]) -> bool:
    """Tell whether what it was refused for alone is gone: its name's twin, or other manifests."""
    name, manifests = record["clash"], record.get("manifests", "")
    is_unique = bool(name) and not explain_clash(store.checkpoints, name)
    return is_unique or record.get("wanted", "") != _fingerprint_wanted(manifests)


def _fingerprint_wanted(manifests: str) -> str:
    """Fingerprint of what manifests ask of a checkpoint; empty without any."""
    paths = [Path(manifests) / name for name in (SPEC, VOCABULARY)] if manifests else []
    return (
        fingerprint_bytes(*(path.read_bytes() for path in paths if path.is_file())) if paths else ""
    )


def _source(store: Store, record: dict[str, str]) -> Path:
    return store.checkpoints / record["file"]


def _folder(store: Store) -> Path:
    return store.refused


def _record_path(store: Store, source: Path) -> Path:
    name = os.fsencode(source.name)
    stem = source.name if len(name) <= LONGEST_NAME else fingerprint_bytes(name)
    return _folder(store) / f"{stem}.json"


def _read(path: Path) -> dict[str, str]:
    """Read a record; one that is cut off, or of another version, says nothing."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    is_one = isinstance(record, dict) and all(isinstance(record.get(k), str) for k in _RECORD)
    return record if is_one else {}
