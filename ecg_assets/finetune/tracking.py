"""Losses and metrics to TensorBoard or MLflow, besides Dagster."""

from __future__ import annotations

import importlib
import os

from transformers import TrainerCallback
from transformers.integrations import MLflowCallback, TensorBoardCallback

from ecg_assets.errors import SettingsError
from ecg_assets.finetune.request import FinetuneRequest

_MODULES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow"}


def tracking_callbacks(request: FinetuneRequest) -> list[TrainerCallback]:
    """Build the Trainer's callbacks of the request's `report_to`.

    TensorBoard's files stand in ``<output_folder>/.tensorboard/<checkpoint_id>``. MLflow
    takes the server from MLFLOW_TRACKING_URI.

    Raises
    ------
    SettingsError
        When the package is not installed.
    """
    if request.report_to == "none":
        return []
    try:
        module = importlib.import_module(_MODULES[request.report_to])
    except ImportError as error:
        raise SettingsError(
            f"report_to is {request.report_to!r}, but that package is not installed ({error}). "
            f"Install it (pip install {request.report_to}), or set report_to=none."
        ) from error
    if request.report_to == "mlflow":
        return [MLflowCallback()]
    # The training folder, where the Trainer would log to, is removed at the end.
    folder = request.output_folder / ".tensorboard" / request.checkpoint_id
    is_main = os.environ.get("RANK", "0") == "0"
    return [TensorBoardCallback(module.SummaryWriter(str(folder)))] if is_main else []
