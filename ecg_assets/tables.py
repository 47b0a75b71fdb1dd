"""Declared table schemas: one place that writes, checks and documents each stored table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from ecg_assets.errors import SchemaError


@dataclass(frozen=True)
class Column:
    """A column: its name, Arrow type, meaning, and whether it may hold nulls."""

    name: str
    type: pa.DataType
    meaning: str
    nullable: bool = False


@dataclass(frozen=True)
class TableSchema:
    """The declared columns of one stored table, in order."""

    name: str
    columns: tuple[Column, ...]

    @property
    def arrow(self) -> pa.Schema:
        """Arrow schema, each field with its meaning as metadata."""
        return pa.schema(
            [
                pa.field(c.name, c.type, nullable=c.nullable, metadata={"meaning": c.meaning})
                for c in self.columns
            ]
        )

    def from_pandas(self, frame: pd.DataFrame) -> pa.Table:
        """Convert a frame to the declared types.

        Raises
        ------
        SchemaError
            When columns are missing or unknown, a value does not fit its type, or a
            column that may not be null holds nulls.
        """
        self._require_names(list(frame.columns))
        types = pa.schema([(c.name, c.type) for c in self.columns])
        try:
            table = pa.Table.from_pandas(frame, schema=types, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise SchemaError(
                f"Table {self.name}: a value does not fit its column: {error}"
            ) from error
        return self.require(table).cast(self.arrow)

    def require(self, table: pa.Table) -> pa.Table:
        """Return the table if it follows this schema, else raise `SchemaError`."""
        self._require_names(table.column_names)
        for column in self.columns:
            found = table.schema.field(column.name).type
            if found != column.type:
                raise SchemaError(
                    f"Table {self.name}: column {column.name!r} is {found}, expected {column.type}."
                )
            nulls = table[column.name].null_count
            if nulls and not column.nullable:
                raise SchemaError(
                    f"Table {self.name}: column {column.name!r} has {nulls} empty values "
                    f"in {table.num_rows} rows; it may have none."
                )
        return table

    def empty(self) -> pd.DataFrame:
        """Frame without rows in this schema's columns."""
        frame: pd.DataFrame = self.arrow.empty_table().to_pandas()
        return frame

    def markdown(self) -> str:
        """Documentation of the columns as a Markdown table."""
        rows = [
            f"| `{c.name}` | {c.type} | {'yes' if c.nullable else 'no'} | {c.meaning} |"
            for c in self.columns
        ]
        return "\n".join(
            ["| column | type | may be empty | meaning |", "| --- | --- | --- | --- |", *rows]
        )

    def _require_names(self, found: list[str]) -> None:
        expected = [c.name for c in self.columns]
        missing = [name for name in expected if name not in found]
        unknown = [name for name in found if name not in expected]
        if missing or unknown:
            raise SchemaError(
                f"Table {self.name}: missing columns {missing}, unknown columns {unknown}; "
                f"expected {expected}."
            )


# Tables as CSV for people, who open them in a spreadsheet.


_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")
"""https://owasp.org/www-community/attacks/CSV_Injection."""


def disarm_formula(value: Any) -> Any:
    """Put a quote before text that a spreadsheet would run as a formula; others stay.

    A carriage return becomes a line feed: unlike this one it is not quoted in a CSV, and would
    begin a row.

    >>> [disarm_formula(value) for value in ("=HYPERLINK(1)", "-0.5", -0.5, "a=b", None)]
    ["'=HYPERLINK(1)", "'-0.5", -0.5, 'a=b', None]
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{text}" if text.startswith(_STARTS_A_FORMULA) else text


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table that people open: text, and names of columns, as `disarm_formula` has them.

    Numbers are written as they are. Tables that programs read (manifests for fairseq-signals, the
    split) are not written by this.
    """
    safe = table.rename(columns=disarm_formula)
    for name, values in safe.items():
        if not hasattr(values.dtype, "kind") or values.dtype.kind not in "biufcmM":
            safe[name] = values.astype(object).map(disarm_formula)
    safe.to_csv(path, index=False, lineterminator="\n")
