from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.finetune import tracking_callbacks
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request


class Writer:
    """Stands for TensorBoard's SummaryWriter."""

    folder = ""
    scalars: ClassVar[dict[str, list[float]]] = {}

    def __init__(self, folder: str) -> None:
        Writer.folder = folder

    def add_scalar(self, name: str, value: float, step: int) -> None:
        Writer.scalars.setdefault(name, []).append(value)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_losses_and_metrics_go_to_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(
        "transformers.integrations.integration_utils.is_tensorboard_available", lambda: True
    )
    manifest = toy_manifest(20)
    request = toy_request(tmp_path, epochs=2, report_to="tensorboard")
    folder, events = run_toy(request, TrainingData(manifest, toy_signals(manifest)))
    assert Path(Writer.folder) == tmp_path / ".tensorboard" / folder.name
    losses = [event["valid_loss"] for event in events if event["event"] == "epoch"]
    assert Writer.scalars["eval/valid_loss"] == losses
    assert len(Writer.scalars["train/loss"]) == 2


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")]
)
def test_a_missing_package_is_named(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=f"report_to is '{name}'.*pip install {name}"):
        tracking_callbacks(toy_request(tmp_path, report_to=name))


def test_nothing_is_tracked_unless_asked_for(tmp_path: Path) -> None:
    assert tracking_callbacks(toy_request(tmp_path)) == []
