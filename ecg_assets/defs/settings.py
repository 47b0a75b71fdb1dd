"""All settings: one table of environment variables, and what follows from their values.

Belongs here: where things lie and run, and what shapes data for several assets. What one asset
alone does otherwise is its run configuration.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
from annotated_types import Len
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
)

from ecg_assets.build.builder import QualityPolicy, TrainLimit
from ecg_assets.defs.instance import describe_database, read_postgres_url
from ecg_assets.defs.run_processes import end_with_run
from ecg_assets.errors import CheckpointError, SettingsError
from ecg_assets.evaluation.external.labels import find_stored_labels, load_stored_label_set
from ecg_assets.labels import LabelSet, LabelVocabulary, UpstreamLabeler
from ecg_assets.labels.label_set import OWN_SET, find_study, label_facts
from ecg_assets.lineage import fingerprint_json
from ecg_assets.made_with import (
    EXCLUSION,
    LABEL_SET,
    LABEL_THRESHOLD,
    LABEL_VOCABULARY,
    SIGNAL_SPEC,
    SOURCE,
    SOURCE_SETTINGS,
    SPLIT_RULE,
    TRAIN_LIMIT,
)
from ecg_assets.models.families import signal_kinds
from ecg_assets.models.hub import HubName, is_hub_name
from ecg_assets.preprocess.signal_spec import (
    FIRST_10_S,
    STANDARD_LEADS,
    RecordPart,
    SignalSpec,
    signal_spec_of_kind,
)
from ecg_assets.protocols.protocol import Protocol, load_protocol
from ecg_assets.sources import (
    Dataset,
    Remote,
    RemoteRoot,
    Source,
    datasets,
    find_dataset,
    is_remote,
    open_source,
)
from ecg_assets.split import SplitShares, name_file_rule, name_fold_rule, name_hash_rule
from ecg_assets.store import SourceStore, Store
from ecg_assets.training.finetune.presets import PRESETS, family_of_preset, label_set_of_preset
from ecg_assets.yaml_file import read_yaml

VARIABLES: dict[str, str] = {}
"""Each environment variable that is read, and its default in words."""

WITHDRAWN = {
    "ECG_LABEL_WEIGHTS": "label_weights in the run configuration of computed_labels and of "
    "fairseq_manifests",
    "ECG_REPORT_JOINT": "report_joint in the run configuration of upstream_labels",
    "ECG_TRAINER": "trainer in the run configuration of finetuned_checkpoint",
    "ECG_RESAMPLES": "n_resamples in the run configuration of eval_metrics, external_metrics, "
    "lead_degradation, slice_metrics and matrix_cell",
    "ECG_EVALUATION_SETS": "sets in the run configuration of external_metrics",
    "ECG_MAT_LAYOUT": "layout in the run configuration of mat_records",
    "ECG_MAT_COMPRESS": "compress in the run configuration of mat_records",
    "ECG_SLACK_WEBHOOK": "ECG_ALERT to a function of yours (docs/reevaluation.md has the recipe)",
    "ECG_ALERT_EMAIL": "ECG_ALERT to a function of yours (docs/reevaluation.md has the recipe)",
    "ECG_SMTP_HOST": "ECG_ALERT to a function of yours (docs/reevaluation.md has the recipe)",
}
"""Variables that were read once, and what is set instead."""

OF_THE_TESTS = "ECG_REFERENCE_DATA"
"""A folder of golden files; no setting."""


def require_known_variables(environ: Mapping[str, str]) -> None:
    """Refuse variables that were settings once, and warn of those that never were.

    Raises
    ------
    SettingsError
        When a withdrawn variable is set: what it asked for would not be made.
    """
    if found := [name for name in WITHDRAWN if environ.get(name)]:
        raise SettingsError(
            "\n".join(
                f"{name} is set, and no longer read. Set {WITHDRAWN[name]}, and unset {name}."
                for name in found
            )
        )
    known = {*VARIABLES, *WITHDRAWN, OF_THE_TESTS}
    for name in sorted(name for name in environ if name.startswith("ECG_")):
        if name not in known:
            nearest = difflib.get_close_matches(name, VARIABLES, n=1)
            hint = f" The nearest is {nearest[0]}." if nearest else ""
            warnings.warn(f"{name} is set, but is no setting.{hint}", stacklevel=2)


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _split_leads(text: str) -> list[str]:
    return list(STANDARD_LEADS) if text.strip().lower() == "all" else _split(text)


Leads = Annotated[list[str], BeforeValidator(_split_leads)]
"""Leads by comma; ``all`` means twelve."""


def _require_preset(name: str) -> str:
    if name not in PRESETS:
        nearest = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"the nearest is {nearest[0]}; " if nearest else ""
        raise ValueError(f"There is no such preset; {hint}allowed: {', '.join(PRESETS)}")
    return name


def _find_signal_kind(kind: str) -> Callable[..., SignalSpec]:
    """Find what builds the spec of a kind of signal: a name, or a .yaml file of its fields."""
    kinds = signal_kinds()
    if kind in kinds:
        return kinds[kind]
    if not kind.endswith((".yaml", ".yml")):
        raise ValueError(f"Allowed: {', '.join(kinds)}, or a .yaml file")
    try:
        fields = read_yaml(Path(kind).expanduser())
        if not isinstance(fields, dict):
            raise ValueError("expected fields of SignalSpec and their values.")
        signal_spec_of_kind(fields, leads=STANDARD_LEADS)
    except (OSError, TypeError, ValueError) as error:
        said = str(error).removesuffix(".")
        raise ValueError(f"{kind} gives no signal spec: {said}") from error
    return partial(signal_spec_of_kind, fields)


def _require_signal_kind(kind: str) -> str:
    _find_signal_kind(kind)
    return kind


def _require_there(path: str) -> str:
    if is_hub_name(path):
        try:
            return str(HubName.parse(path))
        except CheckpointError as error:
            raise ValueError(str(error).removesuffix(".")) from error
    if path and not Path(path).expanduser().exists():
        raise ValueError(
            "Nothing is there; give a checkpoint folder, a published file, or hf:owner/name[:file]"
        )
    return path


def _require_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError("Allowed: auto, cpu, cuda, cuda:N")
    return name


def _without_password(text: str) -> str:
    url = read_postgres_url()
    return describe_database(url) if text and url is not None else ""


def read_record_part(text: str) -> RecordPart:
    """Read which part of a recording is used: ``first``, ``all``, or seconds as ``5-35``.

    >>> read_record_part("5-35")
    RecordPart(start_s=5.0, record_s=30.0)
    """
    if text in ("first", "all"):
        return FIRST_10_S if text == "first" else RecordPart(record_s=None)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text)
    start, stop = map(float, found.groups()) if found else (0.0, 0.0)
    if stop <= start:
        raise ValueError("Allowed: first, all, or seconds from and to, such as 0-30")
    return RecordPart(start, stop - start)


def _require_record_part(text: str) -> str:
    read_record_part(text)
    return text


def _require_owners(names: list[str]) -> list[str]:
    unusable = [name for name in names if not re.fullmatch(_OWNER, name)]
    if unusable:
        raise ValueError(
            f"Allowed: e-mail addresses and team:name, by comma; not {', '.join(unusable)}"
        )
    return names


_OWNER = r"team:.+|[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}"
"""What Dagster takes as an owner."""

SignalKind = Annotated[str, AfterValidator(_require_signal_kind)]
DeviceName = Annotated[str, AfterValidator(_require_device)]
PostgresUrl = Annotated[str, AfterValidator(_without_password)]
"""Which database, and where; who opens it reads the variable itself."""
Names = Annotated[list[str], BeforeValidator(_split)]
Owners = Annotated[list[str], BeforeValidator(_split), AfterValidator(_require_owners)]
Words = Annotated[list[str], BeforeValidator(shlex.split)]
Rates = Annotated[list[PositiveFloat], BeforeValidator(_split), Len(1)]
Sizes = Annotated[list[PositiveInt], BeforeValidator(_split), Len(1)]


def _env(
    variable: str,
    default: str | Callable[[], str],
    description: str,
    kind: Any = str,
    *,
    by_default: str = "",
) -> Any:
    """Declare a setting: its variable, the variable's default, its meaning, and its type.

    Parameters
    ----------
    kind
        Type, with its limits, that the variable's text is turned into.
    by_default
        What a computed default is, in words.
    """
    VARIABLES[variable] = default if isinstance(default, str) else by_default

    def read() -> Any:
        text = os.environ.get(variable)
        if text is None:
            text = default if isinstance(default, str) else default()
        try:
            return TypeAdapter(kind).validate_python(text)
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{variable} is {text!r}. {why}.") from error

    return Field(default_factory=read, description=f"{variable}: {description}")


def count_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _protocol() -> Protocol | None:
    """Read the protocol, which brings settings where nothing else is said."""
    name = os.environ.get("ECG_PROTOCOL")
    return load_protocol(name) if name else None


def _source_of_protocol() -> str:
    protocol = _protocol()
    return next(iter(protocol.tasks.values())).source if protocol else "synthetic"


def _label_set() -> str:
    protocol = _protocol()
    if protocol is None:
        return label_set_of_preset(_preset())
    source = os.environ.get("ECG_SOURCE") or _source_of_protocol()
    of_source = [task.label_set for task in protocol.tasks.values() if task.source == source]
    return of_source[0] if of_source else label_set_of_preset(_preset())


def _leads_of_preset() -> str:
    """Choose the leads where nothing else is said: Lead I where the preset's models read it."""
    if os.environ.get("ECG_PROTOCOL"):
        return "all"
    return "I" if ("I",) in family_of_preset(_preset()).lead_sets else "all"


def _preset() -> str:
    """Read the preset, which other settings follow where nothing else is said."""
    return os.environ.get("ECG_PRESET", "tiny")


class CodeLocation(BaseModel):
    """What is fixed when the definitions are loaded: partitions, sensors, where steps run."""

    executor: str = _env(
        "ECG_EXECUTOR",
        "processes",
        "Where steps run: processes, one-process, ray or k8s.",
        Literal["processes", "one-process", "ray", "k8s"],
    )
    alert: str = _env(
        "ECG_ALERT", "log", "Who is told of failed runs and checks: log, or module:function."
    )
    owners: list[str] = _env(
        "ECG_OWNERS",
        "",
        "Who looks after this deployment, shown in the UI: e-mail addresses and team:name, by "
        "comma.",
        Owners,
    )
    sensor_seconds: int = _env(
        "ECG_SENSOR_SECONDS", "30", "Seconds between two looks of the sensors.", PositiveInt
    )
    launch: list[str] = _env(
        "ECG_LAUNCH",
        "",
        "Put before each process that trains or runs a model, e.g. srun --gres=gpu:1; unset: here.",
        Words,
    )
    launcher: list[str] = _env(
        "ECG_LAUNCHER",
        "",
        "Put before the training module, e.g. -m torch.distributed.run --nproc-per-node=4.",
        Words,
    )
    postgres_url: PostgresUrl = _env(
        "ECG_POSTGRES_URL",
        "",
        "PostgreSQL database of Dagster's instance, as postgresql://user:password@host:5432/name; "
        "unset: SQLite in DAGSTER_HOME.",
        PostgresUrl,
    )
    ui_hosts: list[str] = _env(
        "ECG_UI_HOSTS", "", "Other host names that the UI answers to, by comma.", Names
    )
    shards_per_run: int = _env(
        "ECG_SHARDS_PER_RUN", "0", "Shards in one run of a backfill; 0: all.", NonNegativeInt
    )
    n_folds: int = _env(
        "ECG_FOLDS", "5", "Folds of a cross-validation.", Annotated[int, Field(ge=2)]
    )
    learning_rates: list[float] = _env(
        "ECG_GRID_LEARNING_RATES", "0.001,0.004", "Learning rates of the grid search.", Rates
    )
    batch_sizes: list[int] = _env(
        "ECG_GRID_BATCH_SIZES", "16,32", "Batch sizes of the grid search.", Sizes
    )


class Settings(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the data is, where results go, and what every stage must agree on."""

    protocol: str = _env(
        "ECG_PROTOCOL",
        "",
        "A published protocol by its name, or a YAML file; it brings source, labels, split, leads "
        "and models, and refuses settings that contradict it.",
    )
    source: str = _env(
        "ECG_SOURCE",
        _source_of_protocol,
        f"Dataset: one of {', '.join(datasets())}, or ecgbench:<slug>.",
        by_default="`synthetic`; the first of `ECG_PROTOCOL`",
    )
    raw_root: str = _env(
        "ECG_RAW_ROOT",
        "",
        "Root folder of the dataset, or its fsspec URL, e.g. s3://…; synthetic makes its own.",
    )
    data_dir: str = _env("ECG_DATA_DIR", "data", "Folder for all results.")
    leads: list[str] = _env(
        "ECG_LEADS",
        _leads_of_preset,
        "Leads a model sees, by name: I, or I,II; 'all' for twelve, or those of them that the "
        "models of ECG_PRESET read.",
        Leads,
        by_default="`I`; `all` for a preset whose models do not read it alone",
    )
    stored_leads: list[str] = _env(
        "ECG_STORED_LEADS",
        lambda: os.environ.get("ECG_LEADS") or _leads_of_preset(),
        "Leads kept in signal shards; at least those of ECG_LEADS.",
        Leads,
        by_default="those of `ECG_LEADS`",
    )
    signal_kind: SignalKind = _env(
        "ECG_SIGNAL_KIND",
        lambda: family_of_preset(_preset()).signal_kind,
        f"What model input is made of: {', '.join(signal_kinds())}, or a .yaml file with fields of "
        "SignalSpec; unset: what the models of ECG_PRESET read.",
        SignalKind,
        by_default="the preset's",
    )
    resampling: Literal["linear", "polyphase"] = _env(
        "ECG_RESAMPLING",
        "linear",
        "How other sample rates become 500 Hz: linear, as both models' authors do it, or "
        "polyphase.",
        Literal["linear", "polyphase"],
    )
    record_part: str = _env(
        "ECG_RECORD_PART",
        "first",
        "Part of each recording that is used: first (its first 10 s), all, or seconds from and "
        "to, such as 0-30.",
        Annotated[str, AfterValidator(_require_record_part)],
    )
    segment_s: float = _env(
        "ECG_SEGMENT_S",
        "0",
        "Seconds of one model input; 0 is what the models of ECG_PRESET read, or else their "
        "kind: 10 for ecg-founder, 5 for the others.",
        float,
    )
    folders_per_shard: int = _env(
        "ECG_FOLDERS_PER_SHARD", "20", "MIMIC folders (pNNNN) in one shard.", int
    )
    label_set: str = _env(
        "ECG_LABEL_SET",
        _label_set,
        "Labels: a shipped set's name, the path of a file, or own for those of labels.csv; "
        "unset: those that ECG_PRESET is made for.",
        by_default="the preset's",
    )
    label_threshold: float = _env(
        "ECG_LABEL_THRESHOLD",
        "0.5",
        "Lowest probability that makes a label true; 0 counts every hedge, as ECG-FM's "
        "published labels do.",
        float,
    )
    ecg_fm_root: str = _env(
        "ECG_FM_ROOT", "", "A clone of ECG-FM, whose labeler upstream_labels runs."
    )
    ecg_fm_python: str = _env(
        "ECG_FM_PYTHON",
        lambda: sys.executable,
        "Interpreter with pandas 2 for ECG-FM's labeler.",
        by_default="this one",
    )
    split: Literal["", "patients", "folds"] = _env(
        "ECG_SPLIT",
        lambda: "",
        "patients at random, or the folds of ptb-xl: 1-8, 9, 10; unset: folds where the label "
        "set says so and the dataset has them, else patients.",
        Literal["", "patients", "folds"],
        by_default="the label set's, or `patients`",
    )
    valid_share: float = _env(
        "ECG_VALID_SHARE",
        "0.1",
        "Share of patients for validation, 0 to 0.5; folds and ECG_META_SPLIT have their own.",
        float,
    )
    test_share: float = _env(
        "ECG_TEST_SHARE", "0.1", "Share of patients for the test, 0 to 0.5.", float
    )
    meta_split: str = _env("ECG_META_SPLIT", "", "A meta_split.csv to take the split from.")
    device: str = _env("ECG_DEVICE", "auto", "auto, cpu, cuda or cuda:N.", DeviceName)
    precision: str = _env(
        "ECG_PRECISION", "fp32", "fp32, bf16 or fp16.", Literal["fp32", "bf16", "fp16"]
    )
    pretrained: str = _env(
        "ECG_PRETRAINED",
        "",
        "Checkpoint folder, file that a model's authors published, or hf:owner/name[:file] of the "
        "hub of Hugging Face, that fine-tuning starts from.",
        Annotated[str, AfterValidator(_require_there)],
    )
    preset: str = _env(
        "ECG_PRESET",
        "tiny",
        "Fine-tuning preset used when a run names none.",
        Annotated[str, AfterValidator(_require_preset)],
    )
    seed: int = _env("ECG_SEED", "1", "Seed of the split, training and the bootstrap.", int)
    workers: int = _env(
        "ECG_WORKERS",
        lambda: str(count_cores()),
        "Processes that read the recordings of a run; the cores by default, more where the disk "
        "answers slowly.",
        int,
        by_default="all cores",
    )
    signal_quality: Literal["none", "zhao2018"] = _env(
        "ECG_SIGNAL_QUALITY",
        "none",
        "NeuroKit2's index kept with each recording: none or zhao2018; some 7 ms a lead.",
        Literal["none", "zhao2018"],
    )
    n_synthetic_records: int = _env(
        "ECG_SYNTHETIC_RECORDS", "800", "Recordings in the synthetic cohort.", int
    )
    matrix: str = _env(
        "ECG_MATRIX",
        "",
        "A YAML file that names the models, sources, label sets and methods of the evaluation "
        "matrix; unset: the tiny presets on the current source.",
    )
    max_rejected_share: float = _env(
        "ECG_MAX_REJECTED_SHARE", "0.05", "Unreadable share that a shard may have at most.", float
    )
    flawed_records: Literal["exclude", "keep"] = _env(
        "ECG_FLAWED_RECORDS",
        "exclude",
        "Recordings with a flat lead or many missing samples: out of manifests, or kept as the "
        "Lead-I pipeline keeps them.",
        Literal["exclude", "keep"],
    )
    max_per_condition: str = _env(
        "ECG_MAX_PER_CONDITION",
        "0",
        "Most training recordings of each label in manifests: a number, 0 for all, or smallest: "
        "as many as the rarest label has.",
    )

    @property
    def dataset(self) -> Dataset:
        """What is known of the dataset; raises `SettingsError` where there is none such."""
        return find_dataset(self.source)

    def open_source(self) -> Source:
        """Open the dataset; raises `SettingsError` that says what to set."""
        if is_remote(self.raw_root):
            RemoteRoot(self.raw_root).fetch_tables(self.source_root, self.source)
        return open_source(
            self.source,
            self.source_root,
            folders_per_shard=self.folders_per_shard,
            n_records=self.n_synthetic_records,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Dagster's resources cannot be pickled; a child on another machine needs the values.
        return partial(type(self), **self.model_dump()), ()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """End a step's process with that of its run; every step has the settings."""
        if context.run is not None and context.instance is not None:
            end_with_run(context.instance.get_run_by_id(context.run.run_id))

    @property
    def source_root(self) -> Path:
        """Root of the raw dataset; of a remote one, the folder that its tables are kept in."""
        if is_remote(self.raw_root):
            return self.store.raw / fingerprint_json(self.raw_root)[:16]
        if self.raw_root:
            return Path(self.raw_root).expanduser().resolve()
        if self.dataset.is_made_here:
            return self.store.raw / self.source
        raise SettingsError(
            f"ECG_RAW_ROOT is not set. Set it to the root folder of {self.dataset.title}, "
            "or set ECG_SOURCE=synthetic to use the synthetic cohort."
        )

    @contextmanager
    def recordings_at_hand(self, paths: Iterable[str]) -> Iterator[Path]:
        """Give a root that holds these recordings: the dataset's, or copies of remote ones.

        Copies are deleted after the block.
        """
        if not is_remote(self.raw_root) or self.dataset.remote == Remote.ALL:  # copied already
            yield self.source_root
            return
        folder = self.source_root / "fetched" / fingerprint_json(list(paths))[:16]
        try:
            RemoteRoot(self.raw_root).fetch_records(paths, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def load_label_set(self) -> LabelSet:
        """Load the labels; raises `SettingsError` that says what to set.

        Those that are all codes of the data are read out of the stored reports.
        """
        own = self.own_labels(self.source)
        return load_stored_label_set(self.label_set, self.stored, own_labels=own)

    def own_labels(self, source: str) -> tuple[str, ...]:
        """Labels that a source's recordings bring: of the current one, or of a stored one."""
        read_labels = find_dataset(source).read_own_labels
        if source == self.source and read_labels:
            return read_labels(self.open_source())
        return find_stored_labels(self.store.source(source))

    def upstream_labeler(self, report_joint: str = " ") -> UpstreamLabeler:
        """Find ECG-FM's labeler; raises `SettingsError` that says what to set."""
        return UpstreamLabeler(Path(self.ecg_fm_root), self.ecg_fm_python, report_joint)

    @property
    def signal_spec(self) -> SignalSpec:
        """What model input is made of."""
        self._require_stored(self.leads, "ECG_LEADS")
        family = family_of_preset(self.preset)
        is_of_family = self.signal_kind == family.signal_kind
        build = family.signal_spec if is_of_family else _find_signal_kind(self.signal_kind)
        try:
            spec = build(
                leads=self.leads,
                segment_s=self.segment_s or None,
                resampling=self.resampling,
                part=read_record_part(self.record_part),
            )
        except ValueError as error:
            raise SettingsError(
                "ECG_SIGNAL_KIND, ECG_LEADS, ECG_SEGMENT_S and ECG_RECORD_PART do not fit one "
                f"another: {error}"
            ) from error
        self._require_stored(spec.leads, "ECG_SIGNAL_KIND")
        return spec

    def _require_stored(self, leads: Sequence[str], variable: str) -> None:
        missing = [lead for lead in leads if lead not in self.stored_leads]
        if missing:
            raise SettingsError(
                f"{variable} asks for {missing}, but ECG_STORED_LEADS keeps {self.stored_leads}."
            )

    @property
    def other_part(self) -> dict[str, str]:
        """Name the part of recordings where it is not the first 10 s, as identities have it."""
        return {} if self.record_part == "first" else {"record_part": self.record_part}

    @property
    def quality_policy(self) -> QualityPolicy:
        """Which recordings manifests take."""
        if self.flawed_records == "keep":
            return QualityPolicy(allow_flat=True, max_missing_share=1.0)
        return QualityPolicy()

    @property
    def train_limit(self) -> TrainLimit | None:
        """How many training recordings of each label manifests take; None for all."""
        if self.max_per_condition == "smallest":
            return TrainLimit("smallest", self.seed)
        if not self.max_per_condition.isdecimal():
            raise SettingsError(
                f"ECG_MAX_PER_CONDITION is {self.max_per_condition!r}; set it to a number of "
                "recordings, 0 for all, or smallest."
            )
        most = int(self.max_per_condition)
        return TrainLimit(most, self.seed) if most else None

    @property
    def is_split_by_folds(self) -> bool:
        """Whether the dataset's folds are asked for, by ECG_SPLIT or else by the label set."""
        if self.split or self.dataset.folds is None:
            return self.split == "folds"
        study = find_study(self.label_set)
        return study is not None and study.split == "folds"

    @property
    def split_rule(self) -> str:
        """How patients are split, in one line: two equal rules never disagree on a patient."""
        if self.meta_split:
            return name_file_rule(Path(self.meta_split))
        if self.is_split_by_folds:
            return name_fold_rule(self.source)
        return name_hash_rule(self.seed, self._shares)

    @property
    def split_shares(self) -> SplitShares | None:
        """Shares of patients in a split by hash; None where folds or a file give the split."""
        return None if self.meta_split or self.is_split_by_folds else self._shares

    @property
    def _shares(self) -> SplitShares:
        return SplitShares(self.valid_share, self.test_share)

    @property
    def data_path(self) -> Path:
        """Folder of all results."""
        return Path(self.data_dir).expanduser().resolve()

    @property
    def store(self) -> Store:
        """Where all results lie."""
        return Store(self.data_path)

    @property
    def stored(self) -> SourceStore:
        """Where the current source's results lie."""
        return self.store.source(self.source)

    def source_facts(self) -> dict[str, Any]:
        """Say what dataset is asked for, as `record_list` states it."""
        options = {
            "n_records": self.n_synthetic_records,
            "folders_per_shard": self.folders_per_shard,
        }
        shaped_by = {name: value for name, value in options.items() if name in self.dataset.options}
        return {SOURCE: self.source, SOURCE_SETTINGS: shaped_by | dict(self.dataset.facts)}

    def label_facts(self) -> dict[str, Any]:
        """Say what labels are asked for, as `labels` states it.

        Names of the data's own labels are the data's, not a setting.
        """
        facts = {LABEL_SET: Path(self.label_set).name, LABEL_THRESHOLD: self.label_threshold}
        if self.label_set == OWN_SET:
            return facts
        return facts | label_facts(self.load_label_set(), self.label_threshold)

    def manifest_facts(self) -> dict[str, Any]:
        """Say what training is to read, as `manifests` states it."""
        limit, facts = self.train_limit, self.label_facts()
        if LABEL_VOCABULARY in facts:
            # Where the spec says how all labels are aggregated, manifests have them so.
            vocabulary = LabelVocabulary.from_json(facts[LABEL_VOCABULARY])
            how = self.signal_spec.aggregation
            facts[LABEL_VOCABULARY] = vocabulary.aggregated(how).to_json()
        return {
            **self.source_facts(),
            **facts,
            SPLIT_RULE: self.split_rule,
            SIGNAL_SPEC: self.signal_spec.to_json(),
            EXCLUSION: asdict(self.quality_policy),
            TRAIN_LIMIT: asdict(limit) if limit else None,
        }
