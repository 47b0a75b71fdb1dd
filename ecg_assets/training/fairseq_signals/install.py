"""Find fairseq-signals in the user's interpreter, and say what is missing before it is run."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ecg_assets.errors import SettingsError
from ecg_assets.frozen_model import FrozenModel
from ecg_assets.training.fairseq_signals import probe_worker as fairseq_probe_worker
from ecg_assets.training.fairseq_signals.causes import find_cause

CONFIG_NAME = "diagnosis"
CONFIG_FOLDER = Path("examples", "w2v_cmsc", "config", "finetuning", "ecg_transformer")
"""Folder of its configuration below a clone of fairseq-signals."""
TIMEOUT_S = 300


class FairseqInstall(FrozenModel):
    """An interpreter that can train with fairseq-signals."""

    python: str = Field(description="The interpreter.")
    root: Path = Field(description="Folder of the packages fairseq_signals and fairseq_cli.")
    config_folder: Path = Field(description="Folder of diagnosis.yaml.")
    versions: dict[str, str] = Field(
        description="Of Python, torch, NumPy, … and fairseq_signals, by name."
    )
    gpus: tuple[str, ...] = Field(description="Names of the GPUs that its torch sees.")


def probe_fairseq(
    python: str, config_folder: str = "", *, needs_gpu: bool = True
) -> FairseqInstall:
    """Look at an interpreter; it takes as long as importing fairseq-signals there.

    Parameters
    ----------
    python
        Path of the interpreter (FAIRSEQ_SIGNALS_PYTHON).
    config_folder
        Folder of diagnosis.yaml; empty for the clone's own.
    needs_gpu
        Whether no usable GPU is a fault.

    Raises
    ------
    SettingsError
        With every fault that was found and what to do about each.
    """
    if not python:
        raise SettingsError(
            "FAIRSEQ_SIGNALS_PYTHON is not set. Set it to the Python of an environment with "
            "fairseq-signals (docs/fairseq_signals.md), or set trainer: native."
        )
    found = _look(python)
    folder = _config_folder(found["root"], config_folder)
    faults = _faults(found, needs_gpu=needs_gpu)
    if found["root"] and not (folder / f"{CONFIG_NAME}.yaml").is_file():
        faults.append(
            f"there is no {CONFIG_NAME}.yaml in {folder}: set FAIRSEQ_SIGNALS_CONFIG to the folder "
            f"{CONFIG_FOLDER.as_posix()} of its clone."
        )
    if faults:
        versions = ", ".join(f"{name} {text}" for name, text in found["versions"].items())
        raise SettingsError(
            f"FAIRSEQ_SIGNALS_PYTHON={python} cannot train with fairseq-signals ({versions}):\n"
            + "\n".join(f"- {fault}" for fault in faults)
        )
    return FairseqInstall(
        python=python,
        root=Path(found["root"]),
        config_folder=folder,
        versions=found["versions"],
        gpus=tuple(found["gpus"]),
    )


def _look(python: str) -> dict[str, Any]:
    command = [python, fairseq_probe_worker.__file__]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(
            f"FAIRSEQ_SIGNALS_PYTHON is {python!r}, which cannot be run: {error}. Set it to the "
            "Python of an environment with fairseq-signals."
        ) from error
    try:
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError) as error:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SettingsError(
            f"FAIRSEQ_SIGNALS_PYTHON is {python!r}, which ended with status {done.returncode} and "
            f"did not say what it holds: {last[:300]}. It must be Python 3.8 to 3.10."
        ) from error
    return found


def _config_folder(root: str | None, config_folder: str) -> Path:
    """Choose the folder named, or the clone's, or the one that is part of an installed package."""
    if config_folder:
        return Path(config_folder).expanduser().resolve()
    clone = Path(root or "", CONFIG_FOLDER)
    inside = Path(root or "", "fairseq_signals", CONFIG_FOLDER)
    return inside if inside.is_dir() and not clone.is_dir() else clone


def _faults(found: dict[str, Any], *, needs_gpu: bool) -> list[str]:
    faults = []
    if found["root"] is None:
        faults.append(
            "fairseq_signals is not installed: clone https://github.com/Jwoo5/fairseq-signals and "
            "run `pip install --editable .` in it with this interpreter (plain fairseq is another "
            "program)."
        )
    elif found["cli"] is None or not Path(found["root"], "fairseq_cli").is_dir():
        faults.append(
            f"beside fairseq_signals in {found['root']} there is no fairseq_cli: install it from "
            "its clone, of which that folder is a part."
        )
    elif not found["has_extension"]:
        faults.append(find_cause(["Please build Cython components"]))
    follows = {"fairseq_signals"} if not found["has_extension"] else set()
    if tuple(map(int, found["versions"]["python"].split(".")[:2])) >= (3, 11):
        faults.append(find_cause(["mutable default x is not allowed: use default_factory"]))
        follows |= {"hydra", "omegaconf", "fairseq_signals"}
    faults += [
        f"{name} cannot be imported ({message}): {find_cause([message])}"
        for name, message in found["failures"].items()
        if name not in follows
    ]
    if needs_gpu and "torch" in found["versions"] and not found["gpus"]:
        faults.append(find_cause(["No CUDA GPUs are available"]))
    return faults


# The files that fairseq-signals trains from: found, and checked before it is started.


_FILES = ("train.tsv", "valid.tsv", "y.npy", "pos_weight.txt")
_HOW = "Materialize mat_records for all shards, then fairseq_manifests."


@dataclass(frozen=True)
class FairseqData:
    """Manifests that can be trained from.

    Attributes
    ----------
    folder
        Holds train.tsv, valid.tsv, test.tsv and y.npy.
    pos_weight
        Weight of each label's positives, from pos_weight.txt.
    """

    folder: Path
    pos_weight: tuple[float, ...]


def find_fairseq_data(folder: Path, *, n_labels: int, with_test: bool) -> FairseqData:
    """Find the manifests in what `fairseq_manifests` wrote, in either layout.

    Raises
    ------
    SettingsError
        When a file is missing, a .tsv is empty or leads nowhere, the labels are of another
        number, or they are numbers or not all measured.
    """
    found = _folder(folder)
    for name in ("train", "valid", "test") if with_test else ("train", "valid"):
        _require_files_of(found / f"{name}.tsv")
    weights = read_pos_weight(found / "pos_weight.txt")
    targets = np.load(found / "y.npy", mmap_mode="r")
    n_columns = targets.shape[1]
    if not n_labels == n_columns == len(weights):
        raise SettingsError(
            f"{found} has {n_columns} labels in y.npy and {len(weights)} in pos_weight.txt, the "
            f"manifests have {n_labels}. Materialize fairseq_manifests again."
        )
    is_label, is_none = np.isin(targets, (0, 1)).all(axis=1), np.isnan(targets).all(axis=1)
    if n_other := int((~is_label & ~is_none).sum()):
        raise SettingsError(
            f"{n_other} recordings of {found} have targets that are not measured, or numbers. "
            "fairseq-signals' training takes 0 and 1 alone: set trainer: native, which leaves such "
            "targets out of its loss."
        )
    return FairseqData(found, weights)


def read_pos_weight(path: Path) -> tuple[float, ...]:
    """Read weights as fairseq-signals writes them (``[a,b]``) or as the Lead-I pipeline does.

    The latter puts spaces between them.
    """
    text = path.read_text(encoding="utf-8").strip().strip("[]")
    return tuple(float(part) for part in re.split(r"[,\s]+", text) if part)


def _folder(folder: Path) -> Path:
    """Choose the folder itself, or ``lead_1/manifests`` and its like below it."""
    for candidate in (folder, *sorted(folder.glob("*/manifests"))):
        if (candidate / "train.tsv").is_file():
            missing = [name for name in _FILES if not (candidate / name).is_file()]
            if not missing:
                return candidate
            raise SettingsError(f"{candidate} lacks {', '.join(missing)}. {_HOW}")
    raise SettingsError(
        f"The trainer fairseq-signals trains from .mat files, but {folder} holds no manifests of "
        f"them (train.tsv). {_HOW}"
    )


def _require_files_of(tsv: Path) -> None:
    """Check that a list is there, names a file, and that its first file exists."""
    if not tsv.is_file():
        raise SettingsError(f"There is no {tsv}. {_HOW}")
    with tsv.open(encoding="utf-8") as lines:
        root, first = lines.readline().strip(), lines.readline().strip()
    if not first:
        raise SettingsError(
            f"{tsv} names no .mat file: its split has no exported recording. {_HOW}"
        )
    path = Path(root, first.split("\t")[0])
    if not path.is_file():
        raise SettingsError(f"{tsv} names {path}, which is not there. {_HOW}")
