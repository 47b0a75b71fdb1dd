"""The manifest and signals that a request trains on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_assets.build import Manifest, SignalCache, read_manifest
from ecg_assets.build.manifest import (
    fingerprint_manifest,
    fingerprint_recordings,
    target_scale,
)
from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.known import is_known
from ecg_assets.models.checkpoint import MOST_SIZE
from ecg_assets.models.probabilities import Regression
from ecg_assets.training.engine.request import (
    FOLD_INPUT,
    RECORDINGS_INPUT,
    TrainingRecipe,
    TrainingRequest,
)


@dataclass(frozen=True)
class TrainingData:
    """A manifest and the signals of its recordings, by row of its index.

    Attributes
    ----------
    exclusive
        Whether labels exclude one another: recordings with none or several are left out, and
        those of which one is not measured.
    regression
        What the outputs of a model of numbers are.
    """

    manifest: Manifest
    signals: SignalCache
    exclusive: bool = False
    regression: Regression | None = None

    def for_request(self, request: TrainingRequest) -> TrainingData:
        """Give what a request trains on: its part of the manifest, as `for_recipe` makes it.

        A training that reads no label leaves the targets as they are.
        """
        part = replace(self, manifest=request.take_part(self.manifest))
        return part.for_recipe(request.recipe) if request.reads_labels else part

    def for_recipe(self, recipe: TrainingRecipe) -> TrainingData:
        """Give the same data with what a recipe makes of its targets.

        Raises
        ------
        SettingsError
            When its objective is of labels and the targets are numbers, or the reverse; when a
            target is constant in the training split, or too large to be stored with a model.
        SchemaError
            When train or valid has no recording, or no known target.
        """
        loss, vocabulary = recipe.regression_loss, self.manifest.vocabulary
        if (loss is not None) != vocabulary.is_continuous:
            kind = "numbers" if vocabulary.is_continuous else "labels"
            allowed = "mean-squared-error or huber" if vocabulary.is_continuous else "multi-label"
            raise SettingsError(
                f"The objective is not one of {kind}, and the label set (ECG_LABEL_SET) is of "
                f"{kind}: {', '.join(vocabulary.names)}. Set objective: {allowed} in the run's "
                "configuration, or choose another label set or preset."
            )
        regression = None if loss is None else self._standardize(loss)
        found = replace(self, exclusive=recipe.is_exclusive, regression=regression)
        for split in ("train", "valid"):
            rows = found.rows(split)
            if not is_known(self.manifest.targets[rows]).any():
                raise SchemaError(
                    f"Nobody looked for any label in the {len(rows)} recordings of the {split} "
                    f"split: {', '.join(vocabulary.names)}. There is nothing to learn from, or to "
                    "choose the best epoch by. Choose another label set or split."
                )
        return found

    def _standardize(self, loss: str) -> Regression:
        train = self.manifest.targets[self.manifest.rows("train")]
        mean, deviation, n = target_scale(train)
        for name, one, spread, count in zip(
            self.manifest.vocabulary.names, mean, deviation, n, strict=True
        ):
            if not spread > 0:
                raise SettingsError(
                    f"Target {name!r} has {count} measured values in the train split of "
                    f"{len(train)} recordings, and no two different ones. Leave it out of the "
                    "label set."
                )
            if max(abs(one), spread) > MOST_SIZE:
                raise SettingsError(
                    f"Target {name!r} has a mean of {one:g} and a deviation of {spread:g} in the "
                    f"train split; at most {MOST_SIZE:,} can be stored with a model. Give it in a "
                    "larger unit."
                )
        return Regression(tuple(mean.tolist()), tuple(deviation.tolist()), loss)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Rows of a split in the manifest's index that can be trained on or validated.

        Raises
        ------
        SchemaError
            When there are none.
        """
        rows = self._usable_rows(split)
        if not len(rows):
            one_label = " with just one of the labels" if self.exclusive else ""
            raise SchemaError(
                f"The manifest has no recording{one_label} in split {split!r} among "
                f"{len(self.manifest.index)}. Check the split and which recordings were excluded."
            )
        return rows

    def _usable_rows(self, split: str) -> NDArray[np.int64]:
        rows = self.manifest.rows(split)
        if not self.exclusive:
            return rows
        return np.asarray(rows[self.manifest.targets[rows].sum(axis=1) == 1], np.int64)

    def evaluated_rows(self, *, with_test: bool) -> list[tuple[str, NDArray[np.int64]]]:
        """Name and rows of the splits that are measured after each epoch.

        The test split is left out where it is not wanted, or has no recording or known target.
        """
        splits = [("valid", self.rows("valid"))]
        if with_test and is_known(self.manifest.targets[self._usable_rows("test")]).any():
            splits.append(("test", self.rows("test")))
        return splits

    def n_segments(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Segments of recordings, ``(record,)``."""
        return self.signals.n_segments(rows, self.manifest.spec)


def open_training_data(
    request: TrainingRequest, *, progress: Callable[[int, int], None] | None = None
) -> TrainingData:
    """Read a request's manifest and open its signals, as `SignalCache.open` does.

    A training that reads no label has the recordings without labels, too.

    Raises
    ------
    SchemaError
        When another manifest stands in the folder than the request names among its inputs.
    """
    manifest = read_manifest(request.manifest_folder)
    _require_asked(request, manifest)
    if not request.reads_labels:
        manifest = manifest.with_unlabelled()
    signals = SignalCache.open(
        manifest.index,
        request.shard_folder,
        manifest.spec,
        request.cache_folder,
        progress=progress,
    )
    return TrainingData(manifest, signals)


_FINGERPRINTS: Mapping[str, Callable[[Manifest], str]] = {
    FOLD_INPUT: fingerprint_manifest,
    "manifests": fingerprint_manifest,
    RECORDINGS_INPUT: fingerprint_recordings,
}
"""What an input of a request is of a manifest; the first that it names counts."""


def _require_asked(request: TrainingRequest, manifest: Manifest) -> None:
    for name, fingerprint in _FINGERPRINTS.items():
        asked = request.inputs.get(name)
        if asked is None:
            continue
        if asked != (found := fingerprint(manifest)):
            raise SchemaError(
                f"The manifests in {request.manifest_folder} are not those that this training was "
                f"asked for ({name}: {asked}), but {found}: they were made again since. Ask for "
                "it again to train on these. With the former ones in their place (materialize "
                "manifests) a training that was begun goes on."
            )
        return
