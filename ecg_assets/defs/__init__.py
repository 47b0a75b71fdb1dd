"""Everything that knows Dagster: assets, checks, IO managers, resources, automation.

Belongs here: thin wrappers that read inputs, call one or two plain functions of the
other packages and return the result with metadata. Does not belong here: anything one
could call without Dagster. Only `ecg_assets.definitions` uses it. This module imports
no Dagster, so that a training process can start without loading Dagster.
"""

import warnings

# Dagster marks these two as beta and preview; the pin below 1.14 is the answer to that, and a
# warning in every process would hide those that matter.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`")
warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec")
