"""Manifests at rest: a folder of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ecg_assets.build.class_weights import format_weights, label_definition, positive_weights
from ecg_assets.build.manifest import EXCLUDED, INDEX, Manifest
from ecg_assets.errors import SchemaError
from ecg_assets.labels import LabelVocabulary
from ecg_assets.preprocess import SignalSpec
from ecg_assets.storage import replace_folder

_INDEX, _EXCLUDED, _TARGETS = "index.parquet", "excluded.parquet", "y.npy"
_SPEC, _VOCABULARY = "signal_spec.json", "label_vocabulary.json"


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Replace a folder by the manifest's files.

    ``index.parquet``, ``excluded.parquet``, ``y.npy`` (the targets, uint8),
    ``signal_spec.json`` and ``label_vocabulary.json`` are what `read_manifest` reads;
    ``label_def.csv`` and ``pos_weight.txt`` follow from them and are for people.
    """
    with replace_folder(folder) as temporary:
        pq.write_table(INDEX.from_pandas(manifest.index), temporary / _INDEX)
        pq.write_table(EXCLUDED.from_pandas(manifest.excluded), temporary / _EXCLUDED)
        np.save(temporary / _TARGETS, manifest.targets)
        _write_json(manifest.spec.to_json(), temporary / _SPEC)
        _write_json(manifest.vocabulary.to_json(), temporary / _VOCABULARY)
        write_label_files(manifest, temporary)


def write_label_files(manifest: Manifest, folder: Path) -> None:
    """Write ``label_def.csv`` and ``pos_weight.txt`` into a folder."""
    label_definition(manifest).to_csv(folder / "label_def.csv", index=False, lineterminator="\n")
    weights = format_weights(manifest.pos_weight)
    (folder / "pos_weight.txt").write_text(weights, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read what `write_manifest` wrote; the class weights are computed from the targets.

    Raises
    ------
    SchemaError
        When the folder holds no manifest, or its files do not fit each other.
    """
    if not (folder / _INDEX).is_file():
        raise SchemaError(f"{folder} holds no manifest ({_INDEX}). Build the manifests first.")
    index = INDEX.require(pq.read_table(folder / _INDEX)).to_pandas()
    targets = np.load(folder / _TARGETS)
    if len(targets) != len(index):
        raise SchemaError(
            f"{folder}: {_TARGETS} has {len(targets)} rows, {_INDEX} {len(index)}. "
            "Build the manifests again."
        )
    return Manifest(
        index=index,
        targets=targets,
        vocabulary=LabelVocabulary.from_json(_read_json(folder / _VOCABULARY)),
        spec=SignalSpec.from_json(_read_json(folder / _SPEC)),
        pos_weight=positive_weights(targets[index["split"].to_numpy() == "train"]),
        excluded=EXCLUDED.require(pq.read_table(folder / _EXCLUDED)).to_pandas(),
    )


def _write_json(value: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
