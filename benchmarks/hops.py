"""How many modules and functions of this package one thing passes through.

It counts what is called, not what is imported; functions without a name (lambdas, comprehensions)
do not count. ``python -m benchmarks.hops`` prints two ways, and with ``-v`` each module:

- a recording's file and a checkpoint folder to its probabilities;
- a file dropped below checkpoints to the leaderboard: the sensor's two ticks, then the assets in
  this process.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

import dagster as dg

import ecg_assets
from ecg_assets.defs.automation import new_checkpoints
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.settings import Settings
from ecg_assets.models import export_fairseq, load_trained, predict_recording
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.families import DEFAULT_FAMILY, FAMILIES
from ecg_assets.storage import replace_folder

PACKAGE = f"{Path(ecg_assets.__file__).parent}/"
TABLES = (
    *("record_list", "machine_reports", "labels", "label_evidence", "unmatched_statements"),
    *("split", "label_crosswalk"),
)
EVALUATED = (
    *("checkpoint", "predictions", "eval_metrics", "external_metrics", "lead_degradation"),
    *("slice_metrics", "label_noise", "eval_report"),
)


@dataclass
class Calls:
    """Functions that were called, by module below the package."""

    functions: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """Take a profiler's event."""
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and code.co_name[0] != "<":
            self.functions[code.co_filename.removeprefix(PACKAGE)].add(code.co_qualname)

    def show(self, title: str) -> None:
        """Print how many modules and functions were called; with ``-v`` each module's."""
        n_functions = sum(map(len, self.functions.values()))
        print(f"{title}: {len(self.functions)} modules, {n_functions} functions")
        if "-v" in sys.argv:
            for module, functions in sorted(self.functions.items()):
                print(f"  {len(functions):3} {module}: {', '.join(sorted(functions))}")


@contextmanager
def count_calls() -> Iterator[Calls]:
    """Count calls in this thread and those that it starts."""
    calls = Calls()
    threading.setprofile(calls.note)
    sys.setprofile(calls.note)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def main() -> None:
    """Print both ways on a small synthetic cohort."""
    with tempfile.TemporaryDirectory() as name, dg.DagsterInstance.ephemeral() as instance:
        settings = Settings(
            source="synthetic",
            raw_root="",
            data_dir=name,
            n_synthetic_records=160,
            device="cpu",
            preset="tiny",
            matrix="",
        )
        job = build_definitions({"settings": settings}).resolve_implicit_global_asset_job_def()
        materialize = partial(_materialize, job, instance)
        materialize(TABLES)
        for shard in instance.get_dynamic_partitions("shard"):
            materialize(("signal_shards",), shard)
        materialize(("manifests",))
        folder = _write_checkpoint(Path(name) / "one", settings)
        recording = min(settings.source_root.rglob("*.hea")).with_suffix("")
        predict_recording(load_trained(folder), recording)  # what is loaded once
        with count_calls() as calls:
            predict_recording(load_trained(folder), recording)
        calls.show("one recording to its probabilities")
        settings.store.checkpoints.mkdir(parents=True, exist_ok=True)
        export_fairseq(folder, settings.store.checkpoints / "dropped.pt")
        with count_calls() as calls:
            for checkpoint in _find_dropped(instance, settings):
                materialize(EVALUATED, checkpoint)
            materialize(("refused_checkpoints", "leaderboard"))
        calls.show("a dropped file to the leaderboard")


def _write_checkpoint(folder: Path, settings: Settings) -> Path:
    """Write a small model of random weights that reads the settings' signals."""
    family, spec = FAMILIES[DEFAULT_FAMILY], settings.signal_spec
    vocabulary = settings.load_label_set().vocabulary
    config = family.build_config("tiny", n_channels=spec.n_channels, n_labels=len(vocabulary))
    # Narrower than the encoder: else fairseq-signals has no projection, and no file can be written.
    config.conv_dim = (*config.conv_dim[:-1], config.conv_dim[-1] // 2)
    with replace_folder(folder) as temporary:
        save_trained(temporary, family.classifier_class(config), spec, vocabulary)
    return folder


def _find_dropped(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Let the sensor tick twice: a file is complete when it did not change in between."""
    cursor = None
    for _ in range(2):
        context = dg.build_sensor_context(instance=instance, cursor=cursor)
        result = new_checkpoints(context, settings=settings)
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        for request in result.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    return list(instance.get_dynamic_partitions("checkpoint"))


def _materialize(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    assets: tuple[str, ...],
    partition: str | None = None,
) -> None:
    job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset) for asset in assets],
        partition_key=partition,
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )


if __name__ == "__main__":
    main()
