from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from ecg_assets.frozen_model import FrozenModel, Number


class Inner(FrozenModel):
    size: int = Field(default=1, ge=1)


class Outer(FrozenModel):
    rate: Number = Field(gt=0)
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rate": 0}, "rate is 0; it must be greater than 0."),
        ({"rate": float("inf")}, "rate is inf; it must be a finite number."),
        ({"rate": 1, "kind": "c"}, "kind is 'c'; it must be 'a' or 'b'."),
        ({}, "rate is missing."),
        ({"rate": 1, "x": 2}, "'x' is no field of Outer; allowed: ['rate', 'kind', 'inner']."),
        ({"rate": 1, "inner": {"size": 0}}, "size is 0; it must be greater than or equal to 1."),
        ({"rate": 0, "kind": "c"}, "rate is 0; it must be greater than 0. kind is 'c'; it must"),
    ],
)
def test_each_fault_is_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        Outer(**values)
    assert str(error.value).startswith(sentence)
    assert not isinstance(error.value, ValidationError)


def test_a_changed_model_is_checked_and_the_first_one_stays() -> None:
    model = Outer(rate=0.5)
    assert model.changed(kind="b") == Outer(rate=0.5, kind="b")
    with pytest.raises(ValueError, match="kind is 'c'"):
        model.changed(kind="c")
    assert model == Outer(rate=0.5)


def test_a_whole_number_is_written_as_it_was_given() -> None:
    assert Outer(rate=1).model_dump_json(include={"rate"}) == '{"rate":1}'
    assert Outer(rate=1.0).model_dump_json(include={"rate"}) == '{"rate":1.0}'
    assert Outer(rate=1) == Outer(rate=1.0)


def test_fields_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Outer(rate=1).kind = "b"
