"""SHA-256 fingerprints of content, independent of file times, chunking and compression."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa

import ecg_assets


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


# Which code made a result: the commit of the checkout, and versions of packages.


_PACKAGES = (
    "ecg-assets",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "safetensors",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
)


def git_commit() -> str | None:
    """Commit of the checkout that this package is run from, ``-dirty`` with local changes.

    None when the package is not in a git checkout, or git is not there.
    """
    folder = Path(ecg_assets.__file__).parent
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    # An installed copy may stand inside an unrelated checkout, which does not track it.
    if _git(folder, ["ls-files", "--error-unmatch", "__init__.py"]) is None:
        return None
    return _git(folder, describe)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages behind a result, those that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):  # an optional one
            found[name] = version(name)
    return found


def _git(folder: Path, command: list[str]) -> str | None:
    """Output of a git command, or None where it fails."""
    try:
        found = subprocess.run(
            ["git", *command], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() or None


# Compare the fingerprints that a result was made from with those stored now.


@dataclass(frozen=True)
class Mismatch:
    """One input that is no longer what the result was made from."""

    asset: str
    required: str
    stored: str | None

    def __str__(self) -> str:
        if self.stored is None:
            return f"{self.asset}: made from {self.required[:12]}, nothing is stored now"
        return f"{self.asset}: made from {self.required[:12]}, stored now is {self.stored[:12]}"


def find_mismatches(required: Mapping[str, str], stored: Mapping[str, str]) -> list[Mismatch]:
    """List the inputs whose stored fingerprint is not the required one, by asset name.

    Parameters
    ----------
    required
        Asset name (``asset`` or ``asset[partition]``) to the fingerprint a result was made from.
    stored
        Asset name to the fingerprint stored now; an absent name means nothing is stored.

    >>> [str(m) for m in find_mismatches({"split": "abc"}, {})]
    ['split: made from abc, nothing is stored now']
    """
    return [
        Mismatch(asset, fingerprint, stored.get(asset))
        for asset, fingerprint in sorted(required.items())
        if stored.get(asset) != fingerprint
    ]
