"""Datasets by the configurations of ecgbench (https://github.com/vlbthambawita/ECGBench, MIT).

``ECG_SOURCE=ecgbench:<slug>``: its readers of tables give recordings, patients, labels and folds;
recordings are read here. ecgbench.yaml says what is taken of each, and why others are not:
docs/ecgbench.md. Of its facts those that are wrong are not taken.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecg_assets.errors import BadRecord, SchemaError, SettingsError
from ecg_assets.lineage import fingerprint_file
from ecg_assets.sources.aha_statements import AHA, split_statements, write_lines
from ecg_assets.sources.dataset import (
    Dataset,
    Folds,
    Remote,
    SourceTable,
    record_table,
    report_table,
)
from ecg_assets.sources.dataset_tables import (
    bounded_name,
    canonical_identifier,
    parse_demographics,
    refuse_cells,
    require_below_root,
    shards_of_numbered_folders,
    shards_of_paths,
)
from ecg_assets.sources.file_limits import MOST_TEXT_BYTES, require_regular_file
from ecg_assets.sources.record import Record
from ecg_assets.sources.schema import NO_LABEL, OWN_LABELS, measured_line
from ecg_assets.sources.wfdb.header import normalize_lead_name
from ecg_assets.yaml_file import parse_yaml

if TYPE_CHECKING:  # loaded where a dataset of it is asked for
    from ecgbench.config import DatasetConfig

PREFIX = "ecgbench:"
_TABLE = Path(__file__).with_name("ecgbench.yaml")
_GENERATED = "ecgbench_metadata.csv"
_ENDINGS = re.compile(r"\.(?:hea|dat|mat)$")
_SEX = {"male": "M", "m": "M", "female": "F", "f": "F"}
_TRUE, _FALSE = {"1", "true"}, {"0", "false"}
_CAST_SEX = "is_male"
"""Where it stands in a table, it is cast as flags are."""
_FOLDERS_PER_SHARD = 20
_SPLIT_SEED = 42
"""That of ecgbench's own command, which its published folds were made with."""


@dataclass(frozen=True)
class Served:
    """What is taken of a dataset: an entry of ecgbench.yaml, which says what each key means."""

    coding: str = OWN_LABELS
    likelihoods: str = ""
    codes: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    prose: tuple[str, ...] = ()
    not_looked_for: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    cast: str = ""
    path: str = ""
    shard: str = ""
    shard_number: str = ""
    from_labels: bool = False
    patient: str = ""
    age: str = "age"
    sex: str = "sex"
    sexes: Mapping[str, str] = field(default_factory=lambda: _SEX)
    may_lack_leads: bool = False
    is_test_set: bool = False
    shares: tuple[str, ...] = ()

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Columns of labels; none of an unlabelled dataset."""
        found = (self.likelihoods, *self.codes, *self.flags, *self.values, *self.prose)
        return tuple(filter(None, found))


@cache
def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = parse_yaml(_TABLE.read_text(encoding="utf-8"), of_package=True)
    return table


@cache
def served() -> Mapping[str, Served]:
    """Give what is taken of each dataset that is served, by its slug."""
    entries: Mapping[str, Mapping[str, Any]] = _table()["served"]
    return {slug: Served(**dict(map(_as_tuple, entry.items()))) for slug, entry in entries.items()}


def _as_tuple(item: tuple[str, Any]) -> tuple[str, Any]:
    return (item[0], tuple(item[1])) if isinstance(item[1], list) else item


def refused() -> Mapping[str, str]:
    """Give the reason why each of the other datasets is not served, by its slug."""
    reasons: Mapping[str, str] = _table()["refused"]
    return reasons


# The package, and one dataset's configuration.


def load_config(slug: str) -> DatasetConfig:
    """Load a dataset's configuration out of the installed package.

    Raises
    ------
    SettingsError
        When the package is missing or of another version than its facts were checked of.
    """
    expected = _table()["version"]
    try:
        found = version("ecgbench")
    except PackageNotFoundError:
        found = ""
    if found != expected:
        raise SettingsError(
            f"ECG_SOURCE is {PREFIX}{slug}, which needs ecgbench {expected}; found "
            f"{found or 'none'}. Its facts were checked of that version alone: install it with "
            "pip install 'ecg-assets[ecgbench]'."
        )
    return _parse_config(slug)


@cache
def _parse_config(slug: str) -> DatasetConfig:
    """Parse a configuration, which takes longer than reading a recording."""
    from ecgbench.config import load_config

    # Its lines quote distributions of labels, and names of patients' folders.
    logging.getLogger("ecgbench").setLevel(logging.CRITICAL)
    return load_config(slug)


@cache
def find_ecgbench_dataset(name: str) -> Dataset:
    """Give the dataset of ``ecgbench:<slug>``, without opening it.

    Raises
    ------
    SettingsError
        When there is none, when it is not served, with the reason, or as `load_config`.
    """
    slug = name.removeprefix(PREFIX)
    if slug in refused():
        raise SettingsError(
            f"ECG_SOURCE is {name}, which is not served: {refused()[slug]}. "
            "docs/ecgbench.md has those that are."
        )
    if slug not in served():
        raise SettingsError(
            f"ECG_SOURCE is {name!r}; of ecgbench there are {', '.join(served())}, and not served, "
            f"each for a reason: {', '.join(refused())}."
        )
    config, taken = load_config(slug), served()[slug]
    leads = {normalize_lead_name(lead) for lead in config.lead_names or ()}
    tables = (config.metadata_csv, (config.labels and config.labels.source_csv) or "")
    is_labelled_own = taken.coding == OWN_LABELS
    return Dataset(
        name=name,
        title=config.name,
        open=partial(EcgBench, slug=slug),
        coding=taken.coding,
        needed_files=tuple(dict.fromkeys(t for t in tables if t and t != _GENERATED)),
        remote=Remote.ALL,
        folds=Folds(EcgBench.read_folds, *_list_folds(config, taken)),
        read_own_labels=EcgBench.read_label_names if is_labelled_own else None,
        shares_recordings={
            other: f"{name} and {other} have recordings in common, under other names."
            for other in taken.shares
        },
        may_lack_leads=bool(
            taken.may_lack_leads or config.alternate_lead_names or not leads >= _TWELVE
        ),
        facts={"ecgbench": version("ecgbench"), "config_sha256": _fingerprint(slug)},
    )


_TWELVE = {"I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"}


def _fingerprint(slug: str) -> str:
    import ecgbench

    return fingerprint_file(Path(ecgbench.__file__).parent / "data" / "configs" / f"{slug}.yaml")


def _list_folds(config: DatasetConfig, taken: Served) -> tuple[tuple[int, ...], ...]:
    """Folds of train, valid and test, as ecgbench deals them out; of a test set all are test."""
    if taken.is_test_set:
        return (), (), tuple(range(1, config.n_folds + 1))
    if config.has_predefined_splits and config.predefined_splits:
        members = config.predefined_splits.fold_mapping
        return tuple(tuple(members.get(name, ())) for name in ("train", "val", "test"))
    n_folds = config.n_folds
    return tuple(range(1, n_folds - 1)), (n_folds - 1,), (n_folds,)


# A dataset on disk.


@dataclass(frozen=True)
class EcgBench:
    """The dataset below `root`, as ecgbench's readers of its tables find it.

    Nothing is written there: the table that they make of a dataset goes into a folder of its own,
    and one that lies in the root, which may be of an earlier state, is not read.
    """

    root: Path
    slug: str

    @property
    def name(self) -> str:
        """Name as in ECG_SOURCE."""
        return f"{PREFIX}{self.slug}"

    def read_records(self) -> SourceTable:
        """Read the list of recordings.

        Raises
        ------
        SchemaError
            When ecgbench cannot read the tables, a recording has no name or one that stands
            twice, or a path leaves the root.
        SettingsError
            When files are missing.
        """
        with self._reading() as tables:
            labels = tables.labels()
            table = labels if self._taken.from_labels else tables.records()
        ids = self._record_ids(table)
        paths = self._list_paths(table)
        patients = self._patients(table)
        labels = labels.set_axis(_texts(labels.index), axis=0).reindex(_texts(table.index))
        known = parse_demographics(
            _cells(labels, self._taken.age), _cells(labels, self._taken.sex), self._taken.sexes
        )
        records = record_table(
            self.name,
            ids,
            path=paths,
            shard=self._shards(table, paths),
            subject_id=patients.where(patients.notna(), ids),
            study_id=_texts(table.index),
            age=known.age,
            sex=known.sex,
        )
        findings = {"records": len(records), "records_without_patient": int(patients.isna().sum())}
        return SourceTable(
            records,
            {**findings, "patients": int(records["subject_id"].nunique()), **known.findings},
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the labels of these recordings, as ecgbench.yaml says where they stand.

        Raises
        ------
        SchemaError
            When ecgbench cannot read the tables, or a column is missing.
        """
        if not self._taken.label_columns:
            return report_table(records, self._taken.coding, {})
        with self._reading() as tables:
            labels = tables.labels()
        if missing := [name for name in self._taken.label_columns if name not in labels]:
            raise SchemaError(f"{self.name}: ecgbench's labels lack the columns {missing}.")
        lines = [self._lines_of(row) for row in labels.to_dict("records")]
        lines_of = dict(zip(self._record_ids(labels), lines, strict=True))
        return report_table(records, self._taken.coding, lines_of)

    def read_label_names(self) -> tuple[str, ...]:
        """Give the names of the labels: of flags all, of others those that occur."""
        if not self._taken.label_columns:
            return ()
        if self._taken.flags and self._taken.flags == self._taken.label_columns:
            return self._taken.flags
        reports = self.read_reports(self.read_records().table).table
        found = {line for lines in reports["lines"] for line in lines if "\t" not in line}
        return tuple(sorted({*self._taken.flags, *found} - {NO_LABEL}))

    def read_folds(self) -> pd.Series[int]:
        """Make the fold of each recording as ecgbench does, by record_id.

        Where the dataset has no folds of its own, they are drawn of the whole table with seed 42:
        part of a dataset, or another scikit-learn, may give others.

        Raises
        ------
        SchemaError
            When ecgbench cannot read the tables, or cannot deal its recordings out.
        """
        with self._reading() as tables:
            folds = tables.folds()
        dealt = find_ecgbench_dataset(self.name).folds
        members = (dealt.train, dealt.valid, dealt.test) if dealt else ()
        if not all(folds.isin(of_split).any() for of_split in members if of_split):
            raise SettingsError(
                f"ecgbench's folds of {self.name} leave train, valid or test empty: there are too "
                f"few patients in {self.root}. Set ECG_SPLIT=patients."
            )
        return pd.Series(
            folds.to_numpy(np.int64),
            index=pd.Index(self._record_ids(folds.to_frame()), name="record_id"),
            name="fold",
        )

    @property
    def _taken(self) -> Served:
        return served()[self.slug]

    @contextmanager
    def _reading(self) -> Iterator[_Tables]:
        """Tell what ecgbench raises; its messages may quote cells, those on files do not."""
        config = load_config(self.slug)
        try:
            with TemporaryDirectory(prefix="ecgbench-") as folder:
                yield _Tables(self.root, _with_tables_in(config, Path(folder)))
        except FileNotFoundError as error:
            raise SettingsError(
                f"ECG_RAW_ROOT is {self.root}, which lacks files of {self.name}: {error}"
            ) from error
        except (SettingsError, SchemaError):
            raise
        except Exception as error:  # its readers raise whatever pandas and wfdb do
            raise SchemaError(
                f"ecgbench cannot read the tables of {self.name} below {self.root}: "
                f"{type(error).__name__}. See it in full with: ecgbench splits --dataset "
                f"{self.slug} --data-path {self.root} (which writes there)."
            ) from error

    def _record_ids(self, table: pd.DataFrame) -> pd.Series[str]:
        """Name recordings by the slug and ecgbench's own name of each."""
        names = pd.Series(_texts(table.index), dtype=object)
        what = "is empty or stands twice"
        refuse_cells(
            names.isna() | names.duplicated(), self.root, str(table.index.name or "record"), what
        )
        return names.map(lambda name: bounded_name(f"{self.slug}_{name.replace('/', '-')}"))

    def _list_paths(self, table: pd.DataFrame) -> pd.Series[str]:
        config, taken = load_config(self.slug), self._taken
        if taken.path:
            cells = table.reset_index().astype(object).to_dict("records")
            paths = pd.Series([taken.path.format_map(row) for row in cells], dtype=object)
        else:
            column = config.signal_path_columns[config.default_sampling_rate]
            paths = pd.Series(table[column].astype(str).to_numpy(), dtype=object)
            if config.signal_format == "wfdb":
                paths = paths.str.replace(_ENDINGS, "", regex=True)
            elif config.signal_format.startswith("csv"):
                paths += f"#{PREFIX}{self.slug}"
        require_below_root(paths.rename("path"), self.root)
        return paths

    def _patients(self, table: pd.DataFrame) -> pd.Series[str]:
        """Name the patient of each recording; None where ecgbench knows none."""
        column = self._taken.patient or load_config(self.slug).patient_id_column
        cells = table[column] if column else pd.Series(None, index=table.index, dtype=object)
        return pd.Series(_texts(cells), dtype=object)

    def _shards(self, table: pd.DataFrame, paths: pd.Series[str]) -> Any:
        taken = self._taken
        if taken.shard:
            return table[taken.shard].str.replace(r"\.\w+$", "", regex=True).to_numpy()
        if taken.shard_number:
            numbers = paths.str.extract(taken.shard_number, expand=False)
            refuse_cells(numbers.isna(), self.root, "path", f"has no {taken.shard_number}")
            return shards_of_numbered_folders(numbers.to_numpy(np.int64), _FOLDERS_PER_SHARD)
        return shards_of_paths(paths)

    def _lines_of(self, row: Mapping[Any, Any]) -> list[str]:
        """Write the lines of a recording's report; none where nobody labelled it."""
        taken = self._taken
        found = [f"{code} {value:g}" for code, value in row.get(taken.likelihoods, {}).items()]
        for column, separator in taken.codes.items():
            found += _split(row[column], separator)
        was_looked_at = bool(found)
        if taken.coding == AHA:
            found = write_lines(split_statements(";".join(found)))
        found += [text for name in (*taken.values, *taken.prose) if (text := _text(row[name]))]
        flags = {name: (_text(row[name]) or "").lower() for name in taken.flags}
        found += [name for name, text in flags.items() if text in _TRUE]
        unknown = [name for name, text in flags.items() if text not in _TRUE | _FALSE]
        was_looked_at |= len(unknown) < len(flags)
        lines = [line for line in dict.fromkeys(found) if line not in taken.unlabelled]
        if not lines and not was_looked_at:
            return []
        not_known = (measured_line(name, None) for name in (*unknown, *taken.not_looked_for))
        return [*(lines or [NO_LABEL]), *not_known]


@dataclass(frozen=True)
class _Tables:
    """What ecgbench's readers give of a dataset, by the recordings' own names."""

    root: Path
    config: DatasetConfig

    def records(self) -> pd.DataFrame:
        """Give the list of recordings, as it is split."""
        from ecgbench.splitting import strategies  # noqa: F401 - they register themselves
        from ecgbench.splitting.registry import get_splitter

        splitter = get_splitter(self.config.slug)
        table: pd.DataFrame = splitter.load_metadata(self.root, self.config)
        return table.set_index(self.config.record_id_column, drop=False)

    def labels(self) -> pd.DataFrame:
        """Give the labels, and whatever else is said of a recording."""
        from ecgbench.labels import load_labels

        if not self.config.labels or not self.config.labels.available:
            return self.records()
        if self.config.labels.source_csv == self.config.metadata_csv:
            self.records()  # which writes the table that the labels are read of
        found: pd.DataFrame = load_labels(self.config, self.root)
        taken = served()[self.config.slug]
        if taken.cast:
            _require_flags(self.root / taken.cast, (*taken.flags, _CAST_SEX))
        return found

    def folds(self) -> pd.Series[int]:
        """Give the fold of each recording."""
        from ecgbench.splitting import strategies  # noqa: F401 - they register themselves
        from ecgbench.splitting.engine import split_dataset
        from ecgbench.splitting.registry import get_splitter

        splitter, table = get_splitter(self.config.slug), self.records().reset_index(drop=True)
        strata = splitter.get_stratification_labels(table, self.config)
        result = split_dataset(
            table, strata, self.config, self.config.n_folds, random_state=_SPLIT_SEED
        )
        key = self.config.record_id_column
        folds = {name: number for number, part in result.folds.items() for name in part[key]}
        return pd.Series(folds, dtype="int64", name="fold").rename_axis(key)


def _with_tables_in(config: DatasetConfig, folder: Path) -> DatasetConfig:
    """Have the table that ecgbench makes of a dataset written into a folder: a root stays as it is.

    ecgbench joins its name to the root, which an absolute path replaces.
    """
    if config.metadata_csv != _GENERATED:
        return config
    path, labels = str(folder / _GENERATED), config.labels
    if labels and labels.source_csv == _GENERATED:
        labels = replace(labels, source_csv=path)
    return replace(config, metadata_csv=path, labels=labels)


def _require_flags(path: Path, columns: Iterable[str]) -> None:
    """Refuse a table with a flag that ecgbench would read as true though it says nothing."""
    table = pd.read_csv(path, dtype=str, usecols=lambda name: name in columns)
    for column, cells in table.items():
        flags = pd.Series([(_text(cell) or "").lower() for cell in cells], dtype=object)
        what = "is no 1, 0, true or false, which ecgbench reads as true"
        refuse_cells(~flags.isin(_TRUE | _FALSE), path, str(column), what)


def _text(cell: Any) -> str | None:
    """Write a cell as text; None where it is empty."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)) or cell is pd.NA:
        return None
    return canonical_identifier(str(cell).strip()) or None


def _texts(cells: Iterable[Any]) -> list[str | None]:
    return [_text(cell) for cell in cells]


def _cells(table: pd.DataFrame, column: str) -> pd.Series[str]:
    """Take a column as text; without it, all is None."""
    cells = table[column] if column in table else pd.Series(None, index=table.index, dtype=object)
    return pd.Series(_texts(cells), dtype=object)


def _split(cell: Any, separator: str) -> list[str]:
    """Take a cell of several labels apart, which is a list, or text with a separator.

    >>> _split("426783006, 164889003", ","), _split(["a", "b"], ""), _split(float("nan"), ",")
    (['426783006', '164889003'], ['a', 'b'], [])
    """
    parts = cell if isinstance(cell, list) else (_text(cell) or "").split(separator or None)
    return [part for one in parts if (part := str(one).strip())]


# A recording in a file of CSV, whose path ends with the dataset.


def read_csv_recording(path: Path, part: str, leads: Sequence[str] | None = None) -> Record:
    """Read a recording's leads out of a .csv, as the dataset's configuration says.

    Parameters
    ----------
    path
        A file of samples in rows below a row of the leads' names, or of leads in rows without any.
    part
        The dataset, as ECG_SOURCE names it.
    leads
        Names of the leads to read, in the order wanted; None for all.

    Raises
    ------
    BadRecord
        As `read_array_file`; ``bad_shape`` when there are more or fewer rows than leads.
    SettingsError
        As `load_config`.
    """
    from ecg_assets.sources.folder.arrays import (
        find_named_leads,
        make_array_record,
        read_array_file,
    )
    from ecg_assets.sources.folder.settings import FolderSettings

    config = load_config(part.removeprefix(PREFIX))
    rate, per_mv = float(config.default_sampling_rate), 1 / config.signal_unit_scale
    if config.signal_format == "csv":
        settings = FolderSettings(sample_rate_hz=rate, units_per_mv=per_mv)
        return read_array_file(path, leads, settings)
    names = config.lead_names or []
    rows = find_named_leads(names, leads)
    require_regular_file(path, MOST_TEXT_BYTES)
    try:
        values = np.loadtxt(path, delimiter=",", ndmin=2)  # (lead, sample)
    except (ValueError, OSError) as error:
        raise BadRecord("unreadable", f"{path.name} is no table of numbers") from error
    if len(values) != len(names):
        raise BadRecord("bad_shape", f"{path.name} has {len(values)} rows, not {len(names)} leads")
    return make_array_record(values[rows], [names[row] for row in rows], rate, units_per_mv=per_mv)
