"""S4 and ECG-CPC: structured state spaces over ECG leads.

Belongs here: their layers, architectures and sizes, what they say of themselves (`family`), their
files: reading and import.
"""
