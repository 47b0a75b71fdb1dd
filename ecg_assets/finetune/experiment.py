"""Several trainings that belong together: the folds of a cross-validation, the points of a grid.

Each is a fine-tuning request of its own, below ``<root>/<experiment>``: apart from the ordinary
checkpoints, resumed and reused as they are, and never measured on the test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ecg_assets.build import Manifest
from ecg_assets.build.fold_manifest import fold_manifest, require_common_labels
from ecg_assets.build.manifest import fingerprint_manifest
from ecg_assets.build.manifest_folder import write_manifest
from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.lineage import fingerprint_json

FOLD_INPUT = "fold_manifest"
_MANIFEST = "manifest"


def fold_request(
    request: FinetuneRequest,
    manifest: Manifest,
    fold: int,
    *,
    n_folds: int,
    root: Path,
    rare_labels: Literal["refuse", "keep"] = "refuse",
) -> FinetuneRequest:
    """Write a fold's manifest and build the request that trains on it.

    Parameters
    ----------
    request
        What would be trained on the manifest's own split; its seed also chooses the folds.
    manifest
        The manifest of `request`.
    fold
        From 1 to `n_folds`.
    root
        Folder of all cross-validations; the fold's is ``<root>/<experiment>/<fold>``.
    rare_labels
        What becomes of labels with fewer positive patients than folds.

    Raises
    ------
    SettingsError
        When there is no such fold, there are too few patients, or a label is too rare.
    """
    exclusive = request.recipe.objective == "exclusive"
    if rare_labels == "refuse":
        require_common_labels(manifest, n_folds=n_folds, exclusive=exclusive)
    part = fold_manifest(manifest, fold, n_folds=n_folds, seed=request.seed, exclusive=exclusive)
    request = replace(request, recipe=replace(request.recipe, reports_test=False))
    folder = root / experiment_id(request, {"n_folds": n_folds}) / str(fold)
    write_manifest(part, folder / _MANIFEST)
    return replace(
        request,
        manifest_folder=folder / _MANIFEST,
        output_folder=folder,
        inputs={**request.inputs, FOLD_INPUT: fingerprint_manifest(part)},
        trained_on={**request.trained_on, "fold": f"{fold} of {n_folds}"},
    )


def grid_request(
    request: FinetuneRequest, *, learning_rate: float, batch_size: int, root: Path
) -> FinetuneRequest:
    """Build the request of one point of a grid.

    Parameters
    ----------
    request
        What would be trained otherwise; learning rate and batch size give way.
    root
        Folder of all grids; the checkpoints stand below ``<root>/<experiment>``.
    """
    recipe = replace(
        request.recipe,
        learning_rate=learning_rate,
        batch_size=batch_size,
        reports_test=False,
    )
    request = replace(request, recipe=recipe)
    varied = ("learning_rate", "batch_size")
    return replace(request, output_folder=root / experiment_id(request, {}, varied=varied))


def experiment_id(
    request: FinetuneRequest, design: Mapping[str, Any], *, varied: tuple[str, ...] = ()
) -> str:
    """Name an experiment by its preset and all that its trainings share.

    Parameters
    ----------
    design
        What tells it from others, as JSON values, e.g. the number of folds.
    varied
        Fields of the recipe that its trainings differ in.
    """
    recipe = {k: v for k, v in request.recipe.to_json().items() if k not in varied}
    shared = {**request.identity, "recipe": recipe, "design": dict(design)}
    return f"{request.preset}-{fingerprint_json(shared)[:12]}"
