"""What was put into the checkpoint folder, by training or by hand, and what was refused of it.

Belongs here: when a file or folder is complete, its fingerprint, the record of a refusal. Does not
belong here: reading weights (models). Used by defs.
"""
