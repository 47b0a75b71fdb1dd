"""SHA-256 fingerprints of content, independent of file times, chunking and compression."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa


def fingerprint_bytes(*parts: bytes) -> str:
    """Fingerprint of byte strings; the borders between them count.

    >>> fingerprint_bytes(b"ab", b"c") == fingerprint_bytes(b"a", b"bc")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def fingerprint_json(value: Any) -> str:
    """Fingerprint of a JSON-like value; the order of mapping keys does not count.

    >>> fingerprint_json({"a": 1, "b": 2}) == fingerprint_json({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return fingerprint_bytes(text.encode())


def fingerprint_file(path: Path) -> str:
    """Fingerprint of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fingerprint_folder(folder: Path, *, exclude: frozenset[str] = frozenset()) -> str:
    """Fingerprint of all files below a folder by relative name and bytes.

    Hidden files and the relative names in `exclude` (e.g. a log with clock times) do not count.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    return fingerprint_json(
        {
            name: fingerprint_file(path)
            for name, path in zip(names, files, strict=True)
            if name not in exclude and not any(part.startswith(".") for part in name.split("/"))
        }
    )


def fingerprint_table(table: pa.Table) -> str:
    """Fingerprint of a table's schema and values, in row order.

    Chunking, slicing and schema metadata do not count.
    """
    digest = hashlib.sha256()
    sink = _HashSink(digest)
    # Rebuilding from one contiguous batch drops offsets and unused bytes of slices.
    compact = table.replace_schema_metadata(None).combine_chunks()
    compact = compact.take(pa.array(range(compact.num_rows), pa.int64()))
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), compact.schema) as writer:
        writer.write_table(compact.combine_chunks())
    return digest.hexdigest()


class _HashSink:
    """A write-only file that feeds a hash."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        self.closed = True
