"""Which other sources are stored beside the current one, and a checkpoint evaluated on each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.build import SignalCache, fingerprint_manifest
from ecg_assets.defs.evaluation_set import validation_scores_path
from ecg_assets.defs.resources import Settings
from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.evaluation import EvaluationResult, evaluate_checkpoint
from ecg_assets.evaluation.external.crosswalk import crosswalk, unmapped_labels
from ecg_assets.evaluation.external.crosswalk_codes import SOURCE_CODINGS
from ecg_assets.evaluation.external.external_labels import list_own_labels, widen_labels
from ecg_assets.evaluation.external.external_set import ExternalSet, build_external_set
from ecg_assets.evaluation.external.stored_source import StoredSource
from ecg_assets.models.checkpoint_files import CheckpointCard, read_validation_predictions
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.sources import SOURCE_NAMES, Folder
from ecg_assets.storage import replace_folder

SETS = "sets.json"
"""File beside the external predictions: each set with its state and reason."""


@dataclass(frozen=True)
class EvaluatedSets:
    """What a checkpoint's evaluation on other sources came to.

    Attributes
    ----------
    results
        One a set that could be evaluated.
    overview
        One row a set: ``source, evaluation_set, state`` (evaluated or skipped), ``records,
        labels`` (that it can express) and ``note``: why it was skipped, or is not external.
    """

    results: list[EvaluationResult]
    overview: list[dict[str, Any]]


def evaluate_sets(
    settings: Settings,
    card: CheckpointCard,
    lineage: dict[str, str],
    log: Callable[[str], None],
) -> EvaluatedSets:
    """Evaluate a checkpoint on every other source that is stored or asked for.

    A set that cannot be evaluated is skipped with its reason. Predictions and the overview are
    written to ``external_predictions/<checkpoint>``.
    """
    path = validation_scores_path(settings, card.folder)
    validation = read_validation_predictions(card.folder, path)
    evaluation = _Evaluation(settings, card, validation, lineage)
    results, overview = [], []
    with replace_folder(settings.folder("external_predictions") / card.folder.name) as folder:
        for name in choose_sources(settings):
            stored = StoredSource(name, settings.data_path / name)
            try:
                result, external = evaluation.evaluate(stored, folder)
            except EcgAssetsError as error:
                overview.append(_skipped(name, str(error)))
            else:
                results.append(result)
                overview.append(_evaluated(external))
            log(f"{name}: {overview[-1]['state']} {overview[-1]['note']}")
        (folder / SETS).write_text(json.dumps(overview, indent=1) + "\n", encoding="utf-8")
    return EvaluatedSets(results, overview)


def choose_sources(settings: Settings) -> list[str]:
    """Name the sources that ECG_EVALUATION_SETS asks for, or else all with a folder of results.

    The current source is not among them: `eval_metrics` is of it.
    """
    unknown = sorted(set(settings.evaluation_sets) - set(SOURCE_NAMES))
    if unknown:
        raise SettingsError(
            f"ECG_EVALUATION_SETS names {unknown}; allowed: {', '.join(SOURCE_NAMES)}."
        )
    stored = [name for name in SOURCE_NAMES if (settings.data_path / name).is_dir()]
    wanted = settings.evaluation_sets or stored
    return [name for name in SOURCE_NAMES if name in wanted and name != settings.source]


def find_own_labels(settings: Settings) -> tuple[str, ...]:
    """Labels of a folder of the user's own: the current source's, or a stored one's."""
    if settings.source == "folder":
        source = settings.open_source()
        return source.read_label_names() if isinstance(source, Folder) else ()
    stored = StoredSource("folder", settings.data_path / "folder")
    return () if stored.find_missing() else list_own_labels(stored.read_reports())


def find_unmapped(settings: Settings, labels: Sequence[str]) -> dict[str, str]:
    """Find labels that the current source's codes cannot express, each with the reason.

    No code of theirs says nothing of a recording: it is not their negative.
    """
    table = crosswalk(
        settings.load_label_set(),
        SOURCE_CODINGS[settings.source],
        own_labels=find_own_labels(settings),
        threshold=settings.label_threshold,
    )
    return {name: why for name, why in unmapped_labels(table).items() if name in labels}


@dataclass(frozen=True)
class _Evaluation:
    """A checkpoint and all that its evaluation on any set needs."""

    settings: Settings
    card: CheckpointCard
    validation: ValidationPredictions
    lineage: dict[str, str]

    def evaluate(self, stored: StoredSource, folder: Path) -> tuple[EvaluationResult, ExternalSet]:
        """Evaluate on one source, and write its predictions into a folder."""
        external = self._build(stored)
        predictions, signals = self._predict(external, stored)
        path = folder / f"{stored.name}.parquet"
        pq.write_table(predictions.to_table(), path, compression="zstd")
        made_from = {
            "checkpoint": self.card.fingerprint,
            f"manifest of {stored.name}": fingerprint_manifest(external.manifest),
            f"signals of {stored.name}": signals,
        }
        result = evaluate_checkpoint(
            self.validation,
            widen_labels(predictions, self.card.vocabulary, external.unmapped),
            checkpoint=self.card.folder.name,
            source=stored.name,
            evaluation_set=external.kind.name,
            signal_spec=self.card.spec.to_json(),
            lineage=made_from | self.lineage,
            n_resamples=self.settings.n_resamples,
            seed=self.settings.seed,
            unmapped=external.unmapped,
        )
        return result, external

    def _build(self, stored: StoredSource) -> ExternalSet:
        missing = stored.find_missing()
        if missing:
            raise SettingsError(
                f"{stored.folder} lacks {', '.join(missing)}. Materialize up to manifests with "
                f"ECG_SOURCE={stored.name}."
            )
        return build_external_set(
            stored,
            self.card,
            self.settings.load_label_set(),
            self.validation,
            threshold=self.settings.label_threshold,
            quality=self.settings.quality_policy,
        )

    def _predict(self, external: ExternalSet, stored: StoredSource) -> tuple[Predictions, str]:
        """Score the set's recordings; give also the fingerprint of their signals."""
        from ecg_assets.evaluation.predict import predict_some_labels

        cache = self.settings.folder("cache")
        index = external.manifest.index
        signals = SignalCache.open(index, stored.shard_folder, self.card.spec, cache)
        predictions = predict_some_labels(
            self.card.folder,
            external.manifest,
            signals,
            device=self.settings.device,
            precision=self.settings.precision,
        )
        return predictions, signals.folder.name


def _evaluated(external: ExternalSet) -> dict[str, Any]:
    return {
        "source": external.source,
        "evaluation_set": external.kind.name,
        "state": "evaluated",
        "records": len(external.manifest.index),
        "labels": len(external.manifest.vocabulary),
        "note": external.kind.note,
    }


def _skipped(source: str, reason: str) -> dict[str, Any]:
    empty = {"evaluation_set": "", "state": "skipped", "records": 0, "labels": 0}
    return {"source": source, **empty, "note": reason}


def overview_table(overview: list[dict[str, Any]]) -> pd.DataFrame:
    """Table of an overview, with its columns even without a row."""
    columns = list(_skipped("", ""))
    return pd.DataFrame(overview, columns=columns)
