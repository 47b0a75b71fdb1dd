"""What the demo trains after its first checkpoint, by preset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from ecg_assets.defs.demo_run import Demo
from ecg_assets.defs.failures import require_success
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import EcgAssetsError

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
        if not how["always"] and name != "pretrain":
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


def _write_recordings(raw: Path, n: int) -> Settings:
    """Integers of microvolts, called millivolts."""
    raw.mkdir()
    for number in range(n):
        np.save(raw / f"{number}.npy", np.arange(1000, dtype=np.int16).reshape(1, 1000))
    rows = [f"{number}.npy,{number % 2}\n" for number in range(n)]
    (raw / "labels.csv").write_text("".join(["file,AF\n", *rows]))
    (raw / "folder.yaml").write_text("sample_rate_hz: 100\nleads: [I]\nunits_per_mv: 1\n")
    return Settings(
        source="folder", raw_root=str(raw), label_set="own", data_dir=str(raw.parent), workers=1
    )


def test_recordings_that_cannot_be_read_end_the_demo_with_their_count_limit_and_folder(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = _write_recordings(tmp_path / "raw", 40)
    with pytest.raises(EcgAssetsError) as error:
        Demo(instance, settings).run()
    with pytest.raises(EcgAssetsError, match="cannot be read"):  # not: all current, no manifest
        Demo(instance, settings).run()
    said = str(error.value)
    assert said.startswith(
        "signal_shards: 40 of 40 recordings of shard root cannot be read (40 unlikely_unit), "
    )
    assert "the share of 0.05 that ECG_MAX_REJECTED_SHARE allows" in said
    assert f"{tmp_path}/folder/rejects/root.parquet says of each what is wrong" in said


def test_a_step_that_fails_ends_the_demo_with_its_sentence(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = Settings(source="folder", raw_root="", data_dir=str(tmp_path))
    with pytest.raises(EcgAssetsError, match=r"^record_list: ECG_RAW_ROOT is not set"):
        Demo(instance, settings).run()


def test_a_cancelled_run_is_no_failure(instance: dg.DagsterInstance) -> None:
    @dg.asset
    def cancelled() -> None:
        raise DagsterExecutionInterruptedError

    with pytest.raises(KeyboardInterrupt):
        require_success(dg.materialize([cancelled], instance=instance, raise_on_error=False))


def test_too_few_patients_end_the_demo_with_what_to_do(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    settings = _write_recordings(tmp_path / "raw", 3)
    with pytest.raises(EcgAssetsError, match=r"^split: None of 3 recordings came into .*30 at le"):
        Demo(instance, settings).run()
