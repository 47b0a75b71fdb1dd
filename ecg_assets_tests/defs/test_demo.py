"""What the demo trains after its first checkpoint, by preset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ecg_assets.defs.demo import Demo
from ecg_assets.defs.resources import Settings

FOUNDER = "ecg-founder-six"


class DemoWithoutTraining(Demo):
    """Notes each training and stores what it would leave behind."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        super().__init__(instance, settings)
        self.trainings: list[dict[str, Any]] = []
        self._store("finetuned_checkpoint", "trained-0", "full")

    def train_rival(self) -> list[dict[str, Any]]:
        """Train the rivals; give the configurations of all trainings so far."""
        self._train_rivals()
        return self.trainings

    def _job(self, name: str, **how: Any) -> None:
        if not how.get("always", name == "pretrain"):
            return
        ((asset, config),) = how["config"].items()
        self.trainings.append(config)
        self._store(asset, f"trained-{len(self.trainings)}", config.get("method", "full"))

    def _store(self, asset: str, folder: str, method: str) -> None:
        metadata: dict[str, Any] = {"folder": dg.MetadataValue.path(folder), "method": method}
        self._instance.report_runless_asset_event(dg.AssetMaterialization(asset, metadata=metadata))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def _demo(
    instance: dg.DagsterInstance, folder: Path, preset: str, pretrained: str = ""
) -> DemoWithoutTraining:
    settings = Settings(data_dir=str(folder), preset=preset, pretrained=pretrained)
    return DemoWithoutTraining(instance, settings)


def test_founder_is_fine_tuned_and_probed_from_an_encoder_of_all_recordings(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    demo = _demo(instance, tmp_path, FOUNDER)
    expected = [
        {"preset": "ecg-founder-six-tiny", "objective": "multi-label"},
        {"pretrained": "trained-1"},
        {"method": "linear-probe", "pretrained": "trained-1"},
    ]
    assert demo.train_rival() == expected
    assert demo.train_rival() == expected  # A second run trains nothing.


def test_published_weights_are_what_is_probed_where_there_are_some(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    demo = _demo(instance, tmp_path, FOUNDER, "1_lead_ECGFounder.pth")
    expected = {"method": "linear-probe", "pretrained": "1_lead_ECGFounder.pth"}
    assert demo.train_rival() == [expected]


def test_tiny_is_probed_on_an_encoder_of_the_signals_alone(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    demo = _demo(instance, tmp_path, "tiny")
    assert demo.train_rival() == [
        {"preset": "tiny-pretrain", "epochs": 4},
        {"method": "linear-probe", "pretrained": "trained-1"},
    ]


def test_large_models_have_no_rival(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    demo = _demo(instance, tmp_path, "ecg-fm-lead-i", "encoder.pt")
    assert demo.train_rival() == []
