"""Checkpoints of the hub of Hugging Face: named ``hf:owner/name[@revision][:file]``, fetched once.

What a name means is decided the first time: the commit is written down beside the files, and used
from then on, with a network or without. Nothing of a repository is run; what is fetched is read as
any file or folder is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ecg_assets.errors import CheckpointError
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint_folder import (
    CHECKPOINT_FILES,
    CONFIG,
    IMPORT_REPORT,
    MODEL_CARD,
    MOST_BYTES,
    WEIGHTS,
    read_json,
)
from ecg_assets.storage import replace_file

PREFIX = "hf:"
HUB = "hub.json"
"""Beside what was fetched: repository, commit, and the SHA-256 of each file."""
FILE_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")
"""Of files that a model's authors publish."""

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAME = re.compile(
    rf"hf:(?P<repository>{_PART}/{_PART})(?:@(?P<revision>{_PART}))?(?::(?P<file>[^:\\]+))?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DEEPEST = 5
"""So many folders above a file are looked at."""
_SHOWN = 12
"""So many files of a repository are named in an error."""


@dataclass(frozen=True)
class HubName:
    """A checkpoint's place on the hub.

    Attributes
    ----------
    repository
        ``owner/name``.
    file
        One of its files; empty: its checkpoint folder, or its only file of weights.
    revision
        Branch, tag or commit; empty: the default branch, as it is the first time.
    """

    repository: str
    file: str = ""
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Read a name.

        Raises
        ------
        CheckpointError
            When it is of another form, or leaves the repository.

        >>> HubName.parse("hf:lab/ecg@v1:weights/base.pt")
        HubName(repository='lab/ecg', file='weights/base.pt', revision='v1')
        """
        found = _NAME.fullmatch(text)
        file = (found and found["file"]) or ""
        parts = PurePosixPath(file).parts
        if found is None or ".." in parts or file.startswith("/"):
            raise CheckpointError(
                f"{text!r} is no checkpoint of the hub; expected hf:owner/name, "
                "hf:owner/name:file or hf:owner/name@revision:file."
            )
        return cls(found["repository"], file, found["revision"] or "")

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{PREFIX}{self.repository}{revision}{f':{self.file}' if self.file else ''}"


def is_hub_name(text: str) -> bool:
    """Tell whether a checkpoint is named on the hub, not by a path.

    >>> is_hub_name("hf:lab/ecg"), is_hub_name("/models/ecg.pt")
    (True, False)
    """
    return text.startswith(PREFIX)


def local_checkpoint(name: str, cache: Path) -> Path:
    """Give the path of a checkpoint: a path as it is, a name of the hub fetched once.

    Parameters
    ----------
    name
        A path, or ``hf:owner/name[@revision][:file]``.
    cache
        What is fetched stands below it, by repository and commit.

    Returns
    -------
    Path
        A file; of a name without one, and a repository with model.safetensors and config.json,
        their folder.

    Raises
    ------
    CheckpointError
        When it is no name, the hub cannot be reached or refuses it, or there is not just one
        file that is meant; the message says what to do.
    """
    if not is_hub_name(name):
        return Path(name).expanduser()
    hub_name = HubName.parse(name)
    root = cache / hub_name.repository.replace("/", "--")
    fetched = _find_fetched(hub_name, root)
    return fetched if fetched is not None else _fetch(hub_name, root)


def shared_cache() -> Path:
    """Give the folder of what is fetched for no deployment: beside the hub's own cache."""
    from huggingface_hub.constants import HF_HOME

    return Path(HF_HOME) / "ecg-assets"


def describe_origin(path: Path) -> dict[str, Any] | None:
    """Say where a fetched file or folder comes from; None of one that was not fetched.

    Returns
    -------
    dict or None
        ``repository``, ``commit``, and ``files``: the SHA-256 of each by its name there.
    """
    if path.is_dir():
        return _read_origin(path)
    # A file may stand in folders of the repository.
    for place in list(path.parents)[:_DEEPEST]:
        origin = _read_origin(place)
        name = path.relative_to(place).as_posix()
        if origin is not None and name in origin["files"]:
            return {**origin, "files": {name: origin["files"][name]}}
    return None


def _read_origin(folder: Path) -> dict[str, Any] | None:
    path = folder / HUB
    return _known_origin(read_json(path)) if path.is_file() else None


def _known_origin(value: object) -> dict[str, Any] | None:
    """Give what is written here of an origin; a folder of another program may hold anything."""
    if not isinstance(value, dict):
        return None
    repository, commit, files = (value.get(key) for key in ("repository", "commit", "files"))
    texts = (repository, commit, *(files if isinstance(files, dict) else (None,)))
    if not all(isinstance(text, str) for text in texts) or not _COMMIT.fullmatch(str(commit)):
        return None
    sums = {str(name): str(value) for name, value in dict(files).items()} if files else {}
    return {"repository": repository, "commit": commit, "files": sums}


def find_origin(folder: Path) -> dict[str, Any] | None:
    """Say where a checkpoint folder's weights were fetched from, be it imported from a file.

    As `describe_origin` says it; None where they were not fetched.
    """
    report = folder / IMPORT_REPORT
    if report.is_file():
        source = read_json(report).get("source")
        return _known_origin(source.get("hub")) if isinstance(source, dict) else None
    return describe_origin(folder)


# What was fetched before.


def _find_fetched(name: HubName, root: Path) -> Path | None:
    pinned = _read_pins(root).get(str(name))
    if pinned is None:
        return None
    folder = root / pinned["commit"]
    known = (_read_origin(folder) or {"files": {}})["files"]
    whole = all(file in known and (folder / file).is_file() for file in pinned["files"])
    return _place(folder, pinned["files"]) if whole else None


def _read_pins(root: Path) -> dict[str, Any]:
    path = root / "pins.json"
    return read_json(path) if path.is_file() else {}


def _place(folder: Path, files: Sequence[str]) -> Path:
    return folder if WEIGHTS in files and CONFIG in files else folder / files[0]


# From the hub.


def _fetch(name: HubName, root: Path) -> Path:
    commit, sizes = _list_repository(name, root)
    files = _choose_files(name, sizes)
    for file in files:
        most = MOST_BYTES.get(Path(file).suffix, MOST_BYTES[".pt"])
        if (sizes[file].size or 0) > most:
            raise CheckpointError(
                f"{name}: {file} has {sizes[file].size} bytes; at most {most} are read. It is no "
                "checkpoint; name another file."
            )
    folder = root / commit
    found = {file: _download(name, file, commit, folder, sizes[file].sha256) for file in files}
    known = (_read_origin(folder) or {"files": {}})["files"]
    origin = {"repository": name.repository, "commit": commit, "files": {**known, **found}}
    _write_json(folder / HUB, origin)
    _write_json(
        root / "pins.json", {**_read_pins(root), str(name): {"commit": commit, "files": files}}
    )
    return _place(folder, files)


@dataclass(frozen=True)
class _Listed:
    """What the hub says of a file: its bytes and SHA-256, where it knows them."""

    size: int | None
    sha256: str | None


def _list_repository(name: HubName, root: Path) -> tuple[str, dict[str, _Listed]]:
    """Give the commit that a name means now, and its files."""
    from huggingface_hub import HfApi

    # Another file of the same repository is of the commit that was fetched first.
    before = [pin["commit"] for pinned, pin in _read_pins(root).items() if "@" not in pinned]
    revision = name.revision or next(iter(before), None)
    try:
        info = HfApi().model_info(name.repository, revision=revision, files_metadata=True)
    except Exception as error:  # a network has many faults, and the library passes them on
        raise _refused(name, error, root) from error
    if not _COMMIT.fullmatch(info.sha or ""):
        raise CheckpointError(f"{name}: the hub names no commit ({info.sha!r}). Try again.")
    listed = {
        one.rfilename: _Listed(one.size, getattr(one.lfs, "sha256", None))
        for one in info.siblings or ()
    }
    return info.sha or "", listed


def _choose_files(name: HubName, listed: dict[str, _Listed]) -> list[str]:
    weights = [file for file in listed if file.endswith(FILE_SUFFIXES)]
    if name.file:
        if name.file not in listed:
            raise CheckpointError(
                f"{name}: {name.repository} has no file {name.file}; it has {_shown(weights)}."
            )
        beside = str(PurePosixPath(name.file).with_name(CONFIG))
        # The weights of a safetensors file alone do not say what they are.
        is_described = name.file.endswith(".safetensors") and beside in listed
        return [name.file, beside] if is_described else [name.file]
    if WEIGHTS in listed and CONFIG in listed:
        wanted = (*CHECKPOINT_FILES, MODEL_CARD)
        return [file for file in wanted if file in listed]
    if len(weights) != 1:
        raise CheckpointError(
            f"{name}: {name.repository} has {len(weights)} files of weights, {_shown(weights)}; it "
            f"does not say which is meant. Name one: {PREFIX}{name.repository}:FILE."
        )
    return weights


def _shown(files: Sequence[str]) -> str:
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return (", ".join(sorted(files)[:_SHOWN]) or "none of a known suffix") + more


def _download(name: HubName, file: str, commit: str, folder: Path, expected: str | None) -> str:
    """Fetch a file to its place below a folder, and give its SHA-256."""
    from huggingface_hub import hf_hub_download

    try:
        path = Path(hf_hub_download(name.repository, file, revision=commit, local_dir=folder))
    except Exception as error:  # a network has many faults, and the library passes them on
        raise _refused(name, error, folder.parent) from error
    found = fingerprint_file(path)
    if expected is not None and found != expected:
        path.unlink()
        raise CheckpointError(
            f"{name}: {file} arrived with SHA-256 {found[:12]}, the hub says {expected[:12]}. It "
            "was removed; fetch it again."
        )
    return found


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _refused(name: HubName, error: Exception, root: Path) -> CheckpointError:
    """Say what the hub's refusal means, and the way without it."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{name.repository}"
    instead = "or copy the file here by other means, and give its path in place of the name"
    if isinstance(error, errors.GatedRepoError):
        said = (
            f"its owners give access on request. Ask for it at {page}, and set HF_TOKEN to a token "
            f"of that account, {instead}"
        )
    elif isinstance(error, errors.RepositoryNotFoundError):
        said = (
            f"there is no such repository, or it is private. Look at {page}; of a private one set "
            f"HF_TOKEN to a token that may read it, {instead}"
        )
    elif isinstance(error, errors.RevisionNotFoundError):
        said = f"it has no revision {name.revision!r}. Look at {page}"
    elif isinstance(error, errors.HFValidationError):
        said = f"that is no name of the hub ({error})"
    else:
        said = (
            f"the hub cannot be reached ({type(error).__name__}: {str(error)[:200]}), and nothing "
            f"of it was fetched to {root} before. Try again where there is a network, {instead}"
        )
    return CheckpointError(f"{name}: {said}.")
