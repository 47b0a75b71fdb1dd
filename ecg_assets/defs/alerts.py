"""Who is told when a run or a check fails: the log, or a function of yours.

A message says where to look and what kind of error it was. It holds nothing of a patient:
the text of an error is sent only for errors about files and settings, since any other may
quote a row of a table.
"""

import importlib
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from ecg_assets.defs.settings import CodeLocation
from ecg_assets.defs.upkeep import OWNERS
from ecg_assets.errors import SettingsError

PARTITION_TAG = "dagster/partition"
_EVENTS_A_TICK = 200
_TOLD_IN_FULL = (
    "SettingsError",
    "DiskFull",
    "CheckpointError",
    "UnsafeCheckpoint",
    "SpecMismatch",
    "StaleInput",
    "MissingInput",
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alert:
    """One failure.

    Attributes
    ----------
    what
        ``run failed`` or ``check failed``.
    run_id, job
        The run; its page in the UI has the rest.
    asset, check, partition
        What failed; empty where it is not known.
    error
        Class of the error, and its text where that cannot hold data.
    """

    what: str
    run_id: str
    job: str = ""
    asset: str = ""
    check: str = ""
    partition: str = ""
    error: str = ""

    @property
    def subject(self) -> str:
        """One line.

        >>> Alert("run failed", "4f1c", asset="predictions", partition="tiny").subject
        'run failed: predictions [tiny]'
        """
        name = ".".join(part for part in (self.asset or self.job, self.check) if part)
        return f"{self.what}: {name}" + (f" [{self.partition}]" if self.partition else "")

    @property
    def text(self) -> str:
        """All of it, a field a line."""
        fields = ("run_id", "job", "asset", "check", "partition", "error")
        found = [f"{name}: {getattr(self, name)}" for name in fields if getattr(self, name)]
        return "\n".join([self.subject, *found])


def choose_alert() -> Callable[[Alert], object]:
    """Choose by ECG_ALERT: ``log``, or the ``module:function`` of one that takes an `Alert`.

    Raises
    ------
    SettingsError
        When there is no such function.
    """
    name = CodeLocation().alert
    if name == "log":
        return to_log
    module, _, function = name.partition(":")
    try:
        found: Callable[[Alert], object] = getattr(importlib.import_module(module), function)
    except Exception as error:  # a module of somebody else's may raise anything when imported
        raise _no_function(name, str(error)) from error
    if not callable(found):
        raise _no_function(name, f"it is a {type(found).__name__}")
    try:
        inspect.signature(found).bind(Alert("run failed", ""))
    except TypeError as error:
        raise _no_function(name, f"it cannot be called with one: {error}") from error
    except ValueError:  # some that are written in C do not say what they take
        pass
    return found


def _no_function(name: str, reason: str) -> SettingsError:
    return SettingsError(
        f"ECG_ALERT is {name!r}; expected log, or the module:function of one that takes an "
        f"Alert ({reason}). docs/reevaluation.md has one for Slack and one for e-mail."
    )


def to_log(alert: Alert) -> None:
    """Write it to the daemon's log."""
    _log.error("%s", alert.text)


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of each failed run (ECG_ALERT).",
)
def alert_on_failed_run(context: dg.RunFailureSensorContext) -> None:
    """Send one alert a failed run, of its first failed step."""
    run, steps = context.dagster_run, context.get_step_failure_events()
    first = steps[0] if steps else None
    error = first.step_failure_data.error if first else None
    choose_alert()(
        Alert(
            "run failed",
            run_id=run.run_id,
            job=run.job_name,
            asset=str(first.step_key) if first else "",
            partition=run.tags.get(PARTITION_TAG, ""),
            error=describe_error(error) if error else "the run's process ended",
        )
    )


@dg.sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    owners=OWNERS,
    description="Tells of each asset check that does not pass (ECG_ALERT).",
)
def alert_on_failed_check(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Send one alert a failed check since the last tick; nothing is told of the time before."""
    storage = context.instance.event_log_storage
    if context.cursor is None:
        context.update_cursor(str(storage.get_maximum_record_id() or 0))
        return dg.SkipReason("Checks are watched from now on.")
    found = storage.get_logs_for_all_runs_by_log_id(
        after_cursor=int(context.cursor),
        dagster_event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION,
        limit=_EVENTS_A_TICK,
    )
    failed = {number: entry for number, entry in found.items() if not _check_of(entry).passed}
    send = choose_alert()
    for number, entry in failed.items():
        send(_alert_of(entry))
        context.update_cursor(str(number))
    context.update_cursor(str(max(found, default=int(context.cursor or 0))))
    return dg.SkipReason(f"{len(found)} checks ran, {len(failed)} did not pass.")


def describe_error(error: SerializableErrorInfo) -> str:
    """Name the class of the error behind a failure, with its text where that holds no data."""
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    said = next((one for one in chain if one.cls_name in _TOLD_IN_FULL), None)
    if said is None:
        name = chain[-1].cls_name or "unknown error"
        return f"{name} (its text is with the run: it may quote data)"
    text = said.message.strip()
    return f"{said.cls_name}: {text.partition(f'{said.cls_name}: ')[2] or text}"


def _check_of(entry: dg.EventLogEntry) -> dg.AssetCheckEvaluation:
    event = entry.get_dagster_event()
    return event.asset_check_evaluation_data


def _alert_of(entry: dg.EventLogEntry) -> Alert:
    check = _check_of(entry)
    return Alert(
        f"check failed ({check.severity.value.lower()})",
        run_id=entry.run_id,
        job=entry.job_name or "",
        asset=check.asset_key.to_user_string(),
        check=check.check_name,
        partition=check.partition or "",
    )
