"""The evaluation matrix of a deployment, behind its assets.

Belongs here: the design as partitions, where the matrix keeps its files, one embedding and one
cell from stored data to numbers, what the UI shows. Does not belong here: the assets themselves
(assets), the data, probe, table and picture of a cell without Dagster (evaluation.matrix).
Used by assets and build.
"""
