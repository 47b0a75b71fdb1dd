"""What a checkpoint was trained from, back to random weights or to an unknown origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint_files import IMPORT_REPORT, RUN, WEIGHTS, read_json

_PRETRAINED = "pretrained"
_RECORDINGS = "recordings"


@dataclass(frozen=True)
class TrainingStage:
    """One training in the history of a checkpoint.

    Attributes
    ----------
    name
        Name of its checkpoint, or what it was imported from.
    kind
        ``fine-tuning``, ``pre-training``, or ``unknown`` for weights from elsewhere.
    source, split_rule
        Of its training data; empty where unknown.
    inputs
        Fingerprint of each of its inputs, by name.
    manifest_folders
        Where its recordings may still be listed, the likeliest first.
    """

    name: str
    kind: str
    source: str = ""
    split_rule: str = ""
    inputs: Mapping[str, str] | None = None
    manifest_folders: tuple[Path, ...] = ()


def trace_training(folder: Path, data_dir: Path) -> list[TrainingStage]:
    """Follow a checkpoint to the checkpoint it started from, and so on.

    A training that ran here left a run.json with the checkpoint and a request below
    ``data_dir``. Weights that came from elsewhere are the last stage, ``unknown``.

    Parameters
    ----------
    folder
        The checkpoint.
    data_dir
        Folder of all results.

    Returns
    -------
    list of TrainingStage
        The checkpoint's own training first.
    """
    stages: list[TrainingStage] = []
    seen: set[Path] = set()
    here: Path | None = folder
    while here is not None and here not in seen:  # a damaged record could point at itself
        seen.add(here)
        run = read_json(here / RUN) if (here / RUN).is_file() else {}
        if "inputs" not in run:
            return [*stages, _unknown(here)]
        request = _read_request(str(run.get("checkpoint_id", "")), data_dir)
        stages.append(_stage(here, run, request, data_dir))
        start = run["inputs"].get(_PRETRAINED)
        if start is None:
            return stages
        named = request.get(_PRETRAINED)
        here = _find_folder(start, named, data_dir)
        if here is None:
            name = Path(named).name if named else "a checkpoint that is not stored here"
            return [*stages, TrainingStage(name, "unknown")]
    return stages


def _stage(
    folder: Path, run: Mapping[str, Any], request: Mapping[str, Any], data_dir: Path
) -> TrainingStage:
    trained_on = run.get("trained_on", {})
    source = str(trained_on.get("source", ""))
    places = [Path(request["manifest_folder"])] if "manifest_folder" in request else []
    if source:
        places.append(data_dir / source / "manifests")
    return TrainingStage(
        name=folder.name,
        kind="pre-training" if _RECORDINGS in run["inputs"] else "fine-tuning",
        source=source,
        split_rule=str(trained_on.get("split_rule", "")),
        inputs=run["inputs"],
        manifest_folders=tuple(dict.fromkeys(places)),
    )


def _unknown(folder: Path) -> TrainingStage:
    report = read_json(folder / IMPORT_REPORT) if (folder / IMPORT_REPORT).is_file() else {}
    origin = report.get("source", {})
    name = origin.get("name") if isinstance(origin, dict) else None
    return TrainingStage(str(name or folder.name), "unknown")


def _read_request(checkpoint_id: str, data_dir: Path) -> dict[str, Any]:
    path = data_dir / "requests" / f"{checkpoint_id}.json"
    return read_json(path) if checkpoint_id and path.is_file() else {}


def _find_folder(fingerprint: str, named: str | None, data_dir: Path) -> Path | None:
    """Find the stored folder whose weights have this fingerprint.

    The request's own path comes first. fairseq-signals starts from a file, not a folder.
    """
    for folder in _candidates(named, data_dir):
        weights = folder / WEIGHTS
        if weights.is_file() and fingerprint_file(weights) == fingerprint:
            return folder
    return None


def _candidates(named: str | None, data_dir: Path) -> Iterator[Path]:
    if named:
        yield Path(named)
    for pattern in ("checkpoints/*", "*/pretrained_checkpoint/*", "*/cache/imported/*"):
        yield from sorted(data_dir.glob(pattern))
