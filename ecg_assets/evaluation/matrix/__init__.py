"""Several models on several sources and label sets, each trained and measured in the same way.

Belongs here: which cells the matrix has, the data of one cell, the probe on frozen embeddings,
the table and the picture of all cells. Does not belong here: encoders and their training (models,
finetune). Used by defs.
"""
