"""The jobs of ``make demo`` in their order, and the tables that it ends with."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.checkpoint_state import complete_checkpoints, needs_evaluation
from ecg_assets.defs.checks.data import has_too_many_rejects
from ecg_assets.defs.data_versions import latest_metadata
from ecg_assets.defs.failures import require_success
from ecg_assets.defs.freshness import assets_to_run
from ecg_assets.defs.partitions import CHECKPOINTS, SHARDS
from ecg_assets.defs.protocol import DeployedProtocol, protocol_of, sources_of
from ecg_assets.defs.run_processes import end_dead_runs, process_tags
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.tables import schema_of
from ecg_assets.dropped.checkpoints import explain_misfit
from ecg_assets.errors import EcgAssetsError
from ecg_assets.evaluation import EvaluationResult
from ecg_assets.evaluation.classes import DETAILS
from ecg_assets.evaluation.report.numbers import UNDEFINED, format_number
from ecg_assets.evaluation.result import read_own_results
from ecg_assets.models.checkpoint_folder import RUN, read_json
from ecg_assets.protocols.page import PAGE
from ecg_assets.protocols.protocol import Protocol, Rules
from ecg_assets.protocols.table import PROTOCOL_TABLE
from ecg_assets.training.finetune.presets import PRESETS, family_of_preset, tiny_presets
from ecg_assets.training.pretrain.presets import find_pretraining_preset

# The tables that end ``make demo``.


CLASSES = "classification_results"


def summary_text(settings: Settings) -> str:
    """Labels with AUROC and interval of each evaluated checkpoint, and the leaderboard.

    The leaderboard has the paired difference of each checkpoint from its set's champion.
    Of models of exclusive classes their accuracy follows, and where its tables lie.
    """
    parts: list[str] = []
    stored = read_own_results(settings.stored.folder("eval_metrics"))
    parts += stored.skipped.values()
    for result in stored.values():
        report = settings.stored.folder("eval_report") / result.checkpoint / "report.html"
        name = _name(settings, result.checkpoint)
        parts.append(f"{_table(result, name)}\n\nReport: {report}")
    if (path := settings.stored.table_path("leaderboard")).is_file():
        stored_table = pq.read_table(path)
        schema = schema_of("leaderboard", stored_table.column_names)
        table = schema.require(stored_table).to_pandas()
        named = table["checkpoint"].map(lambda checkpoint: _name(settings, checkpoint))
        parts.append(_leaderboard(table.assign(checkpoint=named)))
    folders = sorted(path.parent for path in settings.stored.folder(CLASSES).glob(f"*/{DETAILS}"))
    if folders:
        parts.append(_classes(settings, folders))
    return "\n\n".join([*parts, "In the UI: make ui"])


def _name(settings: Settings, checkpoint: str) -> str:
    """Name a checkpoint with how it was trained, where that is known."""
    path = settings.store.checkpoints / checkpoint / RUN
    request = json.loads(path.read_text()).get("request", {}) if path.is_file() else {}
    recipe = request.get("recipe", {})
    if "method" not in recipe:
        return checkpoint
    words = [recipe["method"]]
    if recipe["method"] == "full" and "pretrained" in request["inputs"]:
        words.append("from pretrained weights")
    preset = PRESETS.get(str(request.get("preset")))
    if preset is not None and preset.objective != recipe.get("objective", preset.objective):
        words.append(recipe["objective"])
    return f"{checkpoint} ({', '.join(words)})"


def _classes(settings: Settings, folders: Sequence[Path]) -> str:
    width = _width(folder.name for folder in folders)
    head = f"{'checkpoint':<{width}}{'accuracy':>9}{'right':>9}{'macro F1':>10}   files"
    lines = []
    for folder in folders:
        details = read_json(folder / DETAILS)
        confusion = np.array(details["confusion_matrix"])
        right = f"{np.trace(confusion)}/{confusion.sum()}"
        numbers = (details["overall_accuracy"], details["macro_averages"]["f1-score"])
        accuracy, f1 = (format_number(math.nan if x is None else x) for x in numbers)
        lines.append(f"{folder.name:<{width}}{accuracy:>9}{right:>9}{f1:>10}   {folder}")
    title = "Recordings with just one of the classes, by the class with the highest score"
    return "\n".join([title, "", head, "-" * len(head), *lines])


def _table(result: EvaluationResult, name: str) -> str:
    metric, n = result.main_metric, "n" if result.is_of_numbers else "n_pos"
    ends = [f"{metric}{end}" for end in ("", "_low", "_high")]
    rows = [
        (row["label"], row[n], *(row[end] for end in ends))
        for row in result.labels.to_dict("records")
    ]
    rows.append(("macro mean", "", *(result.macro[end] for end in ends)))
    lines = [
        f"{label:<45}{n_pos!s:>7}{format_number(auroc):>9}   {_interval(low, high)}"
        for label, n_pos, auroc, low, high in rows
    ]
    titles = ("target", "n", "R²") if result.is_of_numbers else ("label", "n pos", "AUROC")
    head = f"{titles[0]:<45}{titles[1]:>7}{titles[2]:>9}   95 % interval"
    title = (
        f"\n{name} on {result.evaluation_set.name}: "
        f"{result.n_records} recordings of {result.n_patients} patients"
    )
    return "\n".join([title, "", head, "-" * len(head), *lines])


def _leaderboard(table: pd.DataFrame) -> str:
    parts, width = [], _width(table["checkpoint"])
    for name, rows in table.groupby("evaluation_set", sort=True):
        is_of_numbers = "macro_r2" in rows and rows["macro_r2"].notna().any()
        what = ("mean R²", "targets") if is_of_numbers else ("macro AUROC", "labels")
        title = (
            f"Leaderboard on {name}: {what[0]} over {rows['n_labels'].iloc[0]} {what[1]}, and its "
            "difference from the champion's, paired by patient"
        )
        short = "R²" if is_of_numbers else "AUROC"
        numbers = f"{short:>8}   {'95 % interval':<18}{'difference':>10}   verdict"
        head = f"{'checkpoint':<{width}}{numbers}"
        lines = [_row(row, width) for _, row in rows.iterrows()]
        parts.append("\n".join([title, "", head, "-" * len(head), *lines]))
    return "\n\n".join(parts)


def _row(row: pd.Series[Any], width: int) -> str:
    metric = "macro_r2" if math.isfinite(row.get("macro_r2", math.nan)) else "macro_auroc"
    interval = _interval(row[f"{metric}_low"], row[f"{metric}_high"])
    text = f"{row['checkpoint']:<{width}}{format_number(row[metric]):>8}   {interval:<18}"
    if row["is_champion"]:
        return f"{text}{'':>10}   {row['verdict']}"
    difference = format_number(row["difference"], "signed")
    low, high = (format_number(row[f"difference_{end}"], "signed") for end in ("low", "high"))
    paired = f" [{low}, {high}]" if math.isfinite(row["difference_low"]) else ""
    return f"{text}{difference:>10}   {row['verdict']}{paired}"


def _interval(low: float, high: float) -> str:
    if not math.isfinite(low):
        return UNDEFINED
    return f"[{format_number(low)}, {format_number(high)}]"


def _width(names: Iterable[str]) -> int:
    return max(44, *(len(name) + 1 for name in names))


def protocol_text(deployed: DeployedProtocol) -> str:
    """Write a protocol's table: the paper's number, ours by its rules, and corrected."""
    path = deployed.settings.stored.table_path("protocol_table")
    table = PROTOCOL_TABLE.require(pq.read_table(path)).to_pandas()
    is_corrected = table["rules"] == str(Rules.CORRECTED)
    keys = ["task", "model", "mode", "seed"]
    pairs = table[~is_corrected].merge(
        table[is_corrected], on=keys, suffixes=("", "_corrected"), validate="one_to_one"
    )
    head = (
        f"{'task':<14}{'model':<18}{'mode':<14}{'seed':>5}{'published':>11}   "
        f"{'as published':<24}{'corrected':<24}"
    )
    lines = [
        f"{row['task']:<14}{row['model']:<18}{row['mode']:<14}{row['seed']:>5}"
        f"{format_number(row['published']):>11}   "
        + "".join(
            f"{_value(row[f'value{end}'], row[f'low{end}'], row[f'high{end}']):<24}"
            for end in ("", "_corrected")
        )
        for row in pairs.to_dict("records")
    ]
    lines = [line.rstrip() for line in lines]
    title = f"\n{deployed.protocol.title} ({table['metric'].iloc[0].replace('_', ' ')})"
    page = f"Page: {deployed.root / PAGE}"
    return "\n".join([title, "", head, "-" * len(head), *lines, "", page])


def _value(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "missing or undefined"
    return f"{format_number(value)} {_interval(low, high)}"


PRETRAINING_EPOCHS = 4
PROBE = "linear-probe"
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


class Demo:
    """Runs the jobs in order on one instance.

    Parameters
    ----------
    change_source
        Whether the source of now may take the place of another that the instance holds.
    """

    def __init__(
        self, instance: dg.DagsterInstance, settings: Settings, *, change_source: bool = False
    ) -> None:
        self._instance = instance
        self._settings = settings
        self._change_source = change_source
        self._definitions = build_definitions({"settings": settings})

    def run(self) -> None:
        """Materialize everything that is missing or out of date, then print the result."""
        for run_id in end_dead_runs(self._instance):
            print(f"run {run_id} was killed: it is ended, and what is missing is made", flush=True)
        change = {"record_list": {"change_source": self._change_source}}
        self._job("tables", only=["record_list"], always=True, config=change)
        self._job("tables")
        shards = self._instance.get_dynamic_partitions(str(SHARDS.name))
        # What could not be read may have been repaired, which Dagster does not see.
        refused = any(has_too_many_rejects(self._settings, shard) for shard in shards)
        self._job("preprocess", shards=shards, always=refused)
        if (protocol := protocol_of(self._settings)) is not None:
            self._run_protocol(protocol)
            return
        self._job("describe_data")
        self._job("finetune", config={"finetuned_checkpoint": self._first_training()})
        self._train_rivals()
        self._evaluate_checkpoints()
        self._job("leaderboard_job")
        print(summary_text(self._settings))

    def _run_protocol(self, protocol: Protocol) -> None:
        """Make a protocol's cells of the sources that are stored, and its table."""
        lacking = [
            source
            for source in sources_of(protocol)
            if not self._settings.store.source(source).shard_paths()
        ]
        for source in lacking:
            print(f"{source} is not stored: its cells stay missing. Run with ECG_SOURCE={source}.")
        deployed, failed = DeployedProtocol(self._settings, protocol), []
        for model, source in product(protocol.models, sources_of(protocol)):
            if source not in lacking and deployed.needs_features(model, source):
                self._job("protocol_features_job", partition=f"{model}|{source}", always=True)
        for cell in protocol.cells:
            is_stored = not {*protocol.tasks[cell.task].sources} & {*lacking}
            if not is_stored or not deployed.can_evaluate(cell):
                continue
            partition = f"{cell.row}|{cell.column}"
            try:
                self._job("protocol_cell_job", partition=partition, always=True)
            except EcgAssetsError as error:  # the others go on, and the table says what is missing
                failed.append(f"{partition}: {error}")
        self._job("protocol_table_job", always=True)
        print(protocol_text(deployed))
        if failed:
            raise EcgAssetsError("\n".join([f"{len(failed)} cells failed.", *failed]))

    def _evaluate_checkpoints(self) -> None:
        """Evaluate what lies below checkpoints; name what is not of this deployment."""
        folder = self._settings.store.checkpoints
        manifests = self._settings.stored.folder("manifests")
        for checkpoint in complete_checkpoints(folder):
            name = checkpoint.checkpoint_id
            if reason := explain_misfit(folder / name, manifests):
                print(f"{name} is not evaluated. {reason}", flush=True)
                continue
            self._instance.add_dynamic_partitions(str(CHECKPOINTS.name), [name])
            if needs_evaluation(self._instance, self._settings, checkpoint):
                self._job("evaluate", partition=name, always=True)
                if self._has_exclusive_labels:
                    self._export(name)

    @property
    def _has_exclusive_labels(self) -> bool:
        recipe = PRESETS.get(self._settings.preset)
        return recipe is not None and recipe.objective == "exclusive"

    def _first_training(self) -> Mapping[str, str]:
        """Give the configuration of the first checkpoint: empty, or that of an encoder."""
        made_here = self._has_exclusive_labels and not self._settings.pretrained
        return self._encoder if made_here else self._of_numbers

    @property
    def _of_numbers(self) -> Mapping[str, str]:
        """Configuration of a training where the label set is of numbers: presets are of labels."""
        recipe = PRESETS.get(self._settings.preset)
        is_of_labels = recipe is None or recipe.regression_loss is None
        vocabulary = self._settings.load_label_set().vocabulary
        return {"objective": "huber"} if is_of_labels and vocabulary.is_continuous else {}

    @property
    def _encoder(self) -> Mapping[str, str]:
        """Configuration of what stands for published weights, which are fine-tuned.

        Those were trained on very many statements; here it is the preset's own labels, each
        by itself.
        """
        family = family_of_preset(self._settings.preset)
        return {"preset": tiny_presets()[family.name], "objective": "multi-label"}

    def _train_rivals(self) -> None:
        """Train what the first checkpoint is compared with: a linear probe at least.

        A probe of a random encoder would be beaten by anything. Large models of other presets
        have no rival: their encoder is not made here.
        """
        if pretraining := self._pretraining_preset():
            config = {"preset": pretraining, "epochs": PRETRAINING_EPOCHS}
            is_another = self._preset_of("pretrained_checkpoint") not in {None, pretraining}
            self._job("pretrain", always=is_another, config={"pretrained_checkpoint": config})
            encoder = latest_metadata(self._instance, "pretrained_checkpoint")["folder"].value
            self._finetune(method=PROBE, pretrained=str(encoder))
        elif self._has_exclusive_labels and not self._is_trained(PROBE):
            encoder = self._settings.pretrained or self._train_encoder()
            if not self._settings.pretrained:
                self._finetune(pretrained=encoder)
            self._finetune(method=PROBE, pretrained=encoder)

    def _pretraining_preset(self) -> str | None:
        """Give what pre-trains the tiny model that the preset is of, where something does."""
        family = family_of_preset(self._settings.preset).name
        if tiny_presets().get(family) != self._settings.preset:
            return None
        return find_pretraining_preset(family, PRESETS[self._settings.preset].size)

    def _train_encoder(self) -> str:
        """Give the encoder's folder; a finished one is found again, not trained again."""
        self._finetune(**self._encoder)
        encoder = latest_metadata(self._instance, "finetuned_checkpoint")["folder"].value
        print(f"  stands for published weights: {encoder}", flush=True)
        return str(encoder)

    def _finetune(self, **config: str) -> None:
        """Train one more checkpoint; not again after a probe, which is the last."""
        self._job(
            "finetune",
            only=["finetuned_checkpoint"],
            always=not self._is_trained(PROBE),
            config={"finetuned_checkpoint": {**self._of_numbers, **config}},
        )

    def _preset_of(self, asset: str) -> str | None:
        """Name the preset of an asset's newest training; None where nothing says it."""
        run = latest_metadata(self._instance, asset).get("run")
        request = run.value.get("request", {}) if run is not None else {}
        return str(request["preset"]) if "preset" in request else None

    def _is_trained(self, method: str) -> bool:
        """Tell whether the newest checkpoint was trained in this way."""
        found = latest_metadata(self._instance, "finetuned_checkpoint")["method"].value
        return bool(found == method)

    def _export(self, checkpoint: str) -> None:
        """Write the folder to use a checkpoint with; with ONNX where its packages are there."""
        with_onnx = all(find_spec(name) for name in ONNX_PACKAGES)
        self._job(
            "production",
            partition=checkpoint,
            always=True,
            config={"production_model": {"onnx": with_onnx}},
        )

    def _job(
        self,
        name: str,
        *,
        only: Sequence[str] = (),
        shards: Sequence[str] = (),
        partition: str | None = None,
        always: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        job = self._definitions.resolve_job_def(name)
        keys = [dg.AssetKey(asset) for asset in only] or sorted(
            job.asset_layer.executable_asset_keys
        )
        if not always:
            keys = assets_to_run(self._definitions, self._instance, self._settings, keys, shards)
        if not keys:
            print(f"{name}: everything is stored and current", flush=True)
            return
        listed = ", ".join(key.to_user_string() for key in keys)
        print(f"{name}: {listed}{f', {partition}' if partition else ''}", flush=True)
        started = time.monotonic()
        tags = process_tags() | (
            {
                ASSET_PARTITION_RANGE_START_TAG: shards[0],
                ASSET_PARTITION_RANGE_END_TAG: shards[-1],
            }
            if shards
            else {}
        )
        result = job.execute_in_process(
            instance=self._instance,
            asset_selection=keys,
            partition_key=partition,
            tags=tags,
            run_config={
                "loggers": {"console": {"config": {"log_level": "INFO"}}},
                "ops": {
                    asset: {"config": values}
                    for asset, values in (config or {}).items()
                    if dg.AssetKey(asset) in keys
                },
            },
            raise_on_error=False,
        )
        require_success(result)
        print(f"  done in {time.monotonic() - started:.0f} s (run {result.run_id})", flush=True)
