"""A published protocol as a file: tasks, models, modes, rules, and the numbers of its table.

A file is one of this package (``files``), one that another package brings by an entry point, or a
user's own, which may be ``like`` one of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import pandas as pd
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ecg_assets.entry_points import EntryPoints, find_entry_points
from ecg_assets.errors import SettingsError
from ecg_assets.evaluation.matrix.design import is_name
from ecg_assets.evaluation.matrix.linear_probe import ProbeGrid
from ecg_assets.frozen_model import FrozenModel, Number
from ecg_assets.metrics.published_intervals import Resampling, Undefined, Unit
from ecg_assets.yaml_file import read_yaml

GROUP = "ecg_assets.protocols"
"""Group of the entry points by which other packages bring protocols: functions without arguments
that give the path of a file."""

_ROOM = Path(__file__).parent
_FILES, _PUBLISHED = _ROOM / "files", _ROOM / "published"

LOGISTIC_REGRESSION = "logistic-regression"
Method = Literal[
    "full", "linear-probe", "attention-probe", "lora", "frozen-then-unfrozen", "logistic-regression"
]


class Rules(StrEnum):
    """By whose rules a cell is trained and measured."""

    AS_PUBLISHED = "as published"
    CORRECTED = "corrected"


def _require_names(table: dict[str, Any]) -> dict[str, Any]:
    _require_nameable(table)
    return table


def _require_nameable(names: Iterable[str]) -> None:
    if wrong := sorted(name for name in names if not is_name(name)):
        raise ValueError(
            f"{wrong} cannot name partitions and files; allowed: letters, digits, '.', '_' and "
            "'-', a letter or digit first, no two dots in a row."
        )


class ProtocolModel(FrozenModel):
    """A model of the protocol."""

    preset: str = Field(description="Its recipe, which names its family and size.")
    checkpoint: str = Field(
        default="",
        description="Checkpoint folder, published file or hf:owner/name[:file].",
    )
    from_scratch: bool = Field(
        default=False,
        description="Random weights are what is meant. Otherwise a model without a checkpoint has "
        "no numbers, and the table says why.",
    )
    published_as: str = Field(default="", description="Its name in the published table.")
    modes: tuple[str, ...] = Field(
        default=(), description="The modes that it is trained in; none: all."
    )
    saw: tuple[str, ...] = Field(
        default=(),
        description="Tasks whose recordings were in its pre-training, as its authors say.",
    )
    as_published: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of SignalSpec as the paper fed it, where they are not its own; they "
        "go before those of the protocol.",
    )

    @property
    def has_weights(self) -> bool:
        """Whether it is said what it starts from."""
        return bool(self.checkpoint) or self.from_scratch


class Mode(FrozenModel):
    """How a model is trained for a task."""

    method: Method
    published_as: str = Field(default="", description="Its name in the published table.")
    train_fraction: Number = Field(
        default=1.0, gt=0, le=1, description="Share of the training patients."
    )
    changes: dict[str, Any] = Field(
        default_factory=dict, description="Fields of each model's recipe; see `Recipe`."
    )
    probe: ProbeGrid = Field(default=ProbeGrid(), description="Of a logistic regression.")


class TaskRules(FrozenModel):
    """What of a task differs between the two columns; empty fields are the task's own."""

    label_set: str = ""
    split: dict[str, Any] = Field(default_factory=dict)


class Task(FrozenModel):
    """A dataset with labels: what a model is trained for and tested on."""

    title: str
    source: str = Field(description="Dataset, as in ECG_SOURCE.")
    version: str = Field(default="", description="Release that the paper used.")
    databases: tuple[str, ...] = Field(
        default=(), description="Of a collection, the databases that count; none: all."
    )
    label_set: str = Field(description="As in ECG_LABEL_SET.")
    split: dict[str, Any] = Field(
        default_factory=lambda: {"kind": "folds"}, description="See `TaskSplit`."
    )
    least_duration_s: Number = Field(
        default=0.0, ge=0, description="Shorter recordings do not count."
    )
    test_source: str = Field(
        default="",
        description="Another dataset whose recordings, all of them, are the test split.",
    )
    metric: Literal["macro_auroc", "macro_auprc", "sensitivity_within_capacity"] = "macro_auroc"
    published_as: str = Field(default="", description="Its name in the published table.")
    published_test_records: int | None = Field(
        default=None, description="Recordings of the paper's test split."
    )
    as_published: TaskRules = TaskRules()
    corrected: TaskRules = TaskRules()
    note: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Datasets whose stored results it reads."""
        return tuple(dict.fromkeys(filter(None, (self.source, self.test_source))))

    def label_set_by(self, rules: Rules) -> str:
        """Give its label set by some rules."""
        return self._of(rules).label_set or self.label_set

    def split_by(self, rules: Rules) -> dict[str, Any]:
        """Give its split by some rules."""
        return self._of(rules).split or self.split

    def _of(self, rules: Rules) -> TaskRules:
        return self.as_published if rules is Rules.AS_PUBLISHED else self.corrected


class Deviation(FrozenModel):
    """A cell of the paper that was computed otherwise than its text says."""

    models: tuple[str, ...]
    modes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    method: Method | None = Field(
        default=None, description="What was done in place of the mode's method; none: not known."
    )
    what: str = Field(description="In a sentence, for the table.")

    def is_of(self, cell: ProtocolCell) -> bool:
        """Whether it is of a cell."""
        lists = ((self.models, cell.model), (self.modes, cell.mode), (self.tasks, cell.task))
        return all(not names or name in names for names, name in lists)


def _of_recordings(value: Any) -> Any:
    """Draw recordings where an interval does not say what."""
    return {"unit": Unit.RECORDING, **value} if isinstance(value, Mapping) else value


class AsPublished(FrozenModel):
    """The paper's own rules, where they are not those of this package."""

    signal: dict[str, Any] = Field(
        default_factory=dict, description="Fields of SignalSpec that all models were fed with."
    )
    interval: Annotated[Resampling, BeforeValidator(_of_recordings)] = Field(
        default=Resampling(Unit.RECORDING), description="How its intervals were drawn."
    )
    deviations: tuple[Deviation, ...] = ()


class PublishedCell(FrozenModel):
    """A number of the paper's table."""

    task: str
    model: str
    mode: str
    value: Number = Field(ge=0, le=1)
    low: Number | None = Field(default=None, ge=0, le=1)
    high: Number | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _has_an_interval_or_none(self) -> Self:
        if (self.low is None) != (self.high is None) or (self.low or 0) > (self.high or 0):
            raise ValueError(
                f"published of {self.task}, {self.model}, {self.mode} has the interval "
                f"{self.low} to {self.high}; expected both ends in their order, or none."
            )
        return self

    @property
    def lies_outside_itself(self) -> bool:
        """Whether it lies outside its own interval, which an interval of resamples can do."""
        if self.low is None or self.high is None:
            return False
        return not self.low <= self.value <= self.high


class ProtocolCell(NamedTuple):
    """A model that is trained in one mode for one task with one seed.

    >>> ProtocolCell("ecg-fm", "linear", "super", 0).row
    'ecg-fm/linear'
    """

    model: str
    mode: str
    task: str
    seed: int

    @property
    def row(self) -> str:
        """Its model and mode."""
        return f"{self.model}/{self.mode}"

    @property
    def column(self) -> str:
        """Its task and seed."""
        return f"{self.task}/{self.seed}"


def _list_published(value: Any) -> Any:
    """Read the cells of a table of ``published``, where its name stands in their place."""
    if not isinstance(value, str):
        return value
    path = _PUBLISHED / value
    if Path(value).name != value or not path.is_file():
        known = sorted(file.name for file in _PUBLISHED.glob("*.csv"))
        raise ValueError(f"published is {value!r}; expected cells, or one of {known}.")
    table = pd.read_csv(path)
    return tuple(
        {name: (None if pd.isna(found) else found) for name, found in row.items()}
        for row in table.to_dict("records")
    )


Named = AfterValidator(_require_names)


class Protocol(FrozenModel):
    """What a paper did, and what its table says."""

    name: str = ""
    title: str
    reference: str = Field(description="Where its definitions stand: paper, code with commit.")
    numbers: str = Field(default="", description="Where its numbers stand.")
    about: str = Field(default="", description="What a reader of the table must know.")
    tasks: Annotated[dict[str, Task], Named, Field(min_length=1)]
    models: Annotated[dict[str, ProtocolModel], Named, Field(min_length=1)]
    modes: Annotated[dict[str, Mode], Named, Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    as_published: AsPublished = AsPublished()
    n_resamples: int = Field(
        default=1000, ge=0, lt=2**16, description="Of the corrected intervals, over patients."
    )
    n_permutations: int = Field(
        default=1000, ge=0, description="Of patients, for differences between models."
    )
    published: Annotated[tuple[PublishedCell, ...], BeforeValidator(_list_published)] = ()

    @model_validator(mode="after")
    def _names_its_own(self) -> Self:
        if self.name:
            _require_nameable([self.name])
        for name, model in self.models.items():
            self._require_known(f"models.{name}.modes", model.modes, self.modes)
            self._require_known(f"models.{name}.saw", model.saw, self.tasks)
            if model.checkpoint and model.from_scratch:
                raise ValueError(
                    f"models.{name} has a checkpoint, and is from_scratch. Choose one."
                )
        for deviation in self.as_published.deviations:
            self._require_known("as_published.deviations.models", deviation.models, self.models)
            self._require_known("as_published.deviations.modes", deviation.modes, self.modes)
            self._require_known("as_published.deviations.tasks", deviation.tasks, self.tasks)
        metrics = {task.metric for task in self.tasks.values()} - {"macro_auroc"}
        if metrics and self.as_published.interval.undefined is Undefined.HALF:
            raise ValueError(
                f"as_published.interval.undefined is half, which an AUROC is by chance; {metrics} "
                "need redraw or undefined."
            )
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"seeds are {list(self.seeds)}; expected distinct numbers from 0.")
        if len(self._published_by_name) < len(self.published):
            names = Counter((cell.task, cell.model, cell.mode) for cell in self.published)
            twice = sorted(name for name, count in names.items() if count > 1)
            raise ValueError(f"published has numbers of {twice} more than once; keep one of each.")
        return self

    @staticmethod
    def _require_known(field: str, names: tuple[str, ...], known: Mapping[str, Any]) -> None:
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{field} names {unknown}; the file has {list(known)}.")

    @property
    def cells(self) -> list[ProtocolCell]:
        """All cells, task by task."""
        return [
            ProtocolCell(model, mode, task, seed)
            for task, model, mode, seed in product(self.tasks, self.models, self.modes, self.seeds)
            if self.has_mode(model, mode)
        ]

    def has_mode(self, model: str, mode: str) -> bool:
        """Whether a model is trained in a mode."""
        only = self.models[model].modes
        return not only or mode in only

    def method_of(self, cell: ProtocolCell, rules: Rules) -> str:
        """Give a cell's method by some rules."""
        if rules is Rules.AS_PUBLISHED:
            for deviation in self.deviations_of(cell):
                if deviation.method:
                    return deviation.method
        return self.modes[cell.mode].method

    def signal_of(self, model: str, rules: Rules) -> dict[str, Any]:
        """Give the fields of a model's SignalSpec that are not its own by some rules."""
        if rules is Rules.CORRECTED:
            return {}
        return {**self.as_published.signal, **self.models[model].as_published}

    def deviations_of(self, cell: ProtocolCell) -> list[Deviation]:
        """Give what of a cell the paper computed otherwise than its text says."""
        return [found for found in self.as_published.deviations if found.is_of(cell)]

    def published_of(self, cell: ProtocolCell) -> PublishedCell | None:
        """Give the paper's number of a cell; None where it has none."""
        names = (
            self.tasks[cell.task].published_as or cell.task,
            self.models[cell.model].published_as or cell.model,
            self.modes[cell.mode].published_as or cell.mode,
        )
        return self._published_by_name.get(names)

    @cached_property
    def _published_by_name(self) -> dict[tuple[str, str, str], PublishedCell]:
        return {(cell.task, cell.model, cell.mode): cell for cell in self.published}


def shipped_protocols() -> tuple[str, ...]:
    """Names of the files of this package."""
    return tuple(sorted(path.stem for path in _FILES.glob("*.yaml")))


@cache
def _brought() -> EntryPoints[Path]:
    return find_entry_points(GROUP, object, lambda _, find: Path(find()))


def list_protocols() -> tuple[str, ...]:
    """Names that ECG_PROTOCOL takes beside the path of a file."""
    return (*shipped_protocols(), *sorted(set(_brought().found) - set(shipped_protocols())))


def _find_file(name: str, beside: Path | None = None) -> Path:
    if name in shipped_protocols():
        return _FILES / f"{name}.yaml"
    if name in _brought().found:
        return _brought().found[name]
    path = Path(name).expanduser()
    path = path if beside is None or path.is_absolute() else beside / path
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    fault = _brought().faults.get(name, "")
    named = "ECG_PROTOCOL" if beside is None else f"like of a file in {beside}"
    raise SettingsError(
        f"{named} is {name!r}, which is neither one of {', '.join(list_protocols())} nor a "
        f"YAML file. {fault}".strip()
    )


def load_protocol(name: str) -> Protocol:
    """Load a protocol by its name, or from a file.

    What a file does not say is as in the one that its ``like`` names. ``tasks``, ``models`` and
    ``modes`` of a file name those that it has: what an entry does not say is as in the other's of
    that name, and so are fields of ``changes`` and of ``as_published`` that it does not name.

    Raises
    ------
    SettingsError
        When there is none of that name, or the file cannot be understood.
    """
    path = _find_file(name)
    try:
        table = _read(path, ())
        return Protocol(**{**table, "name": table.get("name") or path.stem})
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"Protocol {name!r}: {error}") from error


_BY_NAME = ("tasks", "models", "modes")


def _read(path: Path, before: tuple[Path, ...]) -> dict[str, Any]:
    if path in before:
        raise ValueError(f"like: {path.name} leads back to the file itself.")
    own = read_yaml(path)
    if not isinstance(own, Mapping):
        raise ValueError(f"{path.name} has no keys and values.")
    own = dict(own)
    base: dict[str, Any] = {}
    if "like" in own:
        base = _read(_find_file(str(own.pop("like")), path.parent), (*before, path))
        base.pop("name", None)
        base = _without_strangers(base, own)
    for key in _BY_NAME:
        if isinstance(own.get(key), Mapping):
            inherited = base.get(key, {})
            own[key] = {
                name: _merge(inherited.get(name, {}), entry, "changes")
                if isinstance(entry, Mapping)
                else inherited.get(name)
                if entry is None
                else entry
                for name, entry in own[key].items()
            }
    return _merge(base, own, "as_published")


def _merge(base: Mapping[str, Any], own: Mapping[str, Any], deep: str) -> dict[str, Any]:
    """Let a file's keys stand before the other's, and so those of one of them."""
    merged = {**base, **own}
    if isinstance(base.get(deep), Mapping) and isinstance(own.get(deep), Mapping):
        merged[deep] = {**base[deep], **own[deep]}
    return merged


def _without_strangers(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of what is inherited the tasks, models and modes that a file has not."""
    names = {key: set(own.get(key) or base.get(key) or {}) for key in _BY_NAME}

    def keep(entry: Mapping[str, Any], *fields: tuple[str, str]) -> dict[str, Any]:
        listed = ((field, key) for field, key in fields if isinstance(entry.get(field), list))
        kept = {field: [n for n in entry[field] if n in names[key]] for field, key in listed}
        return {**entry, **kept}

    models = {}
    for name, entry in (base.get("models") or {}).items():
        kept = keep(entry, ("saw", "tasks"), ("modes", "modes"))
        # An empty list would be all modes: a model of none is in the file only if it says so.
        if kept.get("modes") or not entry.get("modes"):
            models[name] = kept
        elif name in (own.get("models") or {}):
            models[name] = {**kept, "modes": entry["modes"]}
    published = dict(base.get("as_published") or {})
    fields = [(key, key) for key in _BY_NAME]
    if "deviations" in published:
        pairs = [(entry, keep(entry, *fields)) for entry in published["deviations"]]
        # One of whose models, modes or tasks none is left is of no cell here.
        published["deviations"] = [
            kept
            for entry, kept in pairs
            if all(kept.get(field) or not entry.get(field) for field, _ in fields)
        ]
    return {**base, "models": models, "as_published": published}
