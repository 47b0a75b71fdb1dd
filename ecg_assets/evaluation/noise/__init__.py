"""Labels that a model confidently contradicts.

Belongs here: the ranking, its calibration on validation, the list for reviewers, and how well it
finds planted errors. Does not belong here: making labels. Used by report and defs.
"""
