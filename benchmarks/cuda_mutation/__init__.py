"""Mistakes planted in the CUDA kernels, to see whether the tests notice them; see benchmarks/cuda_mutants.py."""
