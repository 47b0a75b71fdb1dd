"""Published protocols as files: what a paper did, and what its table says.

Belongs here: what a protocol file may hold (`protocol`), the shipped ones (``files``) and the
numbers that papers published (``published``, a row a cell). Not here: how a cell is computed
(`ecg_assets.evaluation.protocol`), and where results lie (`ecg_assets.defs.protocol`).
"""
