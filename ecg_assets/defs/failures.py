"""An error of ours ends its step as Dagster's Failure, whose description is the error's sentence.

The UI begins with what to do, instead of with the step that did not work; on the command line the
sentence is the last of the log. Where in the code it was raised is in the Failure's metadata.
"""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.warnings import disable_dagster_warnings

from ecg_assets.errors import EcgAssetsError

INTERRUPTED = DagsterExecutionInterruptedError.__name__
Assets = TypeVar("Assets", bound=dg.AssetsDefinition)


@contextmanager
def in_words() -> Iterator[None]:
    """Turn an error of ours into a Failure that says the same."""
    try:
        yield
    except EcgAssetsError as error:
        where = dg.MetadataValue.text("".join(traceback.format_exception(error)))
        # Dagster's log goes on with the cause: its sentence is to be the last of it.
        error.__cause__, error.__suppress_context__ = None, True
        raise dg.Failure(str(error), {"raised_in": where}, allow_retries=False) from (
            error.with_traceback(None)
        )


def fail_in_words(definitions: Iterable[Assets]) -> list[Assets]:
    """Copy assets or checks, so that an error of ours in their function is a Failure.

    Their functions stay as they are for those who call them without a run.
    """
    return [_copy(definition) for definition in definitions]


def _copy(definition: Assets) -> Assets:
    attributes = definition.get_attributes_dict()
    op = copy.copy(attributes["node_def"])
    # Dagster makes definitions from functions alone, and keeps no promise of how it holds them.
    op._compute_fn = DecoratedOpFunction(_fail_in_words(op.compute_fn.decorated_fn))
    with disable_dagster_warnings():
        return type(definition)(**{**attributes, "node_def": op})


def _fail_in_words(function: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.isgeneratorfunction(function):
        return in_words()(function)

    @wraps(function)
    def events(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with in_words():
            yield from function(*args, **kwargs)

    return events


class FailsInWords(dg.IOManager):
    """What another IO manager does, an error of ours as a Failure."""

    def __init__(self, inner: dg.IOManager) -> None:
        self._inner = inner

    @in_words()
    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write."""
        self._inner.handle_output(context, obj)

    @in_words()
    def load_input(self, context: dg.InputContext) -> Any:
        """Read."""
        return self._inner.load_input(context)


def require_success(result: dg.ExecuteInProcessResult) -> None:
    """Raise an error that says what made a run fail, a line each; nothing if it did not.

    Raises
    ------
    EcgAssetsError
        Of steps that failed, or of the checks that block what follows.
    KeyboardInterrupt
        When it was cancelled.
    """
    lines = []
    for event in [event for event in result.all_events if event.is_step_failure]:
        data = event.step_failure_data
        if data.error is not None and data.error.cls_name == INTERRUPTED:
            raise KeyboardInterrupt
        words = data.user_failure_data and data.user_failure_data.description
        error = data.error.message.strip() if data.error else "no reason is known"
        lines.append((event.step_key, words or f"{error} (the log above has more)"))
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    blocking = [check for check in failed if check.blocking and not check.partition]
    if blocking:  # Dagster's own line names them, and nothing else
        lines = [(check.asset_key.to_user_string(), _describe(check)) for check in blocking]
    if not result.success:
        raise EcgAssetsError("\n".join(f"{name}: {said}" for name, said in lines))


def _describe(check: dg.AssetCheckEvaluation) -> str:
    values = ", ".join(f"{name} {value.value}" for name, value in check.metadata.items())
    return check.description or f"the check {check.check_name} does not pass ({values})."
