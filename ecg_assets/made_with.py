"""What a stored thing was made with: facts by value, in the thing itself.

A table, shard, manifest, prediction or checkpoint says which data and which settings shaped it.
Later stages read these facts from their inputs; settings only say what to make next. Where both
are at hand they are compared, and a difference stops the run with both printed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from ecg_assets.errors import StaleInput

Facts = Mapping[str, Any]
"""Name of a fact to its JSON value."""

KEY = b"made_with"
"""Key of the facts in the metadata of an Arrow schema or a Parquet file."""
_ATTRIBUTE = "made_with"

SOURCE, SOURCE_SETTINGS, RECORDS = "source", "source_settings", "record_list_sha256"
REPORTS = "machine_reports_sha256"
LABEL_SET, LABEL_RULES, LABEL_THRESHOLD = "label_set", "label_rules", "label_threshold"
LABEL_VOCABULARY, LABEL_STUDY = "label_vocabulary", "label_study"
SPLIT_RULE = "split_rule"
STORED_LEADS, SIGNAL_QUALITY = "stored_leads", "signal_quality"
SHARD_RECORDS = "shard_records_sha256"
SIGNAL_SPEC, EXCLUSION, TRAIN_LIMIT = "signal_spec", "exclusion", "train_limit"

MADE_BY = {
    SOURCE: ("ECG_SOURCE", "record_list"),
    SOURCE_SETTINGS: ("ECG_SYNTHETIC_RECORDS, ECG_FOLDERS_PER_SHARD", "record_list"),
    RECORDS: ("", "machine_reports, labels and split"),
    REPORTS: ("", "labels"),
    LABEL_SET: ("ECG_LABEL_SET", "labels"),
    LABEL_RULES: ("ECG_LABEL_SET", "labels"),
    LABEL_VOCABULARY: ("ECG_LABEL_SET", "labels"),
    LABEL_STUDY: ("ECG_LABEL_SET", "labels"),
    LABEL_THRESHOLD: ("ECG_LABEL_THRESHOLD", "labels"),
    SPLIT_RULE: (
        "ECG_SEED, ECG_SPLIT, ECG_LABEL_SET, ECG_VALID_SHARE, ECG_TEST_SHARE, ECG_META_SPLIT",
        "split",
    ),
    STORED_LEADS: ("ECG_STORED_LEADS", "signal_shards"),
    SIGNAL_QUALITY: ("ECG_SIGNAL_QUALITY", "signal_shards"),
    SIGNAL_SPEC: (
        "ECG_PRESET, ECG_SIGNAL_KIND, ECG_LEADS, ECG_RECORD_PART, ECG_SEGMENT_S, ECG_RESAMPLING",
        "manifests",
    ),
    EXCLUSION: ("ECG_FLAWED_RECORDS", "manifests"),
    TRAIN_LIMIT: ("ECG_MAX_PER_CONDITION, ECG_SEED", "manifests"),
}
"""Each fact: the settings that choose it, and the asset that it is decided in."""


def with_facts(frame: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    """Give a frame the facts that go into its file, in its ``attrs``."""
    frame.attrs[_ATTRIBUTE] = dict(facts)
    return frame


def known_facts(frame: pd.DataFrame) -> dict[str, Any]:
    """Read the facts that a frame has; empty for one that was made by hand."""
    return dict(frame.attrs.get(_ATTRIBUTE, {}))


def facts_of(frame: pd.DataFrame, name: str) -> dict[str, Any]:
    """Read the facts of a table as its file gave them.

    Raises
    ------
    StaleInput
        When it has none: an earlier version wrote it.
    """
    facts = frame.attrs.get(_ATTRIBUTE)
    if facts is None:
        raise StaleInput(
            f"{name} does not say what it was made with: an earlier version wrote it. "
            f"Materialize {name} again."
        )
    return dict(facts)


def plain_facts(facts: Facts) -> dict[str, Any]:
    """Keep the facts that are one number or word, for people to read; hashes come last.

    >>> plain_facts({"record_list_sha256": "4f", "source": "ptb-xl", "exclusion": {}})
    {'source': 'ptb-xl', 'record_list_sha256': '4f'}
    """
    plain = {k: v for k, v in facts.items() if isinstance(v, str | int | float | bool)}
    return dict(sorted(plain.items(), key=lambda fact: fact[0].endswith("_sha256")))


def write_facts(schema: pa.Schema, facts: Facts) -> pa.Schema:
    """Add facts to the metadata of an Arrow schema, beside what is there."""
    text = json.dumps(dict(facts), ensure_ascii=False, sort_keys=True)
    return schema.with_metadata({**(schema.metadata or {}), KEY: text.encode()})


def read_facts(schema: pa.Schema) -> dict[str, Any] | None:
    """Read the facts in the metadata of an Arrow schema; None where there are none."""
    text = (schema.metadata or {}).get(KEY)
    return None if text is None else dict(json.loads(text))


def frame_with_facts(table: pa.Table) -> pd.DataFrame:
    """Turn a stored table into a frame that keeps its facts."""
    frame: pd.DataFrame = table.to_pandas()
    frame.attrs.clear()
    facts = read_facts(table.schema)
    return frame if facts is None else with_facts(frame, facts)


def combine_facts(parts: Mapping[str, Facts]) -> dict[str, Any]:
    """Join what several inputs were made with.

    Parameters
    ----------
    parts
        Name of each input to its facts.

    Raises
    ------
    StaleInput
        When two inputs say different things of one fact; both are printed.

    >>> combine_facts({"labels": {"source": "synthetic"}, "split": {"split_rule": "folds"}})
    {'source': 'synthetic', 'split_rule': 'folds'}
    """
    found: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for name, facts in parts.items():
        for fact, value in facts.items():
            if fact in found and found[fact] != value:
                asset = MADE_BY[fact][1] if fact in MADE_BY else f"{said_by[fact]} and {name}"
                raise StaleInput(
                    f"{said_by[fact]} and {name} were made from different things: {fact} is "
                    f"{_show(found[fact])} in {said_by[fact]}, {_show(value)} in {name}. "
                    f"Materialize {asset} again, and what follows from it."
                )
            found.setdefault(fact, value)
            said_by.setdefault(fact, name)
    return found


def require_made_with(found: Facts, wanted: Facts, *, where: str) -> None:
    """Compare what an input was made with and what the settings say now.

    Parameters
    ----------
    found
        Facts of the input; one that it does not state is not compared.
    wanted
        Facts as the settings would make them.
    where
        The input, for the message.

    Raises
    ------
    StaleInput
        With both values of each fact that differs, and what to do.
    """
    differing = [name for name in wanted if name in found and found[name] != wanted[name]]
    if not differing:
        return
    lines = [
        f"  {name}: {where} {_show(found[name])}, settings now {_show(wanted[name])}"
        for name in differing
    ]
    settings = ", ".join(dict.fromkeys(MADE_BY[name][0] for name in differing))
    assets = ", ".join(dict.fromkeys(MADE_BY[name][1] for name in differing))
    raise StaleInput(
        f"{where} was made with other settings than those now.\n" + "\n".join(lines) + "\n"
        f"Materialize {assets} again and what follows from it, or set {settings} as it was."
    )


_LONGEST = 200


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
