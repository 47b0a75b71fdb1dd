"""Other datasets as evaluation sets, and the crosswalk from their codes to a model's labels.

Belongs here: what a dataset can express, and what it shares with the training data. Does not
belong here: reading of datasets (sources), codes and concepts (labels). Used by defs.
"""
