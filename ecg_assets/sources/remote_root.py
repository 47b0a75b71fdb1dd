"""A dataset on any fsspec file system: its tables are kept here, its recordings fetched."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fsspec

from ecg_assets.errors import BadRecord, SettingsError
from ecg_assets.sources.dataset import Remote
from ecg_assets.sources.datasets import find_dataset, own_endings
from ecg_assets.sources.file_limits import require_plain_name
from ecg_assets.sources.wfdb.header import read_header
from ecg_assets.storage import replace_file

_N_CONNECTIONS = 16
_SIGNALS = (".dat", ".mat", ".h5", ".npy")
_WHOLE_FILES = (".npy", ".csv", ".mat", ".h5")


def _own_endings() -> tuple[str, ...]:
    """List the endings of files that datasets read by themselves."""
    return tuple(f".{ending}" for ending in own_endings())


def is_remote(root: str) -> bool:
    """Say whether a root is an fsspec URL rather than a folder.

    >>> is_remote("s3://bucket/mimic-iv-ecg/1.0"), is_remote("/data/mimic")
    (True, False)
    """
    return "://" in root


@dataclass(frozen=True)
class RemoteRoot:
    """The root of a dataset by its URL, e.g. ``s3://bucket/mimic-iv-ecg/1.0``.

    What the file system needs besides (keys, say) comes from fsspec's own configuration and
    variables; its package (s3fs, gcsfs, …) must be installed.
    """

    url: str

    def fetch_tables(self, folder: Path, source: str) -> None:
        """Copy what lists a source's recordings; a file of the same size is not copied again.

        That is, as the dataset says: the files right at the root but signals; all headers
        besides, where there is no table of the recordings; or everything.

        Parameters
        ----------
        folder
            Where to.
        source
            Name of the source.

        Raises
        ------
        SettingsError
            When the URL cannot be opened, or holds no file.
        """
        system, base = self._open()
        remote = find_dataset(source).remote
        try:
            if remote == Remote.TABLES:
                found = system.ls(base, detail=True)
            else:
                found = system.find(base, detail=True).values()
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"ECG_RAW_ROOT is {self.url}, which cannot be listed: {error}"
            ) from error
        for entry in found:
            if entry["type"] == "directory":  # an empty one tells which variants there are
                (folder / _below(base, entry["name"])).mkdir(parents=True, exist_ok=True)
        sizes = {
            entry["name"]: entry["size"]
            for entry in found
            if entry["type"] == "file"
            and (remote == Remote.ALL or not entry["name"].endswith((*_SIGNALS, *_own_endings())))
        }
        wanted = [
            (name, folder / _below(base, name))
            for name, size in sizes.items()
            if not _has_size(folder / _below(base, name), size)
        ]
        if not sizes:
            raise SettingsError(f"ECG_RAW_ROOT is {self.url}, which holds no file.")
        _copy_all(system, wanted)

    def fetch_records(self, paths: Iterable[str], folder: Path) -> None:
        """Copy the files of recordings; one that is not there stays away, to be rejected by name.

        Parameters
        ----------
        paths
            Paths of record_list.
        folder
            Where to, under the same paths.
        """
        system, base = self._open()
        files = [path.partition("#")[0] for path in paths]
        whole = {name for name in files if name.endswith((*_WHOLE_FILES, *_own_endings()))}
        stems = sorted(set(files) - whole)
        first = [*sorted(whole), *(f"{stem}.hea" for stem in stems)]
        _copy_all(system, [(f"{base}/{name}", folder / name) for name in first])
        signals = {name for stem in stems for name in _signal_files(folder, stem)}
        _copy_all(system, [(f"{base}/{name}", folder / name) for name in sorted(signals)])

    def _open(self) -> tuple[fsspec.AbstractFileSystem, str]:
        try:
            system, base = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise SettingsError(f"ECG_RAW_ROOT is {self.url}: {error}") from error
        return system, str(base).rstrip("/")


def _below(base: str, name: str) -> str:
    return name.removeprefix(base).lstrip("/")


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _signal_files(folder: Path, stem: str) -> set[str]:
    """Name the files that a header speaks of; a header that cannot be read speaks of none."""
    try:
        header = read_header(folder / stem, root=folder)
        for signal in header.signals:
            require_plain_name(signal.file_name)
    except BadRecord:
        return set()
    parent = PurePosixPath(stem).parent
    return {(parent / signal.file_name).as_posix() for signal in header.signals}


def _copy_all(system: fsspec.AbstractFileSystem, files: list[tuple[str, Path]]) -> None:
    with ThreadPoolExecutor(_N_CONNECTIONS) as pool:
        list(pool.map(lambda pair: _copy(system, *pair), files))


def _copy(system: fsspec.AbstractFileSystem, name: str, target: Path) -> None:
    try:
        source = system.open(name, "rb")
    except FileNotFoundError:
        return
    with source, replace_file(target) as temporary, temporary.open("wb") as copy:
        shutil.copyfileobj(source, copy)
