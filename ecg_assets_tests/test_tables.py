from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from ecg_assets.errors import SchemaError
from ecg_assets.tables import Column, TableSchema

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
