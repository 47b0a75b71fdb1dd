"""What lies where of a source's results, in Croissant: files with hashes, columns with meanings.

Croissant 1.1, http://mlcommons.org/croissant/1.1, which data catalogues and loaders read. It
describes tables and never holds a row of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.result import EvaluationResult, read_own_results
from ecg_assets.lineage import fingerprint_file
from ecg_assets.made_with import plain_facts, read_facts
from ecg_assets.storage import replace_file, write_json
from ecg_assets.store import SourceStore

CROISSANT = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
NOT_STATED = "not stated"
TABLES = ("record_list", "labels", "split")
SHARDS, EVALUATIONS = "signal_shards", "eval_metrics"
SENSITIVE = (
    "The tables name recordings and patients by the dataset's own ids, with age and sex. This "
    "description holds none of them."
)

_PARQUET, _JSON = "application/x-parquet", "application/json"
_CONTEXT = Path(__file__).with_name("croissant_context.json")
_TYPES = {
    pa.bool_(): "sc:Boolean",
    pa.string(): "sc:Text",
    pa.int8(): "cr:Int8",
    pa.int16(): "cr:Int16",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
    pa.float32(): "cr:Float32",
    pa.float64(): "cr:Float64",
}
_KEYS = {
    "record_list": ("record_id",),
    "labels": ("record_id", "label"),
    "split": ("record_id",),
    SHARDS: ("record_id",),
    EVALUATIONS: ("checkpoint", "label"),
}
_OF_A_LABEL = {
    "label": "the label, or target",
    "n": "recordings in which it is known",
    "n_pos": "positive ones",
    "prevalence": "share of positive ones",
    "threshold": "score at and above which it is called",
}


@dataclass(frozen=True)
class Statement:
    """What only the owner of a dataset can say of it; what is empty is left out.

    Attributes
    ----------
    license
        Name or URL.
    url, cite_as, creator
        Page, citation and maker of the dataset.
    date_published
        As ISO 8601, e.g. ``2024-03-01``.
    """

    license: str = NOT_STATED
    url: str = ""
    cite_as: str = ""
    creator: str = ""
    date_published: str = ""

    def to_json(self) -> dict[str, Any]:
        """Properties of a schema.org Dataset."""
        creator = {"@type": "sc:Organization", "name": self.creator} if self.creator else ""
        properties = {
            "license": self.license or NOT_STATED,
            "url": self.url,
            "citeAs": self.cite_as,
            "creator": creator,
            "datePublished": self.date_published,
        }
        return {name: value for name, value in properties.items() if value}


def write_croissant(store: SourceStore, title: str, statement: Statement) -> dict[str, Any]:
    """Describe what is stored of a source, in ``croissant.json`` beside it.

    Parameters
    ----------
    store
        The source's results; what of them is not there is left out.
    title
        Name of the dataset.
    statement
        What its owner says.

    Returns
    -------
    dict
        Content of the file.

    Raises
    ------
    SettingsError
        When nothing is stored.
    """
    described = describe_store(store, title, statement)
    with replace_file(store.root / CROISSANT) as temporary:
        write_json(temporary, described)
    return described


def describe_store(store: SourceStore, title: str, statement: Statement) -> dict[str, Any]:
    """Give the content of ``croissant.json``, as `write_croissant`."""
    files: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for name in TABLES:
        path = store.table_path(name)
        if path.is_file():
            files.append(_file(path, store.root, _PARQUET))
            source = {"fileObject": {"@id": files[-1]["@id"]}}
            records.append(_table(name, pq.read_schema(path), source))
    if shards := list(store.shard_paths().values()):
        files += _files_and_set(SHARDS, shards, store.root, _PARQUET)
        source = {"fileSet": {"@id": f"{SHARDS}/files"}}
        records.append(_table(SHARDS, pq.read_schema(shards[0]), source))
    evaluations = read_own_results(store.folder(EVALUATIONS))
    if len(evaluations):
        paths = [store.folder(EVALUATIONS) / f"{name}.json" for name in evaluations]
        files += _files_and_set(EVALUATIONS, paths, store.root, _JSON)
        records.append(_evaluations(list(evaluations.values())))
    if not files:
        raise SettingsError(
            f"{store.root} holds nothing to describe. Materialize record_list first, with "
            f"ECG_SOURCE={store.name}."
        )
    return {
        "@context": json.loads(_CONTEXT.read_text(encoding="utf-8")),
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": store.name,
        "description": f"{title}: recordings, labels, split, signals and evaluations as ecg-assets "
        "stores them.",
        **statement.to_json(),
        "rai:personalSensitiveInformation": SENSITIVE,
        "distribution": files,
        "recordSet": records,
    }


def _file(path: Path, root: Path, form: str) -> dict[str, Any]:
    name = path.relative_to(root).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": form,
        "sha256": fingerprint_file(path),
    }


def _files_and_set(name: str, paths: Sequence[Path], root: Path, form: str) -> list[dict[str, Any]]:
    """Describe each file with its hash, and all of them as what records are read from."""
    files = [_file(path, root, form) for path in paths]
    includes = [file["@id"] for file in files]
    whole = {"@type": "cr:FileSet", "@id": f"{name}/files", "name": name, "encodingFormat": form}
    return [*files, {**whole, "includes": includes}]


def _record_set(name: str, description: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": [{"@id": f"{name}/{column}"} for column in _KEYS[name]],
        "field": fields,
    }


def _table(name: str, schema: pa.Schema, source: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a table by what its file says: columns, their meanings, what it was made with."""
    facts = plain_facts(read_facts(schema) or {})
    made_with = "; ".join(f"{fact} {value}" for fact, value in facts.items())
    fields = [
        _field(name, one.name, one.type, (one.metadata or {}).get(b"meaning", b"").decode())
        | {"source": {**source, "extract": {"column": one.name}}}
        for one in schema
    ]
    text = f"{name}, made with: {made_with}" if made_with else name
    return _record_set(name, text, fields)


def _evaluations(results: Sequence[EvaluationResult]) -> dict[str, Any]:
    """Describe the rows of labels in all evaluations, by the columns that all of them have."""
    columns = results[0].labels.columns
    for result in results:
        columns = columns[columns.isin(result.labels.columns)]
    fields = [
        _field(EVALUATIONS, "checkpoint", pa.string(), "file of the evaluation, by its checkpoint")
        | _from_evaluations({"fileProperty": "filename"}, {"regex": r"^(.*)\.json$"})
    ]
    for column in columns:
        is_count = pd.api.types.is_integer_dtype(results[0].labels[column])
        is_number = pd.api.types.is_numeric_dtype(results[0].labels[column])
        kind = pa.int64() if is_count else pa.float64() if is_number else pa.string()
        field = _field(EVALUATIONS, str(column), kind, _OF_A_LABEL.get(str(column), ""))
        fields.append(field | _from_evaluations({"jsonPath": f"labels[*].{column}"}))
    return _record_set(EVALUATIONS, "each label's numbers in each evaluation", fields)


def _from_evaluations(
    extract: Mapping[str, str], transform: Mapping[str, str] | None = None
) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": f"{EVALUATIONS}/files"}, "extract": extract}
    return {"source": source | ({"transform": transform} if transform else {})}


def _field(name: str, column: str, kind: pa.DataType, meaning: str) -> dict[str, Any]:
    field: dict[str, Any] = {"@type": "cr:Field", "@id": f"{name}/{column}", "name": column}
    field |= {"description": meaning} if meaning else {}
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        field |= {"isArray": True, "arrayShape": "-1"}
        kind = kind.value_type
    of_time = "sc:DateTime" if pa.types.is_timestamp(kind) else "sc:Text"
    return field | {"dataType": _TYPES.get(kind, of_time)}
