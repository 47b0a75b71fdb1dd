"""A request to fine-tune with fairseq-signals, from settings; all is checked before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import dagster as dg

from ecg_assets.defs.data_versions import (
    input_version_of,
    manifest_inputs,
    stored_versions,
    version_of,
)
from ecg_assets.defs.resources import FairseqSignalsResource, Settings
from ecg_assets.errors import SettingsError
from ecg_assets.finetune.fairseq_call import FairseqOptions
from ecg_assets.finetune.fairseq_data import find_fairseq_data
from ecg_assets.finetune.fairseq_request import FairseqRequest, fingerprint_pretrained
from ecg_assets.finetune.presets import PRESETS
from ecg_assets.finetune.recipe import Recipe


def build_fairseq_request(
    instance: dg.DagsterInstance,
    settings: Settings,
    fairseq_signals: FairseqSignalsResource,
    *,
    preset: str,
    pretrained: str,
    n_labels: int,
    changes: Mapping[str, Any],
) -> FairseqRequest:
    """Build the request; quick checks come first, the interpreter is probed last.

    Parameters
    ----------
    preset
        A name in `PRESETS`.
    pretrained
        A .pt file of fairseq-signals.
    n_labels
        Labels of the manifests.
    changes
        What the run changes; all must be fields of the recipe.

    Raises
    ------
    SettingsError
        When anything is missing or does not fit; the message says what to do.
    """
    if preset not in PRESETS:
        raise SettingsError(f"ECG_PRESET is {preset!r}; allowed: {tuple(PRESETS)}.")
    foreign = sorted(set(changes) - {item.name for item in fields(Recipe)})
    if foreign:
        raise SettingsError(
            f"The run's configuration sets {foreign}, which only the native trainer has. Leave "
            "them out, or set trainer: native."
        )
    recipe = replace(PRESETS[preset], **changes)
    start = fingerprint_pretrained(pretrained)
    data = find_fairseq_data(
        settings.folder("fairseq_manifests"), n_labels=n_labels, with_test=recipe.reports_test
    )
    _require_current_manifests(instance)
    options = FairseqOptions.from_recipe(
        recipe, pos_weight=data.pos_weight, seed=settings.seed, precision=settings.precision
    )
    return FairseqRequest(
        preset=preset,
        recipe=recipe,
        manifest_folder=settings.folder("manifests"),
        shard_folder=settings.folder("signal_shards"),
        cache_folder=settings.folder("cache"),
        output_folder=settings.checkpoints,
        inputs={
            **manifest_inputs(instance),
            **stored_versions(instance, ["fairseq_manifests"], partitioned=["mat_records"]),
            **start,
        },
        pretrained=Path(pretrained).resolve(),
        trained_on={"source": settings.source, "split_rule": settings.split_rule},
        seed=settings.seed,
        device=settings.device,
        precision=settings.precision,
        options=replace(
            options, n_gpus=fairseq_signals.n_gpus, n_workers=fairseq_signals.n_workers
        ),
        data_folder=data.folder,
        install=fairseq_signals.probe(),
    )


def _require_current_manifests(instance: dg.DagsterInstance) -> None:
    """Check that the .tsv files have the split and labels of the manifests as they are now.

    Otherwise patients of today's test split could be trained on.
    """
    used = input_version_of(instance, "fairseq_manifests", "manifests")
    current = version_of(instance, "manifests")
    if used is None or used != current:
        raise SettingsError(
            f"fairseq_manifests were made from manifests {str(used)[:12]}, stored now are "
            f"{str(current)[:12]}: split or labels may differ. Materialize fairseq_manifests again."
        )
