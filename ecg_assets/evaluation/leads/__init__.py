"""The same recordings with fewer leads.

Belongs here: which sets of leads, and what each loses. Does not belong here: running the
model (`predict`). Used by report and defs.
"""
