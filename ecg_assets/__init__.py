"""ECG foundation models, from raw recordings to numbers one can trust.

Names for notebooks and scripts (docs/api.md), each loaded when it is first used:

>>> import ecg_assets
>>> ecg_assets.list_sources()[:2]
['mimic-iv-ecg', 'physionet-2021']

The Dagster assets are in `ecg_assets.definitions`.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecg_assets.api.evaluation import Evaluation, compare, evaluate
    from ecg_assets.api.model import Applied, Model, from_pretrained
    from ecg_assets.api.recording import Recording, read_recording
    from ecg_assets.api.shards import Shards, open_shards
    from ecg_assets.api.source import OpenedSource, list_label_sets, list_sources, open_source
    from ecg_assets.api.torch_dataset import SegmentDataset
    from ecg_assets.errors import (
        BadRecord,
        CheckpointError,
        EcgAssetsError,
        LeakageError,
        SchemaError,
        SettingsError,
        SpecMismatch,
        UnsafeCheckpoint,
    )

__version__ = version("ecg-assets")

_MODULES = {
    "api.evaluation": ("Evaluation", "compare", "evaluate"),
    "api.model": ("Applied", "Model", "from_pretrained"),
    "api.recording": ("Recording", "read_recording"),
    "api.shards": ("Shards", "open_shards"),
    "api.source": ("OpenedSource", "list_label_sets", "list_sources", "open_source"),
    "api.torch_dataset": ("SegmentDataset",),
    "errors": (
        *("BadRecord", "CheckpointError", "EcgAssetsError", "LeakageError", "SchemaError"),
        *("SettingsError", "SpecMismatch", "UnsafeCheckpoint"),
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Applied",
    "BadRecord",
    "CheckpointError",
    "EcgAssetsError",
    "Evaluation",
    "LeakageError",
    "Model",
    "OpenedSource",
    "Recording",
    "SchemaError",
    "SegmentDataset",
    "SettingsError",
    "Shards",
    "SpecMismatch",
    "UnsafeCheckpoint",
    "__version__",
    "compare",
    "evaluate",
    "from_pretrained",
    "list_label_sets",
    "list_sources",
    "open_shards",
    "open_source",
    "read_recording",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
