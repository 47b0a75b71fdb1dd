"""What steps compute with a model, as functions that run in the step or in a child of it.

Belongs here: a function for each such computation. Its first argument tells of progress, the
others are plain values, which reach another machine in a file. What needs torch is imported inside:
a step whose computing is done elsewhere loads none. `resources.Trainer.computing` calls them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import training_inputs
from ecg_assets.evaluation.external.evaluate_sets import EvaluatedSets, ExternalEvaluation
from ecg_assets.models.checkpoint_folder import read_card
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import ShardDataset
from ecg_assets.store import SourceStore
from ecg_assets.training.fairseq_signals.install import FairseqInstall, probe_fairseq
from ecg_assets.training.finetune.request import FinetuneRequest

Report = Callable[[str], None]
"""Tells how far a computation is."""
P = ParamSpec("P")
T = TypeVar("T")


class Compute(Protocol):
    """Calls a function of a module, here or in a child, and gives what it returns."""

    def __call__(
        self, function: Callable[Concatenate[Report, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call it with what tells of its progress, and these values."""
        ...


def compute_silently(
    function: Callable[Concatenate[Report, P], T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call a function here, for those who want to know nothing but its result."""
    return function(lambda _: None, *args, **kwargs)


def _tells_signals(report: Report) -> Callable[[int, int], None]:
    """Tell how many of all records' signals were read."""
    return lambda done, total: report(f"signals of {done} of {total} records read")


def score(
    report: Report,
    settings: Settings,
    checkpoint: Path,
    manifest: Manifest,
    *,
    stored: SourceStore,
    rows: Mapping[str, NDArray[np.int64]],
) -> dict[str, Predictions]:
    """Score sets of rows of a source's manifest, each named, by a checkpoint."""
    from ecg_assets.evaluation.predict import predict_checkpoint

    signals = SignalCache.open(
        manifest.index,
        stored.shards,
        manifest.spec,
        stored.cache,
        progress=_tells_signals(report),
    )
    where = {"device": settings.device, "precision": settings.precision}
    return {
        name: predict_checkpoint(checkpoint, manifest, signals, some, **where)
        for name, some in rows.items()
    }


def score_lead_sets(
    report: Report, settings: Settings, checkpoint: Path, manifest: Manifest, leads: tuple[str, ...]
) -> tuple[dict[str, Predictions], dict[str, str]]:
    """Score recordings with each configuration of the stored leads; say why others cannot be."""
    from ecg_assets.evaluation.predict import predict_lead_sets

    stored = settings.stored
    return predict_lead_sets(
        checkpoint,
        manifest,
        lambda spec: SignalCache.open(manifest.index, stored.shards, spec, stored.cache),
        leads,
        device=settings.device,
        precision=settings.precision,
    )


def apply(
    report: Report,
    settings: Settings,
    checkpoint: Path,
    shards: ShardDataset,
    *,
    embeddings: Path | None,
    scores: Path,
) -> Counter[str]:
    """Write embeddings, if wanted, and scores of all stored recordings; count them by why none."""
    from ecg_assets.models.apply import apply_to_shards, write_applied
    from ecg_assets.models.checkpoint import load_trained

    trained = load_trained(checkpoint)
    return write_applied(
        apply_to_shards(
            trained,
            shards,
            device=settings.device,
            precision=settings.precision,
        ),
        trained.vocabulary,
        embeddings,
        scores,
        progress=lambda done: report(f"{done} recordings"),
    )


def explain(
    report: Report,
    settings: Settings,
    checkpoint: Path,
    signals: pa.Table,
    *,
    label: int,
    method: str,
) -> list[NDArray[np.float32]]:
    """Weigh the samples of recordings, as `explain_recordings` does."""
    from ecg_assets.models.checkpoint import load_trained
    from ecg_assets.models.device import choose_device
    from ecg_assets.models.saliency import explain_recordings

    trained = load_trained(checkpoint)
    trained.model.to(choose_device(settings.device))
    return explain_recordings(trained, signals, label, method)


def evaluate_elsewhere(
    report: Report, settings: Settings, checkpoint: Path, sources: list[str], n_resamples: int
) -> EvaluatedSets:
    """Evaluate a checkpoint on other sources."""
    card = read_card(checkpoint)
    evaluation = ExternalEvaluation(
        settings.stored,
        card,
        load_label_set=settings.load_label_set,
        threshold=settings.label_threshold,
        quality=settings.quality_policy,
        device=settings.device,
        precision=settings.precision,
        n_resamples=n_resamples,
        seed=settings.seed,
        lineage=training_inputs(card),
    )
    return evaluation.run(sources, report)


def reproduce_loss(
    report: Report, settings: Settings, checkpoint: Path, manifest: Manifest
) -> float:
    """Compute a checkpoint's validation loss from its files."""
    from ecg_assets.models.checkpoint import load_trained
    from ecg_assets.training.finetune.validate import reproduce_validation_loss

    stored = settings.stored
    signals = SignalCache.open(manifest.index, stored.shards, manifest.spec, stored.cache)
    trained = load_trained(checkpoint)
    return reproduce_validation_loss(trained, manifest, signals, device=settings.device)


def measure_grid(report: Report, /, request: FinetuneRequest, **grid: Any) -> list[dict[str, Any]]:
    """Train and validate a grid of linear probes, as `measure_probes`."""
    from ecg_assets.training.engine.data import open_training_data
    from ecg_assets.training.finetune.head_grid import measure_probes

    open_data = partial(open_training_data, progress=_tells_signals(report))
    return measure_probes(request, report, open_data=open_data, **grid)


def find_fairseq(
    report: Report, python: str, config_folder: str, *, needs_gpu: bool
) -> FairseqInstall:
    """Look at fairseq-signals' interpreter where it is to train."""
    return probe_fairseq(python, config_folder, needs_gpu=needs_gpu)
