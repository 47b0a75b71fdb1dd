"""Run every benchmark: ``python -m benchmarks``."""

from benchmarks import evaluation, heads, labels, loading, positions, preprocess, training

for benchmark in (preprocess, loading, positions, training, heads, labels, evaluation):
    benchmark.main()
