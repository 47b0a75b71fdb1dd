"""What an asset's inputs were made with, compared with what the settings ask for now."""

from __future__ import annotations

import os
from typing import Any

import dagster as dg
import pandas as pd

from ecg_assets.build import Manifest
from ecg_assets.defs.data_versions import latest_metadata
from ecg_assets.defs.partitions import SHARDS
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import SettingsError, StaleInput
from ecg_assets.labels import LabelVocabulary
from ecg_assets.made_with import (
    LABEL_RULES,
    LABEL_SET,
    LABEL_STUDY,
    LABEL_THRESHOLD,
    LABEL_VOCABULARY,
    SOURCE,
    SPLIT_RULE,
    Facts,
    facts_of,
    require_made_with,
)
from ecg_assets.sources.datasets import look_up_dataset

_OF_LABELS = (LABEL_SET, LABEL_RULES, LABEL_VOCABULARY, LABEL_STUDY, LABEL_THRESHOLD)


def source_of(facts: Facts, settings: Settings) -> str:
    """Name the dataset that an input is of; that of now where an earlier version wrote it."""
    return str(facts.get(SOURCE, settings.source))


def require_source(
    settings: Settings, table: pd.DataFrame, name: str = "record_list"
) -> dict[str, Any]:
    """Give a table's facts; raise `StaleInput` unless it is of the dataset that is asked for."""
    facts = facts_of(table, name)
    require_made_with(facts, settings.source_facts(), where=name)
    return facts


def require_same_source(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Refuse to replace the shards of another dataset, unless that is made here at any time.

    Raises
    ------
    SettingsError
        With both datasets, and what to do for either.
    """
    n_shards = len(instance.get_dynamic_partitions(str(SHARDS.name)))
    source = latest_metadata(instance, "record_list").get("source")
    held = str(source.value) if source is not None else settings.source
    known = look_up_dataset(held)
    if not n_shards or held == settings.source or (known is not None and known.is_made_here):
        return
    asked = "is" if os.environ.get("ECG_SOURCE") else "is not set, so it is"
    raise SettingsError(
        f"This instance (DAGSTER_HOME) holds {n_shards} shards of {held}, and ECG_SOURCE {asked} "
        f"{settings.source}, whose shards would take their place. To go on with {held}, set "
        f"ECG_SOURCE={held}; in .env it counts for every shell. For {settings.source}, give it a "
        "DAGSTER_HOME of its own (under one ECG_DATA_DIR their results lie beside each other), or "
        "replace the shards: change_source: true in the run configuration of record_list, or "
        "python -m ecg_assets.defs.demo --change-source."
    )


def require_labels(settings: Settings, labels: pd.DataFrame) -> LabelVocabulary:
    """Give the vocabulary of labels; raise `StaleInput` unless they are those asked for."""
    facts = require_source(settings, labels, "labels")
    require_made_with(facts, settings.label_facts(), where="labels")
    return LabelVocabulary.from_json(facts[LABEL_VOCABULARY])


def require_split(settings: Settings, split: pd.DataFrame) -> None:
    """Raise `StaleInput` unless patients are split as is asked for."""
    facts = require_source(settings, split, "split")
    require_made_with(facts, {SPLIT_RULE: settings.split_rule}, where="split")


def require_manifest(settings: Settings, manifest: Manifest, *, with_labels: bool = True) -> None:
    """Raise `StaleInput` unless a manifest is what training is asked to read.

    Parameters
    ----------
    with_labels
        Whether its labels count; pre-training reads none.
    """
    if not manifest.made_with:
        raise StaleInput(
            "manifests do not say what they were made with: an earlier version wrote them. "
            "Materialize manifests again."
        )
    wanted = settings.manifest_facts()
    if not with_labels:
        wanted = {name: value for name, value in wanted.items() if name not in _OF_LABELS}
    require_made_with(manifest.made_with, wanted, where="manifests")
