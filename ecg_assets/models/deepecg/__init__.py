"""DeepECG-SSL: ECG-FM's architecture with other signals and labels.

Belongs here: what it says of itself (`family`), its labels, the import of its files.
"""
