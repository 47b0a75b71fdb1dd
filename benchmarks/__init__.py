"""Benchmarks: each prints its ratio to the reference path, measured in one run.

``make bench`` runs them all. Absolute times are printed too, but mean little: only the
ratios carry from one machine to another.
"""
