"""Checkpoints that ask for more than they hold are refused before it is allocated."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from ecg_assets.dropped.checkpoints import (
    Dropped,
    explain_unusable,
    fingerprint_dropped,
    prepare_checkpoint,
)
from ecg_assets.errors import CheckpointError
from ecg_assets.models import torch_file, weights
from ecg_assets.models.checkpoint import load_trained, save_trained
from ecg_assets.models.checkpoint_folder import MOST_ROWS, read_bounded_table, read_card
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.ecg_founder.net1d import EcgFounder
from ecg_assets.models.torch_file import read_torch_file
from ecg_assets.preprocess import signal_spec_of_kind
from ecg_assets_tests.models.golden_net1d import tiny_founder, write_founder
from ecg_assets_tests.models.toy_recordings import SPEC, VOCABULARY


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ECG-FM and one of ECGFounder."""
    root = tmp_path_factory.mktemp("made")
    for name in ("fm", "founder"):
        (root / name).mkdir()
    fm = EcgFmForClassification(ecg_fm_config("tiny", n_channels=12, n_labels=2))
    save_trained(root / "fm", fm, SPEC, VOCABULARY)
    founder = signal_spec_of_kind("ecg-founder")
    save_trained(root / "founder", tiny_founder(), founder, VOCABULARY)
    return root


@pytest.fixture
def checkpoints(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "checkpoints"))


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


ASKED = {
    "layers": ("fm", {"num_hidden_layers": 10**6}, "too many layers"),
    "width": ("fm", {"hidden_size": 1 << 17, "intermediate_size": 1 << 17}, "numbers, which"),
    "convolutions": ("fm", {"conv_dim": [1 << 20] * 6}, "numbers"),
    "labels": ("fm", {"num_labels": 10**9}, "1000000000"),
    "blocks": ("founder", {"m_blocks_list": [10**6] * 7}, "too many layers"),
    "stride": ("fm", {"conv_stride": [1 << 20] * 6}, "built as its configuration says"),
    "heads": ("fm", {"num_attention_heads": 3}, "built as its configuration says"),
    "division by 0": ("founder", {"groups_width": 0}, "ZeroDivisionError"),
    "unknown function": ("fm", {"hidden_act": "none"}, "KeyError"),
    "no stage": ("founder", {"filter_list": []}, "IndexError"),
    "wrong type": ("fm", {"hidden_size": "64"}, "StrictDataclassFieldValidationError"),
    "not finite": ("fm", {"layer_norm_eps": float("nan")}, "nan"),
}


@pytest.mark.parametrize("name,changes,reason", ASKED.values(), ids=ASKED)
def test_a_configuration_is_refused_before_weights_are_read(
    checkpoints: Path,
    name: str,
    changes: dict[str, Any],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "read_weights", lambda folder: pytest.fail("weights were read"))
    _edit(checkpoints / name / "config.json", **changes)
    with pytest.raises(CheckpointError, match=reason):
        prepare_checkpoint(checkpoints, name)


def test_shapes_are_compared_before_weights_are_read(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoints / "fm" / "model.safetensors"
    tensors = load_file(path)
    tensors["head.weight"] = torch.zeros(3, 64)
    save_file(tensors, path)
    monkeypatch.setattr(weights, "read_weights", lambda folder: pytest.fail("weights were read"))
    with pytest.raises(CheckpointError, match=r"size mismatch for head\.weight"):
        load_trained(checkpoints / "fm")


def test_a_model_that_looks_at_values_is_tried_with_memory(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of another package may."""
    embed = EcgFounder.embed
    seen = []

    def look(model: EcgFounder, signal: torch.Tensor, lengths: None = None) -> torch.Tensor:
        seen.append(signal.max().item())
        return embed(model, signal, lengths)

    monkeypatch.setattr(EcgFounder, "embed", look)
    prepare_checkpoint(checkpoints, "founder")
    assert len(seen) == 1  # without memory it raises


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(checkpoints: Path, value: float) -> None:
    path = checkpoints / "fm" / "model.safetensors"
    tensors = load_file(path)
    tensors["head.bias"][1] = value
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"1 of the 2 numbers of head\.bias are not finite"):
        load_trained(checkpoints / "fm")


def test_finite_weights_without_finite_probabilities_are_refused(checkpoints: Path) -> None:
    path = checkpoints / "fm" / "model.safetensors"
    tensors = {name: torch.full_like(value, 3e38) for name, value in load_file(path).items()}
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="logits of a smooth signal"):
        prepare_checkpoint(checkpoints, "fm")


@pytest.mark.parametrize("name", ["config", "signal_spec", "label_vocabulary", "run"])
@pytest.mark.parametrize(
    "text", ["[" * 10**5, '{"a":' * 100 + "1" + "}" * 100], ids=["cut", "whole"]
)
def test_deep_json_is_refused(checkpoints: Path, name: str, text: str) -> None:
    (checkpoints / "fm" / f"{name}.json").write_text(text)
    with pytest.raises(CheckpointError, match=f"cannot read {name}.json"):
        load_trained(checkpoints / "fm")


SPOILT_RUNS: list[dict[str, Any]] = [
    {"trained_on": []},
    {"request": "none"},
    {"request": {"inputs": [1]}},
    {"n_parameters": "many"},
    {"best_epoch": [1]},
    {"splits": {"train": 3}},
]


@pytest.mark.parametrize("run", SPOILT_RUNS, ids=str)
def test_a_run_of_other_types_is_refused_and_named(checkpoints: Path, run: dict[str, Any]) -> None:
    (checkpoints / "fm" / "run.json").write_text(json.dumps(run))
    with pytest.raises(CheckpointError, match=rf"run\.json is not as .*{next(iter(run))}"):
        read_card(checkpoints / "fm")


# Sizes of files.


def _sparse(checkpoints: Path, name: str) -> Path:
    path = checkpoints / name
    path.touch()
    os.truncate(path, 40 << 30)
    return path


@pytest.mark.parametrize("name", ["fm/model.safetensors", "model.pt", "fm/config.json"])
def test_a_file_of_40_gb_is_refused_unread(checkpoints: Path, name: str) -> None:
    path = _sparse(checkpoints, name)
    item = path if path.parent == checkpoints else path.parent
    assert f"{path.name} has 42949672960 bytes" in explain_unusable(Dropped(item))
    assert len(fingerprint_dropped(item)) > 0  # reading 40 GB would take a tick's time
    with pytest.raises(CheckpointError, match="42949672960 bytes"):
        prepare_checkpoint(checkpoints, Dropped(item).checkpoint_id)


def _write_rows(path: Path, n_rows: int) -> None:
    columns = {"stage": np.zeros(n_rows, np.int16), "patient": np.zeros(n_rows, np.uint64)}
    pq.write_table(pa.table(columns), path)


def _write_texts(path: Path, n_rows: int) -> None:
    texts = pa.DictionaryArray.from_arrays(np.zeros(n_rows, np.int32), ["x" * 10**6])
    pq.write_table(pa.table({"record_id": texts}), path, store_schema=False)


TABLES: dict[str, tuple[Callable[[Path, int], None], int, str]] = {
    "rows": (_write_rows, MOST_ROWS + 1, f"{MOST_ROWS + 1} rows"),
    "texts": (_write_texts, 1000, "bytes of record_id"),
}


@pytest.mark.parametrize("write,n_rows,reason", TABLES.values(), ids=TABLES)
def test_a_table_that_unpacks_to_gigabytes_is_refused(
    tmp_path: Path, write: Callable[[Path, int], None], n_rows: int, reason: str
) -> None:
    path = tmp_path / "seen_patients.parquet"
    write(path, n_rows)
    assert path.stat().st_size < 2 << 20
    before = pa.total_allocated_bytes()
    with pytest.raises(CheckpointError, match=reason):
        read_bounded_table(path)
    assert pa.total_allocated_bytes() - before < 100 << 20


def test_a_table_of_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = pa.table({"a": ["x", "y", "x"], "b": pa.array([1, 2, 3], pa.int8())})
    table = table.replace_schema_metadata({b"key": b"value"})
    pq.write_table(table, tmp_path / "a.parquet")
    found = read_bounded_table(tmp_path / "a.parquet")
    assert found.equals(table, check_metadata=True)


# Files of torch.save.


def _repack(path: Path, pickled: bytes | None = None, *, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in parts.items():
            archive.writestr(name, pickled if pickled and name.endswith("data.pkl") else data)


def _deflate(path: Path) -> None:
    _repack(path, b"]" * 10**7, method=zipfile.ZIP_DEFLATED)


def _many_objects(path: Path) -> None:
    _repack(path, b"]" * (1 << 15) + b".")


def _save(content: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state = tiny_founder().state_dict()
        torch.save({"state_dict": state, "other": content(state)}, path)

    return write


def _lists(_: Any) -> Any:
    lists: Any = [1]
    for _ in range(20):
        lists = [lists] * 10
    return lists


FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "deflated": (_deflate, "stores without compression"),
    "many objects": (_many_objects, "more objects beside its tensors"),
    "view of one number": (
        _save(lambda state: torch.zeros(1).expand(10**5, 10**5)),
        "not stored number by number",
    ),
    "sparse tensor": (
        _save(lambda state: torch.zeros(3).to_sparse()),
        "not stored number by number",
    ),
    "one tensor many times": (
        _save(lambda state: [torch.zeros(10**4)] * 100),
        "many times over",
    ),
    "lists of lists": (_save(_lists), "many times over"),
}


@pytest.mark.parametrize("write,reason", FILES.values(), ids=FILES)
def test_a_file_that_unpacks_to_gigabytes_is_refused(
    tmp_path: Path, write: Callable[[Path], None], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_MOST_STEPS", "_MOST_VALUES"):  # of a file as small as this one
        monkeypatch.setattr(torch_file, name, 1 << 14)
    path = write_founder(tmp_path / "model.pt", tiny_founder())
    read_torch_file(path)
    write(path)
    with pytest.raises(CheckpointError, match=reason):
        read_torch_file(path)
