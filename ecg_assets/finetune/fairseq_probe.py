"""Find fairseq-signals in the user's interpreter, and say what is missing before it is run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecg_assets.errors import SettingsError
from ecg_assets.finetune import fairseq_probe_worker
from ecg_assets.finetune.fairseq_call import CONFIG_FOLDER, CONFIG_NAME
from ecg_assets.finetune.fairseq_causes import find_cause

TIMEOUT_S = 300


@dataclass(frozen=True)
class FairseqInstall:
    """An interpreter that can train with fairseq-signals.

    Attributes
    ----------
    python
        The interpreter.
    root
        Folder that holds the packages fairseq_signals and fairseq_cli.
    config_folder
        Folder of diagnosis.yaml.
    versions
        Of Python, torch, NumPy, … and fairseq_signals, by name.
    gpus
        Names of the GPUs that its torch sees.
    """

    python: str
    root: Path
    config_folder: Path
    versions: dict[str, str]
    gpus: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; `from_json` reads them back."""
        paths = {"root": str(self.root), "config_folder": str(self.config_folder)}
        return {**asdict(self), **paths, "gpus": list(self.gpus)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FairseqInstall:
        """Build what `to_json` was made from."""
        paths = {name: Path(value[name]) for name in ("root", "config_folder")}
        return cls(**{**value, **paths, "gpus": tuple(value["gpus"])})


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
            "fairseq-signals (docs/fairseq_signals.md), or set ECG_TRAINER=native."
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
        python, Path(found["root"]), folder, found["versions"], tuple(found["gpus"])
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
