"""Groups of recordings: metrics in slices, drift of data and of predictions.

Belongs here: what differs between groups, splits, shards and years. Does not belong here:
other datasets (external) and fewer leads (leads). Used by report and defs.
"""
