"""The page of one evaluation: its document, numbers that name their place in it, curves, pictures.

Belongs here: what a reader sees of one checkpoint on one set. Does not belong here: computing
metrics. Used by defs.
"""
