"""The same request, trained by two at once: the second takes the first one's result."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ecg_assets.errors import CheckpointError
from ecg_assets.training.engine.run import Report, run_once, work_folder_of
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.training.finetune.toy_run import toy_request


class _Training:
    """Writes a checkpoint's folder when it is told to."""

    def __init__(self, request: FinetuneRequest) -> None:
        self.request = request
        self.started, self.may_end = threading.Event(), threading.Event()
        self.n_trained = 0
        self.told: list[dict[str, Any]] = []

    def run(self) -> Path:
        return run_once(self.request, self.told.append, read_run=_read_run, train=self._train)

    def _train(self, request: FinetuneRequest, report: Report, folder: Path) -> None:
        self.n_trained += 1
        self.started.set()
        assert self.may_end.wait(30)
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps({"request_id": request.request_id}))


def _read_run(folder: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return run


@pytest.fixture
def first(tmp_path: Path) -> _Training:
    return _Training(toy_request(tmp_path))


def test_the_second_waits_and_takes_the_result(first: _Training) -> None:
    second = _Training(first.request)
    trains = threading.Thread(target=first.run)
    trains.start()
    assert first.started.wait(30)
    waits = threading.Thread(target=second.run)
    waits.start()
    while not second.told:
        waits.join(0.01)
    first.may_end.set()
    for thread in (trains, waits):
        thread.join(30)
    assert [event["event"] for event in first.told] == ["finished"]
    assert [event["event"] for event in second.told] == ["waiting", "reused"]
    assert (first.n_trained, second.n_trained) == (1, 0)
    left = sorted(path.name for path in first.request.output_folder.iterdir())
    assert left == [first.request.checkpoint_id]


def test_the_second_trains_when_the_first_has_failed(first: _Training, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_once(first.request, first.told.append, read_run=_read_run, train=fail)
    first.may_end.set()
    assert first.run().is_dir()


def test_several_gpus_do_not_wait_for_another_process(
    first: _Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    trains = threading.Thread(target=first.run)
    trains.start()
    assert first.started.wait(30)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CheckpointError, match="Another process trains"):
        _Training(first.request).run()
    first.may_end.set()
    trains.join(30)


def test_what_a_run_killed_at_its_end_left_is_removed(first: _Training) -> None:
    first.may_end.set()
    first.run()
    work = work_folder_of(first.request)
    (work / "checkpoint-1").mkdir(parents=True)
    first.run()
    assert not work.exists()
    assert first.n_trained == 1
