"""A source, a recording, shards, a model, and its evaluation, for notebooks and scripts.

Belongs here: what people call from Python by ``import ecg_assets``, which names it (docs/api.md);
each name wraps functions of the other packages. Does not belong here: anything that a deployment
does, and settings: facts come from the data and from arguments. Used by nothing in this package.
"""
