"""Run every benchmark: ``python -m benchmarks``."""

from benchmarks import evaluation, labels, loading, preprocess, training

for benchmark in (preprocess, loading, training, labels, evaluation):
    benchmark.main()
