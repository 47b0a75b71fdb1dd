"""A checkpoint evaluated on every other source that is stored beside the current one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.build import (
    Manifest,
    QualityPolicy,
    SignalCache,
    build_manifest,
    fingerprint_manifest,
)
from ecg_assets.build.builder import keep_scorable
from ecg_assets.errors import DiskFull, EcgAssetsError, SchemaError, SettingsError
from ecg_assets.evaluation.evaluate import evaluate_checkpoint
from ecg_assets.evaluation.external.crosswalk import crosswalk, unmapped_labels
from ecg_assets.evaluation.external.labels import (
    find_stored_coding,
    find_stored_labels,
    label_external,
    widen_labels,
)
from ecg_assets.evaluation.leakage import StageOverlap
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.sets import (
    EvaluationSet,
    Relation,
    choose_part,
    choose_unseen_rows,
    relate,
)
from ecg_assets.labels import LabelSet, require_same_labels
from ecg_assets.labels.codings import OWN, is_own
from ecg_assets.labels.label_set import label_set_of
from ecg_assets.made_with import LABEL_THRESHOLD, SOURCE, Facts
from ecg_assets.models.checkpoint_folder import (
    CheckpointCard,
    checkpoint_content_sha256,
    read_validation_predictions,
    validation_scores_path,
)
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.models.seen_patients import SeenPatients, read_seen_patients
from ecg_assets.sources.datasets import (
    datasets,
    list_known,
    look_up_dataset,
    shared_recordings,
)
from ecg_assets.sources.ecgbench import PREFIX
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.storage import replace_folder, write_json
from ecg_assets.store import SourceStore

# Another stored dataset as an evaluation set of a checkpoint.


@dataclass(frozen=True)
class ExternalSet:
    """Recordings of another dataset, labelled as far as its coding can.

    Attributes
    ----------
    source
        The dataset.
    evaluation_set
        Which recordings of it.
    relation, note
        What it is to the checkpoint; and why it is not external, and how many of its recordings
        hold no signal, where there is something to say.
    overlaps
        What each training behind the checkpoint saw of its patients.
    manifest
        The recordings, with the checkpoint's signal spec, and those of its labels that the
        coding can express.
    unmapped
        Its other labels, each with the reason.
    """

    source: str
    evaluation_set: EvaluationSet
    relation: Relation
    note: str
    overlaps: list[StageOverlap]
    manifest: Manifest
    unmapped: dict[str, str]


def explain_relation(source: str, seen: SeenPatients) -> str:
    """Say why a dataset is not external to a checkpoint; empty where it is.

    >>> from pathlib import Path
    >>> explain_relation("code-15", read_seen_patients(Path("weights from elsewhere")))
    'What the checkpoint was trained on is unknown; it may have seen these recordings.'
    """
    relation = relate(seen, source)
    if relation == Relation.UNKNOWN:
        return "What the checkpoint was trained on is unknown; it may have seen these recordings."
    if relation == Relation.OWN:
        return "The checkpoint was trained on the other splits of this dataset."
    if relation == Relation.SHARED:
        shared = [(stage, shared_recordings(source, stage.source)) for stage in seen.stages]
        return " ".join(
            f"{how} {stage.name} was trained on {stage.source}: not an external set."
            for stage, how in shared
            if how
        )
    return ""


def build_external_set(
    stored: SourceStore,
    card: CheckpointCard,
    label_set: LabelSet,
    *,
    threshold: float = 0.5,
    quality: QualityPolicy | None = None,
) -> ExternalSet:
    """Label another dataset's stored recordings anew and choose those to evaluate on.

    Parameters
    ----------
    stored
        The dataset's results.
    card
        The checkpoint: its signal spec replaces that of the dataset's own manifests.
    label_set
        Rules of the checkpoint's labels.
    threshold
        Lowest probability that makes a label true.
    quality
        Which recordings are good enough; `QualityPolicy()` by default.

    Raises
    ------
    SpecMismatch
        When the label set's labels are not the checkpoint's, or the coding expresses none.
    SchemaError
        When the shards lack a lead of the spec, or no recording is left.
    LeakageError
        When the training saw patients of what is the test split now.
    """
    asked = label_set.vocabulary.aggregated(card.spec.aggregation)
    require_same_labels(card.vocabulary, asked, where="the current label set")
    seen = read_seen_patients(card.folder)
    records = stored.read_table(RECORD_LIST)
    external = label_external(
        stored.read_table(MACHINE_REPORTS), label_set, threshold=threshold, records=records
    )
    manifest = build_manifest(
        records,
        external.labels,
        stored.read_table(SPLIT),
        stored.shards,
        spec=card.spec,
        vocabulary=external.label_set.vocabulary,
        quality=quality,
    )
    part = choose_part(seen, stored.name, gave_thresholds=False)
    rows, overlaps = choose_unseen_rows(seen, manifest, stored.name, part)
    scorable = keep_scorable(manifest, rows, stored.shards)
    if not len(scorable):
        raise SchemaError(f"No usable recording of {stored.name} is in its test split.")
    silent = len(rows) - len(scorable)
    without = f"{silent} recordings without signal have no score." if silent else ""
    return ExternalSet(
        source=stored.name,
        evaluation_set=EvaluationSet(stored.name, part),
        relation=relate(seen, stored.name),
        note=" ".join(filter(None, (explain_relation(stored.name, seen), without))),
        overlaps=overlaps,
        manifest=manifest.take(scorable),
        unmapped=external.unmapped,
    )


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


@dataclass(frozen=True)
class ExternalEvaluation:
    """A checkpoint, and all that its evaluation on any other source needs.

    Attributes
    ----------
    stored
        The current source's results, which the external ones lie beside.
    card
        The checkpoint.
    load_label_set, threshold
        Rules of its labels where it does not say what they were made with.
    quality
        Which recordings are good enough.
    device, precision, n_resamples, seed
        How scores and intervals are computed.
    lineage
        Inputs of its training, by name, to their content's hash.
    """

    stored: SourceStore
    card: CheckpointCard
    load_label_set: Callable[[], LabelSet]
    threshold: float
    quality: QualityPolicy
    device: str
    precision: str
    n_resamples: int
    seed: int
    lineage: Mapping[str, str] = field(default_factory=dict)

    def run(self, sources: Sequence[str], log: Callable[[str], None]) -> EvaluatedSets:
        """Evaluate on each source; one that cannot be evaluated is skipped with its reason.

        Predictions and the overview are written to ``external_predictions/<checkpoint>``.
        """
        folder = self.card.folder
        path = validation_scores_path(folder, self.stored)
        validation = read_validation_predictions(folder, path)
        results, overview = [], []
        target = self.stored.folder("external_predictions") / folder.name
        with replace_folder(target) as temporary:
            for name in sources:
                try:
                    result, external = self._evaluate(name, validation, temporary)
                except DiskFull:  # no fault of the set
                    raise
                except EcgAssetsError as error:
                    overview.append(_skipped(name, str(error)))
                else:
                    results.append(result)
                    overview.append(_evaluated(external))
                log(f"{name}: {overview[-1]['state']} {overview[-1]['note']}")
            write_json(temporary / SETS, overview)
        return EvaluatedSets(results, overview)

    def _evaluate(
        self, source: str, validation: ValidationPredictions, folder: Path
    ) -> tuple[EvaluationResult, ExternalSet]:
        """Evaluate on one source, and write its predictions into a folder."""
        stored = self.stored.store.source(source)
        external = self._build(stored)
        predictions, signals = self._predict(external, stored)
        pq.write_table(predictions.to_table(), folder / f"{source}.parquet", compression="zstd")
        made_from = {
            "checkpoint": checkpoint_content_sha256(self.card.folder),
            "weights": self.card.weights_sha256,
            f"manifest of {source}": fingerprint_manifest(external.manifest),
            f"signals of {source}": signals,
        }
        result = evaluate_checkpoint(
            validation,
            widen_labels(predictions, self.card.vocabulary, external.unmapped),
            checkpoint=self.card.folder.name,
            evaluation_set=external.evaluation_set,
            relation=external.relation,
            seen_in_training=external.overlaps,
            signal_spec=self.card.spec.to_json(),
            lineage=made_from | dict(self.lineage),
            n_resamples=self.n_resamples,
            seed=self.seed,
            unmapped=external.unmapped,
        )
        return result, external

    def _build(self, stored: SourceStore) -> ExternalSet:
        stored.require_complete()
        facts = self.card.trained_on
        return build_external_set(
            stored,
            self.card,
            label_set_of(facts) or self.load_label_set(),
            threshold=facts.get(LABEL_THRESHOLD, self.threshold),
            quality=self.quality,
        )

    def _predict(self, external: ExternalSet, stored: SourceStore) -> tuple[Predictions, str]:
        """Score the set's recordings; give also the hash of their signals."""
        from ecg_assets.evaluation.predict import predict_some_labels

        index, cache = external.manifest.index, self.stored.cache
        signals = SignalCache.open(index, stored.shards, self.card.spec, cache)
        predictions = predict_some_labels(
            self.card.folder,
            external.manifest,
            signals,
            device=self.device,
            precision=self.precision,
        )
        return predictions, signals.folder.name


def choose_sources(stored: SourceStore, asked: Sequence[str]) -> list[str]:
    """Name the other sources that are asked for, or else all with a folder of results.

    The current source is not among them: `eval_metrics` is of it.

    Raises
    ------
    SettingsError
        When an unknown source is asked for.
    """
    unknown = sorted(name for name in set(asked) if look_up_dataset(name) is None)
    if unknown:
        raise SettingsError(
            f"The run's configuration names the sets {unknown}; allowed: {list_known(unknown)}"
        )
    of_ecgbench = sorted({path.name for path in stored.store.root.glob(f"{PREFIX}*")} | {*asked})
    known = dict.fromkeys([*datasets(), *(n for n in of_ecgbench if n.startswith(PREFIX))])
    wanted = asked or [name for name in known if stored.store.source(name).root.is_dir()]
    return [name for name in known if name in wanted and name != stored.name]


def find_unmapped(stored: SourceStore, facts: Facts, labels: Sequence[str]) -> dict[str, str]:
    """Find labels that the evaluated source's codes cannot express, each with the reason.

    No code of theirs says nothing of a recording: it is not their negative.

    Parameters
    ----------
    facts
        What the evaluated labels were made with.
    """
    label_set = label_set_of(facts)
    dataset = look_up_dataset(str(facts.get(SOURCE)))
    if label_set is None or dataset is None:
        return {}
    own = tuple(c.removeprefix(OWN) for c in label_set.concepts if is_own(c))
    of_dataset = stored.store.source(dataset.name)
    table = crosswalk(
        label_set,
        find_stored_coding(dataset, of_dataset),
        own_labels=own or find_stored_labels(of_dataset),
        threshold=facts[LABEL_THRESHOLD],
    )
    return {name: why for name, why in unmapped_labels(table).items() if name in labels}


def overview_table(overview: list[dict[str, Any]]) -> pd.DataFrame:
    """Table of an overview, with its columns even without a row."""
    columns = list(_skipped("", ""))
    return pd.DataFrame(overview, columns=columns)


def _evaluated(external: ExternalSet) -> dict[str, Any]:
    return {
        "source": external.source,
        "evaluation_set": external.evaluation_set.describe(external.relation),
        "state": "evaluated",
        "records": len(external.manifest.index),
        "labels": len(external.manifest.vocabulary),
        "note": external.note,
    }


def _skipped(source: str, reason: str) -> dict[str, Any]:
    empty = {"evaluation_set": "", "state": "skipped", "records": 0, "labels": 0}
    return {"source": source, **empty, "note": reason}
