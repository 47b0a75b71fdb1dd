"""Run every benchmark: ``python -m benchmarks``."""

from benchmarks import evaluation, labels, loading, preprocess

for benchmark in (preprocess, loading, labels, evaluation):
    benchmark.main()
