"""Features at rest: streamed, read by name, and never taken for those of something else."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.matrix.stored import (
    EmbeddingInputs,
    read_embedding_inputs,
    read_embeddings,
    write_embeddings,
)
from ecg_assets.models.apply import AppliedModel

INPUTS = EmbeddingInputs({"family": "x", "spec": {"leads": ["I"]}}, "encoder", "signals", "fp32")


def _batch(names: list[str], embedding: NDArray[np.float32]) -> AppliedModel:
    n_segments = np.full(len(names), 2)
    reason, score = np.full(len(names), "", object), np.empty((len(names), 1), np.float32)
    return AppliedModel("s", names, n_segments, reason, score, embedding)


def test_embeddings_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    write_embeddings(
        [_batch(["a", "b"], values[:2]), _batch(["c", "d", "e"], values[2:])], INPUTS, path
    )
    found = read_embeddings(path, ["d", "a", "c"])
    np.testing.assert_array_equal(found, values[[3, 0, 2]])
    assert read_embedding_inputs(path) == INPUTS
    with pytest.raises(SchemaError, match=r"lacks 1 of 2 recordings\. Materialize"):
        read_embeddings(path, ["a", "z"])


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    values = np.array([[1, np.inf], [2, 3]], np.float32)
    write_embeddings([_batch(["a", "b"], values)], INPUTS, path)
    np.testing.assert_array_equal(read_embeddings(path, ["b"]), values[1:])
    with pytest.raises(SchemaError, match="1 of 2 recordings have features that are not finite"):
        read_embeddings(path, ["a", "b"])


def test_inputs_differ_by_all_but_the_encoder_that_is_not_loaded_yet(tmp_path: Path) -> None:
    assert read_embedding_inputs(tmp_path / "nothing") is None
    assert INPUTS.is_of(replace(INPUTS, encoder=""))
    for other in (
        replace(INPUTS, signals="others"),
        replace(INPUTS, precision="bf16"),
        replace(INPUTS, start={}),
    ):
        assert not INPUTS.is_of(other)
        assert INPUTS.sha256 != other.sha256


def test_embeddings_of_other_code_are_not_those_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    write_embeddings([_batch(["a"], np.ones((1, 2), np.float32))], INPUTS, path)
    newer = replace(INPUTS, version=INPUTS.version + 1)
    assert read_embedding_inputs(path) != newer
    assert not INPUTS.is_of(newer)


def test_a_file_that_names_no_version_is_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    made_from = {key: value for key, value in asdict(INPUTS).items() if key != "version"}
    table = pa.table({"record_id": ["a"]})
    pq.write_table(table.replace_schema_metadata({"made_from": json.dumps(made_from)}), path)
    assert read_embedding_inputs(path) == replace(INPUTS, version=1)
