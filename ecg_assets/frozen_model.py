"""Values that check themselves and never change, whose errors are sentences for the user."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError, WrapValidator


class FrozenModel(BaseModel):
    """A pydantic model that takes no other fields than its own.

    Parameters
    ----------
    **values
        Its fields.

    Raises
    ------
    ValueError
        In a sentence for each fault: the field, what was found, and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = error.errors(include_url=False)
            sentences = [_put_in_words(fault, type(self)) for fault in faults]
            raise ValueError(" ".join(sentences)) from None

    def changed(self, **changes: Any) -> Self:
        """Make another one with some fields changed; it is checked as a new one is."""
        return type(self)(**{**dict(self), **changes})

    def _require(self, holds: bool, name: str, allowed: str) -> None:
        """Refuse a field, in a validator, for what it is beside other fields."""
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed}.")


def _keep_whole(value: Any, check: Callable[[Any], float]) -> float:
    number = check(value)
    return value if type(value) is int else number


Number = Annotated[float, WrapValidator(_keep_whole), PlainSerializer(lambda value: value)]
"""A float; an int stays one, since what is fingerprinted must stay as it was given."""


def _put_in_words(fault: Any, model: type[BaseModel]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "value_error":
            return str(fault["ctx"]["error"])
        case "missing":
            return f"{name} is missing."
        case "extra_forbidden":
            return f"{name!r} is no field of {model.__name__}; allowed: {list(model.model_fields)}."
    allowed = fault["msg"].replace("Input should", "it must")
    return f"{name} is {fault['input']!r}; {allowed[0].lower()}{allowed[1:]}."
