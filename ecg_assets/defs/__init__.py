"""Everything that knows Dagster: assets, checks, IO managers, resources, automation.

Belongs here: thin wrappers that read inputs, call one or two plain functions of the
other rooms and return the result with metadata. Does not belong here: anything one
could call without Dagster. Only `ecg_assets.definitions` uses it. This module imports
nothing, so that a training process can start without loading Dagster.
"""
