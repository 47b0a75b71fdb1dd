"""Whatever lies in the watched folder: no tick raises, and each is a row that says why."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from ecg_assets.defs.assets.evaluation import refused_checkpoints
from ecg_assets.defs.automation import new_checkpoints, weekly_reevaluation
from ecg_assets.defs.demo_run import Demo
from ecg_assets.defs.settings import Settings
from ecg_assets.dropped.checkpoints import Dropped
from ecg_assets.dropped.refused import REFUSED_CHECKPOINTS, is_refused, list_refused
from ecg_assets.labels.vocabulary import ECG_FM_LABELS
from ecg_assets.models.checkpoint_folder import checkpoint_content_sha256
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec

Plant = Callable[[Path], None]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A deployment that has manifests, so that checkpoints are asked for."""
    found = Settings(data_dir=str(tmp_path / "data"))
    found.store.checkpoints.mkdir(parents=True)
    found.stored.folder("manifests").mkdir(parents=True)
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def _ticks(instance: dg.DagsterInstance, settings: Settings) -> list[dg.SensorResult]:
    """Look three times: what is found, has come to rest, and was asked for."""
    results, cursor = [], None
    for _ in range(3):
        context = dg.build_sensor_context(instance, cursor=cursor, resources={"settings": settings})
        result = new_checkpoints(context)
        assert isinstance(result, dg.SensorResult)
        results.append(result)
        cursor = result.cursor
    return results


def test_partition_keys_are_read_once_a_tick(
    instance: dg.DagsterInstance, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        _folder(settings.store.checkpoints, f"model-{number}")
    calls, read = [], instance.get_dynamic_partitions

    def count(name: str) -> object:
        calls.append(name)
        return read(name)

    monkeypatch.setattr(instance, "get_dynamic_partitions", count)
    last = _ticks(instance, settings)[1]
    assert len(last.run_requests or ()) == 5
    assert calls == ["checkpoint"] * 3


def _folder(checkpoints: Path, name: str) -> Path:
    folder = checkpoints / name
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def _beside(report: bytes) -> Plant:
    """A .pt beside a folder of its name whose import report is spoilt."""

    def plant(checkpoints: Path) -> None:
        (_folder(checkpoints, "model") / "import_report.json").write_bytes(report)
        (checkpoints / "model.pt").write_bytes(b"weights")

    return plant


def _file(name: bytes) -> Plant:
    def plant(checkpoints: Path) -> None:
        (checkpoints / os.fsdecode(name)).write_bytes(b"weights")

    return plant


def _sparse(checkpoints: Path) -> None:
    os.truncate(_folder(checkpoints, "model") / "model.safetensors", 40 << 30)


UNUSABLE = {
    "name of 252 bytes": (lambda root: _folder(root, "n" * 252) and None, "252 bytes"),
    "name that is not UTF-8": (_file(b"m\xff.pt"), r"\\xff"),
    "ending .ckpt": (_file(b"model.ckpt"), "rename it to model.pt"),
    "ending .PT": (_file(b"model.PT"), "rename it to model.pt"),
    "ending .pt.tar": (_file(b"model.pt.tar"), "rename it to model.pt"),
    "ending .safetensors": (_file(b"model.safetensors"), "not read under this name"),
    "pipe": (lambda root: os.mkfifo(root / "model.pt"), "is no file but e.g. a pipe"),
    "link to itself": (
        lambda root: (root / "model.pt").symlink_to("model.pt"),
        "a link to nothing",
    ),
    "40 GB": (_sparse, "42949672960 bytes"),
    "line break": (_file(b"a\nb.pt"), "line breaks"),
}


@pytest.mark.parametrize("plant,reason", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_name_is_a_row(
    instance: dg.DagsterInstance, settings: Settings, plant: Plant, reason: str
) -> None:
    plant(settings.store.checkpoints)
    results = _ticks(instance, settings)
    assert not any(
        request.partition_key for result in results for request in result.run_requests or ()
    )
    listed = list_refused(settings.store)
    REFUSED_CHECKPOINTS.from_pandas(listed)
    (row,) = listed.to_dict("records")
    assert reason in row["reason"]
    assert refused_checkpoints(settings) is not None


def _write_facts(folder: Path, leads: tuple[str, ...]) -> None:
    """Write what a checkpoint, or manifests, say of input and labels."""
    spec = SignalSpec(leads=leads, n_channels=len(leads)).to_json()
    (folder / "signal_spec.json").write_text(json.dumps(spec))
    (folder / "label_vocabulary.json").write_text(json.dumps(ECG_FM_LABELS.to_json()))


def _twelve_leads(instance: dg.DagsterInstance, settings: Settings) -> Path:
    """Put a checkpoint there that was loaded, where manifests have Lead I."""
    folder = _folder(settings.store.checkpoints, "twelve")
    _write_facts(folder, STANDARD_LEADS)
    _write_facts(settings.stored.folder("manifests"), ("I",))
    tags = {"dagster/data_version": checkpoint_content_sha256(folder)}
    loaded = dg.AssetMaterialization("checkpoint", partition="twelve", tags=tags)
    instance.report_runless_asset_event(loaded)
    return folder


def test_a_checkpoint_of_other_leads_is_a_row_and_is_not_evaluated(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    """Until the manifests have its leads: then it is asked for."""
    folder = _twelve_leads(instance, settings)
    results = _ticks(instance, settings)
    assert not any(request.partition_key for one in results for request in one.run_requests or ())
    listed = list_refused(settings.store)
    REFUSED_CHECKPOINTS.from_pandas(listed)
    assert list(listed.columns[:2]) == ["file", "reason"]
    (row,) = listed.to_dict("records")
    assert row["file"] == "twelve"
    assert row["reason"].startswith("Not for this deployment")
    assert "leads (ECG_LEADS)" in row["reason"] and "not ('I',)" in row["reason"]
    _write_facts(settings.stored.folder("manifests"), STANDARD_LEADS)
    assert list_refused(settings.store).empty
    asked = [one.partition_key for one in _ticks(instance, settings)[1].run_requests or ()]
    assert asked == [folder.name]


class DemoWithoutJobs(Demo):
    """Fails when something is to be made."""

    def run(self) -> None:
        self._evaluate_checkpoints()

    def _job(self, name: str, **how: object) -> None:
        raise AssertionError(name, how)


def test_the_demo_names_what_does_not_fit_and_goes_on(
    instance: dg.DagsterInstance, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    _twelve_leads(instance, settings)
    DemoWithoutJobs(instance, settings).run()
    assert "twelve is not evaluated. Not for this deployment" in capsys.readouterr().out


def test_the_schedule_does_not_ask_for_what_does_not_fit(
    tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        folder = _twelve_leads(instance, settings)
        instance.add_dynamic_partitions("checkpoint", [folder.name])
        with dg.build_schedule_context(
            instance=instance,
            resources={"settings": settings},
            scheduled_execution_time=datetime(2026, 1, 4, 3, tzinfo=UTC),
        ) as context:
            assert "fits the manifests" in str(weekly_reevaluation(context))


def test_a_refusal_for_other_manifests_holds_for_them_alone(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    """Sources share the folder of checkpoints."""
    folder = _twelve_leads(instance, settings)
    _ticks(instance, settings)
    item = Dropped(folder, checkpoint_content_sha256(folder))
    assert is_refused(settings.store, item, settings.stored.folder("manifests"))
    assert not is_refused(settings.store, item, Path("manifests of another source"))


SPOILT = {
    "cut off": b'{"source": {"na',
    "list": b"[1, 2]",
    "binary": bytes(range(256)),
    "deep": b'{"a":' * 100_000,
    "text as source": b'{"source": "model.pt"}',
}


@pytest.mark.parametrize("report", SPOILT.values(), ids=SPOILT.keys())
def test_a_spoilt_import_report_stops_neither_the_tick_nor_others(
    instance: dg.DagsterInstance, settings: Settings, report: bytes
) -> None:
    _beside(report)(settings.store.checkpoints)
    (settings.store.checkpoints / "good.pt").write_bytes(b"other weights")
    last = _ticks(instance, settings)[1]
    asked = {request.partition_key for request in last.run_requests or ()}
    assert "good" in asked


@pytest.mark.parametrize("name", ["locked.pt", "locked"])
def test_what_may_not_be_read_is_a_row(
    instance: dg.DagsterInstance, settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file or folder that another user copied there with a mode of 0700."""
    path = settings.store.checkpoints / name
    path.mkdir() if name == "locked" else path.write_bytes(b"weights")
    may_read = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != path and may_read(p, mode))
    _ticks(instance, settings)
    (row,) = list_refused(settings.store).to_dict("records")
    assert row["file"] == name
    assert "may not be read" in row["reason"]


@pytest.mark.parametrize("record", [b"{", b"[]", b'{"file": "model.pt"}', b"\xff"])
def test_a_spoilt_record_of_a_refusal_says_nothing(
    instance: dg.DagsterInstance, settings: Settings, record: bytes
) -> None:
    settings.store.refused.mkdir(parents=True)
    (settings.store.refused / "model.pt.json").write_bytes(record)
    (settings.store.checkpoints / "model.pt").write_bytes(b"weights")
    asked = [request.partition_key for request in _ticks(instance, settings)[1].run_requests or ()]
    assert asked == ["model"]
    assert list_refused(settings.store).empty


def test_a_file_in_the_place_of_the_folder_is_said(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    settings.store.checkpoints.rmdir()
    settings.store.checkpoints.write_text("")
    assert "is a file" in str(_ticks(instance, settings)[-1].skip_reason)


def test_a_row_is_kept_while_the_file_is_as_it_was(
    instance: dg.DagsterInstance, settings: Settings
) -> None:
    (settings.store.checkpoints / "model.ckpt").write_bytes(b"weights")
    _ticks(instance, settings)
    before = list_refused(settings.store)
    _ticks(instance, settings)
    assert list_refused(settings.store).equals(before)
    record = json.loads((settings.store.refused / "model.ckpt.json").read_text())
    assert record["file"] == "model.ckpt"
