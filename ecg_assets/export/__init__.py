"""Files for other programs: .mat recordings, fairseq-signals' manifests, the Lead-I pipeline's.

Belongs here: their names, layouts and side files. Does not belong here: anything that this package
itself reads to train or evaluate. Used by ``defs/assets/export.py`` alone: without both, and the
tests of both, everything else works.
"""
