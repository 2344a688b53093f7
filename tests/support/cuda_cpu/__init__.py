"""CUDA kernels executed on a CPU: g++ compiles the unmodified source against a header that implements CUDA's built-ins.

- `build.py` translates a source and compiles it, into minigan's cache.
- `run.py` loads the library and launches kernels on NumPy arrays, every argument checked.
- `sanitized.py` runs a launch under ThreadSanitizer or AddressSanitizer; `coverage.py` counts lines.
- `cuda_cpu.h`: the built-ins; `execution.h`, `fibers.cpp`, `threads.cpp`: how the threads of a block are executed.

What each of them finds, and what none of them can see, is the table at the top of tests/cuda/test_shim.py.
"""
