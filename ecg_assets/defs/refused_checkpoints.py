"""Checkpoints that could not be used: which, why, and since when.

A refusal holds for exactly this content: it is no longer listed once the file is removed
or changed, and is forgotten when the checkpoint can be used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ecg_assets.defs.dropped_checkpoints import (
    Dropped,
    explain_clash,
    find_source,
    fingerprint_dropped,
    state_of,
)
from ecg_assets.defs.resources import Settings
from ecg_assets.errors import CheckpointError
from ecg_assets.storage import replace_file
from ecg_assets.tables import Column, TableSchema

REFUSED_CHECKPOINTS = TableSchema(
    "refused_checkpoints",
    (
        Column("file", pa.string(), "name of the file or folder below checkpoints"),
        Column("fingerprint", pa.string(), "of the file's bytes, or of what the folder holds"),
        Column("reason", pa.string(), "what is wrong with it, and what to do"),
        Column("first_refused", pa.string(), "time of the first refusal, ISO 8601, UTC"),
    ),
)

LISTING = "listing"
"""Metadata of `refused_checkpoints`: fingerprint of the list that it shows."""


@contextmanager
def refusals_kept(settings: Settings, checkpoint_id: str) -> Iterator[None]:
    """Write down why a checkpoint is refused in this block; forget it when the block succeeds."""
    source = find_source(settings.checkpoints, checkpoint_id)
    try:
        yield
    except CheckpointError as error:
        if source.exists():  # one that is gone is not refused
            refuse(settings, source, str(error))
        raise
    _record_path(settings, source).unlink(missing_ok=True)


def is_refused(settings: Settings, item: Dropped) -> bool:
    """Tell whether exactly this content was refused, whatever its files' times are now."""
    record = _read(_record_path(settings, item.path))
    if record.get("fingerprint") != item.fingerprint or _is_settled_clash(settings, record):
        return False
    if record["state"] != state_of(item.path):
        _write(settings, {**record, "state": state_of(item.path) or ""})
    return True


def list_refused(settings: Settings) -> pd.DataFrame:
    """List what is refused and still there as it was, by name, in `REFUSED_CHECKPOINTS`."""
    columns = [column.name for column in REFUSED_CHECKPOINTS.columns]
    records = [_read(path) for path in sorted(_folder(settings).glob("*.json"))]
    current = [
        record
        for record in records
        if record["state"] == state_of(_source(settings, record))
        and not _is_settled_clash(settings, record)
    ]
    return pd.DataFrame(current, columns=columns)


def refuse(settings: Settings, source: Path, reason: str) -> None:
    """Write down that a file or folder below checkpoints is refused as it is now."""
    fingerprint = fingerprint_dropped(source)
    before = _read(_record_path(settings, source))
    checkpoint_id = Dropped(source).checkpoint_id
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    is_known = before.get("fingerprint") == fingerprint
    _write(
        settings,
        {
            "file": source.name,
            "fingerprint": fingerprint,
            "reason": reason,
            "first_refused": before["first_refused"] if is_known else now,
            "state": state_of(source) or "",
            "clash": explain_clash(settings.checkpoints, checkpoint_id) and checkpoint_id,
        },
    )


def _write(settings: Settings, record: dict[str, str]) -> None:
    with replace_file(_record_path(settings, _source(settings, record))) as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _is_settled_clash(settings: Settings, record: dict[str, str]) -> bool:
    """Tell whether it was refused for its name alone, which is no longer taken twice."""
    name = record["clash"]
    return bool(name) and not explain_clash(settings.checkpoints, name)


def _source(settings: Settings, record: dict[str, str]) -> Path:
    return settings.checkpoints / record["file"]


def _folder(settings: Settings) -> Path:
    return settings.data_path / "refused_checkpoints"


def _record_path(settings: Settings, source: Path) -> Path:
    return _folder(settings) / f"{source.name}.json"


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    record: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return record
