from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.export.croissant import Statement, describe_store, write_croissant
from ecg_assets.labels import LABELS
from ecg_assets.made_with import write_facts
from ecg_assets.preprocess.shard_schema import shard_schema
from ecg_assets.sources.schema import RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.storage import write_json
from ecg_assets.store import SourceStore, Store
from ecg_assets.tables import TableSchema
from ecg_assets_tests.build.cohort import LEADS, make_cohort
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated
from ecg_assets_tests.evaluation.simulation import simulate_predictions

FACTS = {"source": "synthetic", "label_set": "ecg-fm-17", "exclusion": {"allow_flat": False}}
PLANTED = "patient-4711"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SourceStore:
    """Store two shards, the tables with a planted patient, and two evaluations."""
    store = Store(tmp_path_factory.mktemp("data")).source("synthetic")
    cohort = make_cohort(store.root)
    records = cohort.records.assign(subject_id=PLANTED)
    split = cohort.split.assign(subject_id=PLANTED)
    schemas = {"record_list": RECORD_LIST, "labels": LABELS, "split": SPLIT}
    frames = {"record_list": records, "labels": cohort.labels, "split": split}
    for name, schema in schemas.items():
        table = schema.from_pandas(frames[name])
        pq.write_table(table.cast(write_facts(table.schema, FACTS)), store.table_path(name))
    store.folder("eval_metrics").mkdir()
    for name, n_records in (("tiny-1", 60), ("tiny-2", 90)):
        predictions = simulate_predictions(n_records)
        predictions.subject_ids[:] = PLANTED
        result = evaluate_simulated(predictions, name, n_resamples=0)
        write_json(store.folder("eval_metrics") / f"{name}.json", result.to_json())
    return store


@pytest.fixture(scope="module")
def described(store: SourceStore) -> dict[str, Any]:
    return write_croissant(store, "Synthetic cohort", Statement())


def _fields(described: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    (found,) = [one for one in described["recordSet"] if one["name"] == name]
    return {field["name"]: field for field in found["field"]}


def test_the_file_is_what_was_described(store: SourceStore, described: dict[str, Any]) -> None:
    assert json.loads((store.root / "croissant.json").read_text("utf-8")) == described
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    names = ["record_list", "labels", "split", "signal_shards", "eval_metrics"]
    assert [one["name"] for one in described["recordSet"]] == names


def test_every_file_has_the_hash_of_its_bytes(
    store: SourceStore, described: dict[str, Any]
) -> None:
    files = [one for one in described["distribution"] if one["@type"] == "cr:FileObject"]
    assert len(files) == 3 + 2 + 2
    for one in files:
        content = (store.root / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["contentSize"] == f"{len(content)} B"
    sets = [one for one in described["distribution"] if one["@type"] == "cr:FileSet"]
    included = [name for one in sets for name in one["includes"]]
    assert included == [
        *("signal_shards/a.parquet", "signal_shards/b.parquet"),
        *("eval_metrics/tiny-1.json", "eval_metrics/tiny-2.json"),
    ]


@pytest.mark.parametrize(
    "schema", [RECORD_LIST, LABELS, SPLIT, shard_schema(LEADS)], ids=lambda schema: schema.name
)
def test_columns_are_those_of_the_declared_schema(
    described: dict[str, Any], schema: TableSchema
) -> None:
    fields = _fields(described, schema.name)
    meanings = {name: field["description"] for name, field in fields.items()}
    assert meanings == {column.name: column.meaning for column in schema.columns}
    for column in schema.columns:
        assert fields[column.name].get("isArray", False) == pa.types.is_list(column.type)


def test_what_a_table_was_made_with_is_said_of_it(described: dict[str, Any]) -> None:
    (labels,) = [one for one in described["recordSet"] if one["name"] == "labels"]
    assert labels["description"] == "labels, made with: label_set ecg-fm-17; source synthetic"


def test_no_patient_or_recording_is_in_it(store: SourceStore, described: dict[str, Any]) -> None:
    records = pq.read_table(store.table_path("record_list"))
    ids = {*records["record_id"].to_pylist(), *records["subject_id"].to_pylist()}
    assert PLANTED in ids
    assert not ids & set(re.findall(r"[\w-]+", json.dumps(described)))


def test_what_nobody_stated_is_not_there(store: SourceStore, described: dict[str, Any]) -> None:
    assert described["license"] == "not stated"
    assert not {"url", "citeAs", "creator", "datePublished"} & set(described)
    stated = describe_store(store, "A", Statement("CC BY 4.0", "https://example.org", "A 2024"))
    assert (stated["license"], stated["citeAs"]) == ("CC BY 4.0", "A 2024")


def test_what_is_not_stored_is_left_out(store: SourceStore, tmp_path: Path) -> None:
    part = Store(tmp_path).source("synthetic")
    with pytest.raises(SettingsError, match="Materialize record_list first"):
        write_croissant(part, "A", Statement())
    part.root.mkdir()
    part.table_path("record_list").write_bytes(store.table_path("record_list").read_bytes())
    assert [one["name"] for one in describe_store(part, "A", Statement())["recordSet"]] == [
        "record_list"
    ]


def test_a_column_that_one_evaluation_lacks_is_in_no_record(
    store: SourceStore, tmp_path: Path
) -> None:
    part = Store(tmp_path).source("synthetic")
    part.folder("eval_metrics").mkdir(parents=True)
    for name in ("tiny-1", "tiny-2"):
        text = (store.folder("eval_metrics") / f"{name}.json").read_text("utf-8")
        value = json.loads(text)
        if name == "tiny-2":
            for row in value["labels"]:
                del row["brier"]
        write_json(part.folder("eval_metrics") / f"{name}.json", value)
    fields = _fields(describe_store(part, "A", Statement()), "eval_metrics")
    assert "brier" not in fields
    assert {"checkpoint", "label", "auroc"} <= set(fields)


# Of the validator's own packages.
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")
def test_mlcroissant_finds_no_error_and_reads_the_records(
    store: SourceStore, described: dict[str, Any]
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="it comes with the extra dev")
    dataset = mlcroissant.Dataset(str(store.root / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    broken = json.dumps(described).replace('"@id": "labels.parquet"', '"@id": "gone"', 1)
    with pytest.raises(mlcroissant.ValidationError, match="labels"):
        mlcroissant.Dataset(json.loads(broken))
    read = {one["name"]: list(dataset.records(one["name"])) for one in described["recordSet"]}
    for name in ("record_list", "labels", "split"):
        assert len(read[name]) == pq.read_metadata(store.table_path(name)).num_rows
    shards = store.shard_paths().values()
    assert len(read["signal_shards"]) == sum(pq.read_metadata(path).num_rows for path in shards)
    first = pq.read_table(store.shard_paths()["a"]).slice(0, 1).to_pylist()[0]
    (found,) = [
        one
        for one in read["signal_shards"]
        if one["signal_shards/record_id"].decode() == first["record_id"]
    ]
    assert list(map(int, found["signal_shards/lead_I"])) == first["lead_I"]
    rows = read["eval_metrics"]
    assert [row["eval_metrics/checkpoint"] for row in rows] == [b"tiny-1"] * 3 + [b"tiny-2"] * 3
    assert [row["eval_metrics/n"] for row in rows] == [60] * 3 + [90] * 3
