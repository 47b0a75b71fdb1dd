"""A deployment's protocol: its recipes and partitions, and one cell from stored data to scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg

from ecg_assets.defs.computing import Compute, compute_silently
from ecg_assets.defs.design_models import (
    DesignModel,
    Train,
    finetune_cell,
    fingerprint_large,
    fingerprint_signals,
    probe_embeddings,
)
from ecg_assets.defs.matrix import describe_seen
from ecg_assets.defs.matrix_partitions import map_dimensions, two_dimensions
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.evaluation.matrix.stored import MissingCell, read_embedding_inputs
from ecg_assets.labels.label_set import (
    OWN_SET,
    fingerprint_label_set,
    is_label_set,
    shipped_label_sets,
)
from ecg_assets.lineage import fingerprint_json
from ecg_assets.made_with import SPLIT_RULE, known_facts
from ecg_assets.models.checkpoint_folder import read_spec
from ecg_assets.models.families import FAMILIES
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS
from ecg_assets.protocols.cells import CellFacts, Found, StoredCell, read_cell
from ecg_assets.protocols.protocol import (
    LOGISTIC_REGRESSION,
    Protocol,
    ProtocolCell,
    Rules,
    Task,
    load_protocol,
)
from ecg_assets.protocols.task import build_task_data, find_split
from ecg_assets.sources.datasets import datasets, find_dataset, look_up_dataset
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT, name_fold_rule
from ecg_assets.split.task_split import name_task_rule
from ecg_assets.store import SourceStore
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import PROBES, RATES, Recipe

ROW, COLUMN = "model_mode", "task_seed"
"""Dimensions of the cells' partitions."""
MODEL, SOURCE = "model", "source"
"""Dimensions of the features' partitions."""


def protocol_of(settings: Settings) -> Protocol | None:
    """Load the protocol of ECG_PROTOCOL; None where it is not set.

    Raises
    ------
    SettingsError
        When it cannot be understood, names what is not there, a recipe does not allow its changes,
        or another setting contradicts it.
    """
    if not settings.protocol:
        return None
    protocol = load_protocol(settings.protocol)
    _require_known(protocol)
    for cell in protocol.cells:
        for rules in Rules:
            recipe_of(protocol, cell, rules)
    _require_no_contradiction(protocol, settings)
    return protocol


def _require_known(protocol: Protocol) -> None:
    for name, model in protocol.models.items():
        if model.preset not in PRESETS:
            raise SettingsError(
                f"Protocol {protocol.name}: models.{name}.preset is {model.preset!r}; allowed: "
                f"{', '.join(PRESETS)}."
            )
    for name, task in protocol.tasks.items():
        for source in task.sources:
            if look_up_dataset(source) is None:
                raise SettingsError(
                    f"Protocol {protocol.name}: tasks.{name} is of source {source!r}; known: "
                    f"{', '.join(datasets())}."
                )
        for rules in Rules:
            find_split(task, rules)
            label_set, shipped = task.label_set_by(rules), (*shipped_label_sets(), OWN_SET)
            if label_set != OWN_SET and not is_label_set(label_set):
                raise SettingsError(
                    f"Protocol {protocol.name}: tasks.{name} has the label set {label_set!r}, "
                    f"which is neither a file nor one of {', '.join(shipped)}."
                )
        known = find_dataset(task.source).database_folders
        if known and (unknown := [one for one in task.databases if one not in known]):
            raise SettingsError(
                f"Protocol {protocol.name}: tasks.{name} is of the databases {unknown}; "
                f"{task.source} has {list(known)}."
            )


def _require_no_contradiction(protocol: Protocol, settings: Settings) -> None:
    """Refuse settings that ask for something else than the protocol does."""
    said = f"The protocol {protocol.name} (ECG_PROTOCOL)"
    sources = sources_of(protocol)
    if settings.source not in sources:
        raise SettingsError(
            f"{said} is of {', '.join(sources)}, but ECG_SOURCE is {settings.source}. Set it to "
            "one of these: each is stored in its turn."
        )
    asked = {
        "ECG_RECORD_PART": (settings.record_part, "first"),
        "ECG_SEGMENT_S": (settings.segment_s, 0),
        "ECG_MAX_PER_CONDITION": (settings.max_per_condition, "0"),
        "ECG_PRETRAINED": (settings.pretrained, ""),
    }
    by_folds = any(
        task.split_by(rules).get("kind", "folds") == "folds"
        for task in protocol.tasks.values()
        if task.source == settings.source
        for rules in Rules
    )
    if by_folds:
        asked["ECG_META_SPLIT"] = (settings.meta_split, "")
        asked["ECG_SPLIT"] = (settings.split or "folds", "folds")
    for variable, (found, wanted) in asked.items():
        if found != wanted:
            raise SettingsError(
                f"{said} says what {variable} says, and it is {found!r}. Leave it unset, or take "
                "out ECG_PROTOCOL."
            )


def sources_of(protocol: Protocol) -> tuple[str, ...]:
    """Datasets whose stored results a protocol reads, in its order."""
    return tuple(dict.fromkeys(s for task in protocol.tasks.values() for s in task.sources))


def recipe_of(protocol: Protocol, cell: ProtocolCell, rules: Rules) -> Recipe:
    """Give the recipe that a cell is trained by, by some rules.

    Of a frozen encoder without a checkpoint it says that its weights are random ones.

    Raises
    ------
    SettingsError
        When the preset does not allow the mode's changes.
    """
    model, mode = protocol.models[cell.model], protocol.modes[cell.mode]
    method = protocol.method_of(cell, rules)
    own: dict[str, Any] = {
        "method": "full" if method == LOGISTIC_REGRESSION else method,
        "reports_test": False,
        "random_encoder": False,
        "any_signals": bool(signal_of(protocol, cell.model, rules)),
    }
    common: dict[str, Any] = {"head_epochs": 0, "objective": "multi-label"}
    if method in (*PROBES, LOGISTIC_REGRESSION):
        # Rates of the encoder's layers are for those who train it.
        own |= dict.fromkeys(RATES, 1.0)
        own |= {"freeze_convolutions": False}
        own |= {"random_encoder": method in PROBES and not model.checkpoint}
    try:
        recipe: Recipe = PRESETS[model.preset].changed(**{**common, **mode.changes, **own})
    except ValueError as error:
        raise SettingsError(
            f"Protocol {protocol.name}: mode {cell.mode!r} does not fit models.{cell.model}, "
            f"preset {model.preset!r}: {error}"
        ) from error
    return recipe


def signal_of(protocol: Protocol, model: str, rules: Rules) -> dict[str, Any]:
    """Give the fields of a model's signal spec that are not its own, by some rules.

    So that a paper that fed a model what it reads asks for no second training. A checkpoint
    folder's own are those that it was trained on, other weights' their family's.
    """
    changes, named = protocol.signal_of(model, rules), protocol.models[model]
    folder = Path(named.checkpoint).expanduser()
    own = read_spec(folder) if named.checkpoint and folder.is_dir() else None
    own = own or FAMILIES[PRESETS[named.preset].family].signal_spec(STANDARD_LEADS)
    try:
        return {} if replace(own, **changes) == own else changes
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"Protocol {protocol.name}: the signals of {model} {rules} cannot be made: {error}"
        ) from error


# Partitions.


def cell_partitions(protocol: Protocol) -> dg.MultiPartitionsDefinition:
    """Partition cells by model with mode, and by task with seed."""
    models = runnable_models(protocol)
    cells = [cell for cell in protocol.cells if cell.model in models]
    return two_dimensions(
        {
            ROW: dict.fromkeys(cell.row for cell in cells),
            COLUMN: dict.fromkeys(cell.column for cell in cells),
        }
    )


def runnable_models(protocol: Protocol) -> list[str]:
    """Name the models that have weights to start from: the others' partitions could only fail.

    All of them where none has: the message of a run then says what to name.
    """
    named = [name for name, model in protocol.models.items() if model.has_weights]
    return named or list(protocol.models)


def feature_partitions(protocol: Protocol) -> dg.MultiPartitionsDefinition:
    """Partition frozen features by model and source."""
    return two_dimensions({MODEL: runnable_models(protocol), SOURCE: sources_of(protocol)})


def cells_of_features(protocol: Protocol) -> dg.MultiPartitionMapping:
    """Map each model's features of a source to its cells of the tasks of that source."""
    rows = {
        model: list(dict.fromkeys(c.row for c in protocol.cells if c.model == model))
        for model in runnable_models(protocol)
    }
    columns = {
        source: [
            f"{name}/{seed}"
            for name, task in protocol.tasks.items()
            if source in task.sources
            for seed in protocol.seeds
        ]
        for source in sources_of(protocol)
    }
    return map_dimensions({MODEL: (ROW, rows), SOURCE: (COLUMN, columns)})


# Where a protocol keeps its files, and what each of its parts is made from.


@dataclass(frozen=True)
class DeployedProtocol:
    """A deployment's settings and its protocol.

    Attributes
    ----------
    settings, protocol
        What is asked for.
    """

    settings: Settings
    protocol: Protocol

    @property
    def root(self) -> Path:
        """Folder of all results of the protocol."""
        return self.settings.store.protocols / self.protocol.name

    @property
    def cells(self) -> Path:
        """Folder of the evaluated cells."""
        return self.root / "cells"

    def features(self, model: DesignModel, stored: SourceStore) -> Path:
        """File of a model's features of a source, for what it is fed with and its seed."""
        fed_with = fingerprint_json({"signal": dict(model.signal), "seed": model.seed})[:12]
        return self.root / "features" / stored.name / f"{model.name}-{fed_with}.parquet"

    def stored(self, source: str) -> SourceStore:
        """Results of a source, be it the current one or another."""
        return self.settings.store.source(source)

    def model(self, cell: ProtocolCell, rules: Rules) -> DesignModel:
        """Give what the rest of the package knows of a cell's model by some rules.

        Raises
        ------
        SettingsError
            When the model has no checkpoint, and is not meant to start from random weights.
        """
        named = self.protocol.models[cell.model]
        if not named.has_weights:
            raise SettingsError(
                f"models.{cell.model} has no checkpoint. Name its weights in a file of yours: "
                f"like: {self.protocol.name}, models: {{{cell.model}: {{checkpoint: …}}}}, and "
                "set ECG_PROTOCOL to it; or say from_scratch: true where random weights are meant."
            )
        return DesignModel(
            name=cell.model,
            checkpoint=named.checkpoint,
            recipe=recipe_of(self.protocol, cell, rules),
            settings=self.settings,
            seed=cell.seed,
            imported=self.settings.store.protocols / "imported",
            where=f"the protocol {self.protocol.name}",
            signal=signal_of(self.protocol, cell.model, rules),
        )

    def splits(self, task: Task, rules: Rules) -> dict[str, str] | None:
        """Read the split of each recording of a task by the dataset's folds, or as it is stored.

        Raises
        ------
        SettingsError
            When what is stored is another split, and the dataset is not the one at hand.
        """
        rule, stored = find_split(task, rules), self.stored(task.source)
        if rule.kind not in ("folds", "stored"):
            return None
        if stored.table_path(SPLIT.name).is_file():
            table = stored.read_table(SPLIT)
            is_by_folds = known_facts(table).get(SPLIT_RULE) == name_fold_rule(task.source)
            if rule.kind == "stored" or (is_by_folds and not rule.folds):
                return dict(zip(table["record_id"], table["split"], strict=True))
        if rule.kind == "folds" and self.settings.source == task.source:
            folds = find_dataset(task.source).find_folds(rule.folds)
            return folds.name_splits(self.settings.open_source())
        raise SettingsError(
            f"{task.title} is split by the folds of {task.source}, which are not stored. "
            f"Materialize split with ECG_SOURCE={task.source} and ECG_SPLIT=folds."
        )

    def feature_models(self, model: str, source: str) -> list[DesignModel]:
        """Give each variant of a model whose features of a source some cell reads."""
        found: dict[Path, DesignModel] = {}
        for cell in self.protocol.cells:
            task = self.protocol.tasks[cell.task]
            if cell.model != model or source not in task.sources:
                continue
            for rules in Rules:
                if self.protocol.method_of(cell, rules) == LOGISTIC_REGRESSION:
                    variant = self.model(cell, rules)
                    found[self.features(variant, self.stored(source))] = variant
        return list(found.values())

    def needs_features(self, model: str, source: str) -> bool:
        """Whether a cell reads features of a model that are not stored."""
        if not self.protocol.models[model].has_weights:
            return False
        stored = self.stored(source)
        return any(
            (inputs := read_embedding_inputs(self.features(one, stored))) is None
            or not inputs.is_of(one.name_inputs(one.find(), stored))
            for one in self.feature_models(model, source)
        )

    def can_evaluate(self, cell: ProtocolCell) -> bool:
        """Whether a cell has weights to start from, and is not stored by both rules."""
        return self.protocol.models[cell.model].has_weights and any(
            isinstance(self.find(cell, rules), MissingCell) for rules in Rules
        )

    def identify(self, cell: ProtocolCell, rules: Rules) -> str:
        """Fingerprint all that protocol and settings ask of a cell; `name_data` is the rest."""
        settings, protocol = self.settings, self.protocol
        task, mode = protocol.tasks[cell.task], protocol.modes[cell.mode]
        model, method = self.model(cell, rules), protocol.method_of(cell, rules)
        return fingerprint_json(
            {
                "start": model.identify(),
                "signal": dict(model.signal),
                "leads": list(settings.leads),
                "resampling": settings.resampling,
                "method": method,
                "recipe": model.recipe.model_dump(mode="json"),
                "probe": mode.probe.model_dump(mode="json"),
                "train_fraction": mode.train_fraction,
                "seed": cell.seed,
                "source": [task.source, task.test_source, list(task.databases)],
                "labels": fingerprint_label_set(task.label_set_by(rules)),
                "split": find_split(task, rules).model_dump(mode="json"),
                "precision": settings.precision,
            }
        )

    def name_data(self, cell: ProtocolCell, rules: Rules) -> dict[str, str]:
        """Fingerprint what is stored of all that a cell is made from."""
        task = self.protocol.tasks[cell.task]
        rule, found = find_split(task, rules), {}
        for source in task.sources:
            stored = self.stored(source)
            tables = [RECORD_LIST.name, MACHINE_REPORTS.name]
            if source == task.source and rule.kind in {"folds", "stored"}:
                tables.append(SPLIT.name)
            for path in filter(Path.is_file, map(stored.table_path, tables)):
                found[f"{source}/{path.stem}"] = fingerprint_large(path)
            if stored.shard_paths():
                found[f"{source}/signal_shards"] = fingerprint_signals(stored)
        if rule.kind == "file":
            found["split files"] = name_task_rule(rule, self.split_folder)
        return found

    @property
    def split_folder(self) -> Path:
        """Folder of the split files of studies."""
        return self.settings.store.protocols / "splits"

    def find(self, cell: ProtocolCell, rules: Rules) -> Found:
        """Read a stored cell, or say why there is none.

        One whose data changed is none; where they were deleted, nothing says that they did.
        """
        weights = self.protocol.models[cell.model].checkpoint or "random weights"
        try:
            identity = self.identify(cell, rules)
            stored = read_cell(self.cells, cell, rules)
            if stored is None:
                return MissingCell("not evaluated yet", weights)
            if stored.facts.identity != identity:
                reason = "evaluated by another protocol or other settings: materialize it again"
                return MissingCell(reason, weights)
            data = self.name_data(cell, rules)
        except EcgAssetsError as error:
            return MissingCell(str(error), weights)
        made_from = stored.facts.data.get("made_from", {})
        if changed := [name for name in data if data[name] != made_from.get(name)]:
            reason = f"evaluated before {', '.join(changed)} changed: materialize it again"
            return MissingCell(reason, weights)
        return stored

    def collect(self) -> dict[tuple[ProtocolCell, Rules], Found]:
        """Read all cells by both rules, and say why another one is missing."""
        return {
            (cell, rules): self.find(cell, rules) for cell in self.protocol.cells for rules in Rules
        }


def evaluate_cell(
    deployed: DeployedProtocol,
    cell: ProtocolCell,
    rules: Rules,
    train: Train,
    compute: Compute = compute_silently,
) -> StoredCell:
    """Train a cell's model by some rules and score the test split.

    Raises
    ------
    SettingsError
        When the source's results, a lead, the features or the checkpoint are not stored.
    SchemaError, SpecMismatch, LeakageError
        When the task cannot be made of the data.
    """
    settings, protocol = deployed.settings, deployed.protocol
    task, mode = protocol.tasks[cell.task], protocol.modes[cell.mode]
    model, stored = deployed.model(cell, rules), deployed.stored(task.source)
    start, method = model.find(), protocol.method_of(cell, rules)
    model.open_shards(stored, start)
    made_from = deployed.name_data(cell, rules)
    data = build_task_data(
        stored,
        task,
        rules,
        start.spec,
        splits=deployed.splits(task, rules),
        split_folder=deployed.split_folder,
        train_fraction=mode.train_fraction,
        seed=cell.seed,
    )
    tested = None if data.tested.stored is stored else (data.tested.stored, data.tested.manifest)
    if method == LOGISTIC_REGRESSION:
        scored = compute(
            probe_embeddings,
            model,
            start,
            stored,
            data.manifest,
            files={of.name: deployed.features(model, of) for of in (stored, data.tested.stored)},
            advice="Materialize protocol_features, the partition of this model and source, first.",
            tested=tested,
            grid=mode.probe,
        )
    else:
        scored = finetune_cell(
            start,
            stored,
            data.manifest,
            model.recipe,
            train=train,
            compute=compute,
            preset=protocol.models[cell.model].preset,
            name=cell.task,
            settings=settings,
            root=deployed.root,
            tested=tested,
        )
    test = scored.scores.test
    facts = CellFacts(
        **cell._asdict(),
        rules=rules,
        identity=deployed.identify(cell, rules),
        method=method,
        weights=model.describe(),
        weights_sha256=scored.weights_sha256,
        seen_before=describe_seen(start, test.subject_ids.tolist(), data.tested.stored.name),
        signal_spec=start.spec.to_json(),
        data={
            **data.facts,
            "signals": fingerprint_signals(stored),
            "made_from": made_from,
            "leads": list(settings.leads),
        },
        left_out=data.left_out,
        training=scored.details,
    )
    return StoredCell(facts, test)


def evaluate_both(
    deployed: DeployedProtocol,
    cell: ProtocolCell,
    train: Train,
    write: Callable[[Rules, StoredCell], Any],
    compute: Compute = compute_silently,
) -> dict[Rules, StoredCell]:
    """Evaluate a cell by both rules; where they ask for the same training, it is done once."""
    done: dict[Rules, StoredCell] = {}
    for rules in Rules:
        identity = deployed.identify(cell, rules)
        same = next((one for one in done.values() if one.facts.identity == identity), None)
        if same is not None:
            found = replace(same, facts=replace(same.facts, rules=rules))
        else:
            found = evaluate_cell(deployed, cell, rules, train, compute)
        write(rules, found)
        done[rules] = found
    return done
