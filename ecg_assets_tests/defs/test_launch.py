"""ECG_LAUNCH: what computes is started by it, on another machine, and gives the same results."""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest

from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.lineage import fingerprint_file
from ecg_assets_tests.defs.launched import run_double
from ecg_assets_tests.defs.small_job import LaunchesHere, SmallJob


@dataclass(frozen=True)
class Computed:
    """What one run computes: its assets, partition, files below the data folder, and calls."""

    assets: tuple[str, ...]
    partition: str | None
    files: tuple[str, ...]
    calls: list[str]


def _of_checkpoint(*assets: str, call: str, files: tuple[str, ...] = ()) -> Computed:
    found = files or tuple(f"synthetic/{asset}/**/*" for asset in assets)
    return Computed(assets, "checkpoint", found, [call])


CELL = "transformer/{}|synthetic/ecg-fm-17"
COMPUTING = (
    Computed(("pretrained_checkpoint",), None, (), ["train_request"]),
    Computed(("finetuned_checkpoint",), None, (), ["train_request", "reproduce_loss"]),
    Computed(("fold_checkpoint",), "1", (), ["train_request"]),
    Computed(("grid_checkpoint",), "lr=0.004_batch=32", (), ["train_request"]),
    Computed(("probe_grid",), None, ("synthetic/probe_grid.parquet",), ["measure_grid"]),
    Computed(
        ("repeated_checkpoint",),
        "1|0.1",
        ("synthetic/repeated_trainings/*/test_predictions/*",),
        ["train_request", "score"],
    ),
    _of_checkpoint("predictions", call="score"),
    _of_checkpoint(
        "external_metrics",
        call="evaluate_elsewhere",
        files=("synthetic/external_metrics/*", "synthetic/external_predictions/**/*"),
    ),
    _of_checkpoint("lead_degradation", call="score_lead_sets"),
    _of_checkpoint("embeddings", "record_scores", call="apply"),
    _of_checkpoint("saliency", call="explain"),
    Computed(
        ("frozen_embeddings",),
        "transformer|synthetic",
        ("matrix/embeddings/**/*",),
        ["embed_source"],
    ),
    Computed(
        ("matrix_cell",),
        CELL.format("logistic-regression"),
        ("matrix/cells/**/logistic-regression/*",),
        ["probe_embeddings"],
    ),
    Computed(
        ("matrix_cell",),
        CELL.format("full"),
        ("matrix/cells/**/full/*",),
        ["train_request", "score"],
    ),
)


def test_all_that_computes_is_tried_below(finished: SmallJob) -> None:
    """What takes a place in the pool `gpu` computes; a protocol's are in its own tests."""
    pooled = {
        key.to_user_string()
        for one in finished.definitions.assets or ()
        if isinstance(one, dg.AssetsDefinition) and one.op.pool == "gpu"
        for key in one.keys
    }
    assert pooled == {name for one in COMPUTING for name in one.assets}


@pytest.mark.parametrize("one", COMPUTING, ids=lambda one: f"{one.assets[0]}-{one.partition}")
def test_what_computes_is_launched_and_gives_the_same_bytes(
    tmp_path: Path, finished: SmallJob, one: Computed
) -> None:
    with finished.copied_to(tmp_path) as copy:
        data = copy.settings.data_path
        found = sorted({path for name in one.files for path in data.glob(name) if path.is_file()})
        for path in found:
            path.unlink()
        LaunchesHere.asked.clear()
        epochs = {"config": {"epochs": 2 if one.assets[0] == "finetuned_checkpoint" else 1}}
        is_training = one.assets[0].endswith("_checkpoint")
        config = dict.fromkeys(one.assets, epochs) if is_training else {}
        replace(copy, trainer=LaunchesHere()).materialize(
            *one.assets,
            partition=copy.checkpoints[0] if one.partition == "checkpoint" else one.partition,
            config=copy.probe_config() if one.assets == ("probe_grid",) else config,
        )
    assert LaunchesHere.asked == one.calls
    assert bool(found) == bool(one.files)
    written = [path for path in found if path.is_file()]
    # Of repeated trainings the other partitions' scores are not made again.
    assert written == found or (written and "repeated" in one.assets[0])
    for path in written:
        before = finished.settings.data_path / path.relative_to(data)
        assert fingerprint_file(path) == fingerprint_file(before), path
    assert not list((data / "requests").glob(".child-*"))


# By a program that is put before the child.


@pytest.fixture
def srun(tmp_path: Path) -> Path:
    """A program that notes what it is to run, and where the files of Pipes lie, and runs it."""
    script = tmp_path / "srun"
    script.write_text(
        '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\n'
        f'echo "$*" >> "{tmp_path}/noted"\n'
        f'find "{tmp_path}" -name context -o -name messages >> "{tmp_path}/noted"\n'
        'exec "$@"\n'
    )
    script.chmod(0o755)
    return script


def test_a_launched_training_its_check_and_its_scores_are_the_same(
    tmp_path: Path, finished: SmallJob, srun: Path
) -> None:
    with finished.copied_to(tmp_path / "home") as copy:
        job = replace(copy, trainer=Trainer(launch=[str(srun), "--gres=gpu:1"]))
        job.train()
        (scores,) = (job.settings.stored.folder("predictions")).glob("*.parquet")
        scores.unlink()
        job.materialize("predictions", partition=job.checkpoints[0])
        requests = job.settings.store.requests
    noted = (tmp_path / "noted").read_text().splitlines()
    started = [line.split("ecg_assets.defs.child ")[1] for line in noted if " -m " in line]
    assert [line.split()[0] for line in started] == ["finetune", "compute", "compute"]
    pipes = [Path(line) for line in noted if " -m " not in line]
    assert len(pipes) == 6 and {path.parents[1] for path in pipes} == {requests}
    before = finished.settings.data_path / scores.relative_to(job.settings.data_path)
    assert fingerprint_file(scores) == fingerprint_file(before)
    assert not list(requests.glob(".child-*"))


def _script(folder: Path, text: str) -> list[str]:
    path = folder / "launch"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return [str(path)]


def test_a_call_gives_its_result_and_tells_of_its_progress(
    tmp_path: Path, srun: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_double(tmp_path, Trainer(launch=[str(srun)])) == 8
    assert " - doubled - doubling\n" in capfd.readouterr().err


def test_an_error_of_a_launched_call_is_the_steps(tmp_path: Path, srun: Path) -> None:
    with pytest.raises(EcgAssetsError, match=r"^No negative numbers here\.$"):
        run_double(tmp_path, Trainer(launch=[str(srun)]), -1)


def test_what_the_launcher_says_is_in_the_error(tmp_path: Path) -> None:
    launch = _script(tmp_path, 'echo "launch: error: No such partition" >&2; echo x >&2; exit 1')
    with pytest.raises(EcgAssetsError, match=r"^launch: error: No such partition\n.*status 1;"):
        run_double(tmp_path, Trainer(launch=launch, late_s=0.1))


def test_a_launcher_that_runs_nothing_is_told_what_it_must_do(tmp_path: Path) -> None:
    with pytest.raises(EcgAssetsError, match=r"status 0 and gave no result\. ECG_LAUNCH must run"):
        run_double(tmp_path, Trainer(launch=_script(tmp_path, "exit 0"), late_s=0.1))


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ECG_LAUNCH starts with 'srum', which is no program"):
        run_double(tmp_path, Trainer(launch=["srum", "--gres=gpu:1"]))


def test_several_tasks_that_would_do_the_same_are_refused(tmp_path: Path) -> None:
    launch = _script(tmp_path, 'SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=0 exec "$@"')
    with pytest.raises(EcgAssetsError, match=r"starts 4 tasks.*srun --ntasks=1"):
        run_double(tmp_path, Trainer(launch=launch))


def test_lines_that_a_shared_disk_shows_late_are_waited_for(tmp_path: Path) -> None:
    """The child's messages come into the file that is read after it has ended."""
    late, write = tmp_path / "late", "import base64,json,sys,zlib;print(base64.b64encode("
    write += "zlib.compress(json.dumps({'path':sys.argv[1]}).encode())).decode())"
    launch = _script(
        tmp_path,
        f'export DAGSTER_PIPES_MESSAGES=$({sys.executable} -c "{write}" {late})\n'
        '"$@" || exit 1\n'
        f"setsid sh -c 'sleep 1; cat {late} >> $(find {tmp_path} -name messages)' "
        "> /dev/null 2>&1 < /dev/null &\n"
        "sleep 0.5  # until it is out of this group, which is ended",
    )
    assert run_double(tmp_path, Trainer(launch=launch, late_s=20)) == 8


def test_settings_reach_the_child_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=str(tmp_path), seed=7, record_part="0-30")
    text = pickle.dumps(settings)
    monkeypatch.setenv("ECG_SEED", "8")
    assert pickle.loads(text).model_dump() == settings.model_dump()
