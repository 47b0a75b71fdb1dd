"""Read a dataset's CSV with clear errors for what users really have on disk."""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError, SettingsError

# One spelling of an identifier, whatever program wrote it.


# Up to 15 digits: of a longer number a float has lost some, and which is not known.
_FLOAT = r"^(\d{1,15})\.0+$"
_WHOLE = r"^\d{1,18}$"
_ROUNDED = r"^\d(?:[.,]\d+)?[eE]\+\d+$"


def canonical_identifier(text: str) -> str:
    """Spell an identifier in the one way in which it is stored and compared.

    Text that is no number stays as it is, zeros before a number too.

    >>> [canonical_identifier(text) for text in ("17620.0", "17620", "P1.0", "007", "1.5")]
    ['17620', '17620', 'P1.0', '007', '1.5']
    """
    found = re.fullmatch(_FLOAT, text, re.ASCII)
    return found[1] if found else text


def spell_number_at_end(names: pd.Series[str]) -> pd.Series[str]:
    """Spell an identifier that ends a name as `canonical_identifier` does.

    >>> spell_number_at_end(pd.Series(["mimic_iv_ecg_40689238.0", "7.0", "a1.5"])).tolist()
    ['mimic_iv_ecg_40689238', '7', 'a1.5']
    """
    return names.str.replace(r"^(.*[^\d.])?(\d{1,15})\.0+$", r"\1\2", regex=True)


def unify_identifiers(
    table: pa.Table, columns: Sequence[str], path: Path, *, whole: bool
) -> tuple[pa.Table, int]:
    """Spell the identifiers in some columns of text as `canonical_identifier` does.

    Parameters
    ----------
    table
        A dataset's table; a null stays null, and a column that is not there is passed over.
    columns
        Columns of identifiers.
    path
        The table's file, for messages.
    whole
        Whether the dataset numbers them: then zeros before a number go, too.

    Returns
    -------
    tuple
        The table, and how many identifiers it holds in more than one spelling.

    Raises
    ------
    SchemaError
        When a cell is a number in a spreadsheet's short form, as 4.07E+07, which many identifiers
        share, or, where `whole`, no whole number.
    """
    n_spellings = 0
    for name in columns:
        if name not in table.column_names:
            continue
        written = table[name].combine_chunks()
        rounded = pc.match_substring_regex(written, _ROUNDED).fill_null(False)
        what = "is no identifier but a spreadsheet's rounded number (1.23E+11); write it as text"
        refuse_cells(rounded.to_pandas(), path, name, what)
        plain = pc.replace_substring_regex(written, _FLOAT, r"\1")
        if whole:
            wrong = pc.invert(pc.match_substring_regex(plain, _WHOLE)).fill_null(False)
            what = "is no identifier, which is a whole number in this dataset"
            refuse_cells(wrong.to_pandas(), path, name, what)
            plain = pc.replace_substring_regex(plain, r"^0+(\d)", r"\1")
        n_spellings += _count_in_two_spellings(written, plain)
        table = table.set_column(table.column_names.index(name), name, plain)
    return table, n_spellings


def _count_in_two_spellings(written: pa.Array, plain: pa.Array) -> int:
    """Count the identifiers that stand there in more than one spelling."""
    changed = pc.not_equal(written, plain)
    if not pc.any(changed).as_py():
        return 0
    pairs = pa.table({"plain": plain, "written": written}).group_by(["plain"])
    counts = pairs.aggregate([("written", "count_distinct")])["written_count_distinct"]
    return int(pc.sum(pc.greater(counts, 1)).as_py() or 0)


_MOST_HEADER_CHARACTERS = 1 << 16


def read_csv_table(
    path: Path, required: Sequence[str], *, optional: Collection[str] | None = ()
) -> pa.Table:
    """Read columns of a CSV as text: stripped of spaces, null where nothing is left.

    Text is taken as written: no "NA" becomes null, no number loses its zeros.

    Parameters
    ----------
    path
        UTF-8 file, plain or ``.gz``; a byte-order mark is accepted.
    required
        Columns that must be there; they come first, in this order.
    optional
        Columns to read where they are there; None for all others, in the file's order.

    Raises
    ------
    SchemaError
        When the file is missing, empty or no such table. No message quotes a row: rows
        hold patients' ids and reports.
    """
    line = _read_first_line(path)
    names = [name.strip() for name in next(csv.reader([line]), [])]
    if not names:
        raise SchemaError(f"{path} is empty; expected the columns {list(required)}.")
    missing = [name for name in required if name not in names]
    if missing:
        raise SchemaError(f"{path}: columns {missing} are missing; found {names}.")
    wanted = [*required, *(name for name in names if _is_wanted(name, required, optional))]
    table = _read_text_columns(path, wanted, names) if line.endswith(("\n", "\r")) else None
    if not table:
        raise SchemaError(f"{path} has a header and no rows.")
    return pa.table({name: _stripped(table[name]) for name in wanted})


def _is_wanted(name: str, required: Sequence[str], optional: Collection[str] | None) -> bool:
    return name not in required and (optional is None or name in optional)


def _read_first_line(path: Path) -> str:
    if path.exists() and not path.is_file():  # opening a named pipe would wait for its writer
        raise SchemaError(f"{path} is no regular file; expected a table as CSV.")
    try:
        with (gzip.open if path.suffix == ".gz" else open)(
            path, "rt", encoding="utf-8-sig", newline=""
        ) as stream:
            return str(stream.readline(_MOST_HEADER_CHARACTERS))
    except FileNotFoundError as error:
        raise SchemaError(f"{path} does not exist.") from error
    except (OSError, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path} cannot be read as CSV in UTF-8: {_kind(error)}.") from error


def _read_text_columns(path: Path, wanted: list[str], names: list[str]) -> pa.Table:
    odd_rows: list[int] = []

    def count(row: pa_csv.InvalidRow) -> str:
        odd_rows.append(row.actual_columns)
        return "skip"

    repeated = [name for name in wanted if names.count(name) > 1]
    if repeated:
        raise SchemaError(f"{path}: columns {repeated} stand there more than once.")
    try:
        table = pa_csv.read_csv(
            path,
            # Names are given: pyarrow would keep the byte-order mark and spaces in them.
            read_options=pa_csv.ReadOptions(column_names=names, skip_rows=1),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=count),
            convert_options=pa_csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
            ),
        )
    except (pa.ArrowInvalid, OSError) as error:
        # Arrow's own message may quote a row.
        raise SchemaError(f"{path} cannot be read as CSV in UTF-8: {_kind(error)}.") from None
    if odd_rows:
        raise SchemaError(
            f"{path}: {len(odd_rows)} rows have another number of fields than the header's "
            f"{len(names)}, the first {odd_rows[0]}. A report with a comma needs quotes."
        )
    return table


def _stripped(column: pa.ChunkedArray) -> pa.Array:
    plain = pc.utf8_trim_whitespace(column.combine_chunks())
    return pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)


def _kind(error: Exception) -> str:
    return type(error).__name__


# Refuse cells of a dataset's table, by column and row and without quoting them.


_OUTSIDE = re.compile(r"^/|^[A-Za-z]:|\\|(?:^|/)\.\.(?:/|$)|\x00")


def refuse_cells(wrong: pd.Series[bool], path: Path, column: str, what: str) -> None:
    """Raise `SchemaError` if a cell is wrong; a cell may hold what must stay secret."""
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 1
        raise SchemaError(
            f"{path}: in {int(wrong.sum())} rows column {column!r} {what}, first in data row {row}."
        )


def require_filled(table: pd.DataFrame, columns: tuple[str, ...], path: Path) -> None:
    """Raise `SchemaError` if a cell of these columns is empty."""
    for column in columns:
        refuse_cells(table[column].isna(), path, column, "is empty")


def require_below_root(files: pd.Series[str], path: Path) -> None:
    """Raise `SchemaError` if a path is absolute or leads out of the root by ``..``."""
    outside = files.str.contains(_OUTSIDE)
    what = "leaves the dataset's root (absolute, '..' or a backslash)"
    refuse_cells(outside, path, str(files.name), what)


# One row for each key: repeated rows are dropped, rows that contradict each other refused.


def drop_repeated_rows(table: pa.Table, key: str, path: Path) -> tuple[pa.Table, int]:
    """Drop rows that repeat an earlier one in every column; also return how many they were.

    Raises
    ------
    SchemaError
        When two rows have the key in common and differ. The message has rows and no values.
    """
    keys = table[key].to_pandas()
    if keys.is_unique:
        return table, 0
    shared = np.flatnonzero(keys.duplicated(keep=False))
    candidates = table.take(shared).to_pandas()
    is_repeat = candidates.duplicated()
    conflicts = candidates[key][~is_repeat].duplicated(keep=False)
    if conflicts.any():
        rows = (shared[conflicts.index[conflicts]] + 1).tolist()
        raise SchemaError(
            f"{path}: {len(rows)} rows share a {key} with another row and differ from it, first "
            f"data rows {rows[:4]}. Each {key} must have one row: remove the wrong ones."
        )
    keep = np.ones(len(keys), dtype=bool)
    keep[shared[is_repeat.to_numpy()]] = False
    return table.filter(pa.array(keep)), int(is_repeat.sum())


def read_keyed_table(
    path: Path,
    key: str,
    columns: tuple[str, ...],
    *,
    optional: tuple[str, ...] = (),
    patient: str = "patient_id",
) -> tuple[pd.DataFrame, int]:
    """Read columns of a dataset's table, one row a key; those that are not there are all None.

    Parameters
    ----------
    path
        A .csv.
    key
        Column that names the recording, as a whole number.
    columns, optional
        Columns that must be there, and that may be missing.
    patient
        Column that names the patient, as a whole number, where it is read.

    Returns
    -------
    tuple
        The table, all text, and how many identifiers stand there in more than one spelling.

    Raises
    ------
    SchemaError
        When the table cannot be read, a key is empty, or two rows of one key differ.
    """
    raw = read_csv_table(path, (key, *columns), optional=optional)
    refuse_cells(raw[key].is_null().to_pandas(), path, key, "is empty")
    # pandas writes identifiers as 17620.0 where a cell of the column is empty.
    raw, n_spellings = unify_identifiers(raw, (key, patient), path, whole=True)
    raw, _ = drop_repeated_rows(raw, key, path)
    table: pd.DataFrame = raw.to_pandas()
    return table.reindex(columns=[key, *columns, *optional]), n_spellings


# Age, sex and time as datasets write them; what is filled and not understood is counted.


_OLDEST = 120
_SEX = {
    **{"male": "M", "m": "M", "man": "M", "männlich": "M"},
    **{"female": "F", "f": "F", "w": "F", "woman": "F", "weiblich": "F"},
}
# A number of years, with a decimal comma, as a lower limit (89+, >89), or with its unit.
_AGE = re.compile(r"[>≥]?\s*(\d{1,3}(?:[.,]\d{1,2})?)\s*\+?\s*(?:y|yr|yrs|years?)?\.?", re.ASCII)
_UNKNOWN = frozenset(
    {"", "nan", "na", "n/a", "<na>", "nat", "none", "null", "unknown", "unk", "u", "-", "?"}
)


@dataclass(frozen=True)
class Demographics:
    """What is known of the patients, an entry a recording.

    Attributes
    ----------
    age : float64 (recording,)
        Years, NaN where not known.
    sex
        ``F`` or ``M``, None where not known.
    findings
        How many ages and sexes are there, and how many were written and could not be used.
    """

    age: npt.NDArray[np.float64]
    sex: pd.Series[str]
    findings: dict[str, int]


def parse_demographics(
    age: pd.Series[str], sex: pd.Series[str], meaning: Mapping[str, str] = _SEX
) -> Demographics:
    """Parse ages and sexes, and count.

    Parameters
    ----------
    age, sex
        Text as `parse_ages` and `parse_sexes` take it.
    meaning
        As `parse_sexes` takes it.
    """
    ages, n_out_of_range = parse_ages(age)
    sexes = parse_sexes(sex, meaning)
    return Demographics(
        ages,
        sexes,
        {
            "ages_out_of_range": n_out_of_range,
            "ages_not_understood": count_not_understood(age, _to_years(age).notna()),
            "sexes_not_understood": count_not_understood(sex, sexes.notna()),
            "records_without_age": int(np.isnan(ages).sum()),
            "records_without_sex": int(sexes.isna().sum()),
        },
    )


def parse_ages(text: pd.Series[str]) -> tuple[npt.NDArray[np.float64], int]:
    """Age in years, NaN where not stated or not 0 to 120; and how many were out of range.

    A decimal comma is understood, and of a lower limit the limit is taken.

    >>> parse_ages(pd.Series(["57", "63,5", "89+", "300", None, "unknown", "old"]))
    (array([57. , 63.5, 89. ,  nan,  nan,  nan,  nan]), 1)
    """
    stated = _to_years(text).to_numpy(dtype=np.float64)
    is_possible = (stated >= 0) & (stated <= _OLDEST)
    ages = np.where(is_possible, stated, np.nan)
    return ages, int((~np.isnan(stated) & ~is_possible).sum())


def parse_sexes(text: pd.Series[str], meaning: Mapping[str, str] = _SEX) -> pd.Series[str]:
    """``F`` or ``M``, None where not stated or not understood.

    Parameters
    ----------
    text
        Text in any case; None where empty.
    meaning
        What each text in lower case stands for; by default words of English and German. A
        number is looked up as a whole one. 0 and 1 mean either, unless a dataset says which.

    >>> parse_sexes(pd.Series(["Male", "f", "w", "1", "unknown", None])).tolist()
    ['M', 'F', 'F', None, None, None]
    """
    sexes = text.map(lambda cell: meaning.get(canonical_identifier(str(cell).strip().lower())))
    return sexes.astype(object).where(sexes.notna(), None)


# pandas writes 1.0 where a cell of the column is empty.
_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def parse_truths(table: pd.DataFrame, columns: Sequence[str], path: Path) -> NDArray[np.bool_]:
    """Parse columns of True and False, or of 1 and 0: bool ``(row, column)``.

    Raises
    ------
    SchemaError
        When a cell is neither, or empty.
    """
    found = np.zeros((len(table), len(columns)), np.bool_)
    for place, column in enumerate(columns):
        is_true = table[column].str.lower().map(_TRUTH)
        refuse_cells(is_true.isna(), path, column, "is neither True nor False")
        found[:, place] = is_true.to_numpy(dtype=bool)
    return found


def parse_times(text: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    """Parse times of ISO 8601; an unreadable one is NaT."""
    times = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
    return times.dt.tz_localize(None).astype("datetime64[us]")


def count_not_understood(text: pd.Series[str], is_understood: pd.Series[bool]) -> int:
    """Count the cells that say something, which is not that it is unknown, and were not read.

    >>> text = pd.Series(["1", "left", None, "Unknown"])
    >>> count_not_understood(text, pd.to_numeric(text, errors="coerce").notna())
    1
    """
    left = text[text.notna().to_numpy(bool) & ~is_understood.to_numpy(bool)]
    return sum(str(cell).strip().lower() not in _UNKNOWN for cell in left)


def _to_years(text: pd.Series[str]) -> pd.Series[float]:
    """Read numbers of years, NaN where there is none."""
    years = pd.to_numeric(text, errors="coerce").astype(np.float64)
    for index in text.index[years.isna() & text.notna()]:
        found = _AGE.fullmatch(str(text[index]).strip().lower())
        if found:
            years[index] = float(found[1].replace(",", "."))
    return years


# Shard keys: runs of neighbouring folders, fewer than 100 of them.


MAX_SHARDS = 99
"""Dagster tracks the versions of upstream partitions only below 100 of them."""

_MOST_BYTES = 150
"""Of a name that names a file: it may have 255, of which the ending and a temporary name, which
holds the machine's, take up to 100."""


def bounded_name(name: str) -> str:
    """Shorten a name so that a file can have it; the end is then a hash of all of it.

    >>> bounded_name("p1000-p1019")
    'p1000-p1019'
    >>> len(bounded_name("x" * 300))
    150
    """
    if len(name.encode()) <= _MOST_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    start = name.encode()[: _MOST_BYTES - 1 - len(digest)].decode(errors="ignore")
    return f"{start}-{digest}"


def shard_of_folder(folder: int, folders_per_shard: int) -> str:
    """Name the run of folders that holds folder pNNNN.

    >>> shard_of_folder(1007, 20), shard_of_folder(1007, 1)
    ('p1000-p1019', 'p1007')
    """
    first = folder - folder % folders_per_shard
    if folders_per_shard == 1:
        return f"p{first:04d}"
    return f"p{first:04d}-p{first + folders_per_shard - 1:04d}"


def shards_of_numbered_folders(
    folders: NDArray[np.int64], folders_per_shard: int
) -> NDArray[np.object_]:
    """Name the shard of each record by the number of its folder pNNNN: ``(record,)``.

    Raises
    ------
    SettingsError
        When there would be 100 shards or more; it says which number avoids that.
    """
    numbers, record_folder = np.unique(folders, return_inverse=True)
    if _count_runs(numbers, folders_per_shard) > MAX_SHARDS:
        enough = folders_per_shard
        while _count_runs(numbers, enough) > MAX_SHARDS:
            enough += 1
        raise SettingsError(
            f"ECG_FOLDERS_PER_SHARD is {folders_per_shard}, which makes "
            f"{_count_runs(numbers, folders_per_shard)} shards of {len(numbers)} folders; at most "
            f"{MAX_SHARDS} are allowed, because Dagster tracks what is out of date only below "
            f"100 partitions. Raise ECG_FOLDERS_PER_SHARD to {enough} or more."
        )
    names = np.array([shard_of_folder(int(n), folders_per_shard) for n in numbers], dtype=object)
    return names[record_folder]


def shards_of_paths(paths: pd.Series[str]) -> pd.Series[str]:
    """Name the shard of each record by the folders that its path leads through.

    The folders' names are joined by ``-``, as many levels as keep the shards at 99 or fewer;
    files right at the root make the shard ``root``. A name too long for a file is shortened.

    >>> shards_of_paths(pd.Series(["training/georgia/g1/E1", "training/ptb-xl/H1"])).tolist()
    ['training-georgia-g1', 'training-ptb-xl']
    """
    folders = pd.Series([PurePosixPath(path).parent.parts for path in paths], index=paths.index)
    depth = int(folders.str.len().max()) if len(folders) else 0
    while True:
        names = ["-".join(f[:depth]) or "root" for f in folders]
        shards = pd.Series(map(bounded_name, names), index=paths.index, dtype=object)
        if shards.nunique() <= MAX_SHARDS:
            return shards
        depth -= 1


def _count_runs(numbers: NDArray[np.int64], length: int) -> int:
    return len(np.unique(numbers // length))
