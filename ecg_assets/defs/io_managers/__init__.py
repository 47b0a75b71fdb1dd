"""IO managers: where each asset's value lies on disk, written atomically.

All put files under ``ECG_DATA_DIR/<source>/<asset>``; a partition is a file or folder
of that name. They write to a temporary name and rename, so a killed run leaves no
half file.
"""

from ecg_assets.defs.io_managers.manifest import ManifestIOManager
from ecg_assets.defs.io_managers.mat import MatIOManager
from ecg_assets.defs.io_managers.metrics import MetricsIOManager
from ecg_assets.defs.io_managers.parquet import ParquetIOManager
from ecg_assets.defs.io_managers.predictions import PredictionsIOManager
from ecg_assets.defs.io_managers.shard import ShardIOManager

__all__ = [
    "ManifestIOManager",
    "MatIOManager",
    "MetricsIOManager",
    "ParquetIOManager",
    "PredictionsIOManager",
    "ShardIOManager",
]
