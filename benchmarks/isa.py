"""The same vector instructions for every library: what to set before it is imported, and what it says it uses.

The libraries are imported late, inside functions: they read these variables when they are loaded.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

from machine import RequestError, cpu_flags

NAMES = ("avx2", "avx512", "native")
_FLAG = {"avx2": "avx2", "avx512": "avx512f"}  # in /proc/cpuinfo
# Variables that keep a library from using wider vectors than AVX2 on a CPU that has them. Numba: any CPU that LLVM
# knows; Haswell is the first with AVX2 and FMA. NumPy: names since 2.4; it ignores those that it does not know.
# PyTorch's own kernels; oneDNN (PyTorch's convolutions); MKL (PyTorch's products), which reads its variable on Intel
# CPUs only; XLA (JAX), whose flag limits the code that it compiles.
_AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
# By themselves the libraries use AVX-512 where the CPU has it, but for some that prefer AVX2 on some CPUs.
_AVX512 = {
    "OPENBLAS_CORETYPE": "SkylakeX",
    "ATEN_CPU_CAPABILITY": "avx512",
    "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX512",
}


def choose(name: str) -> None:
    """Set the variables that give every library the instruction set `name`; call it before any of them is imported.

    "native" changes nothing. Neither does the widest set that the CPU has: the libraries would use that anyway.
    Raises RequestError if the CPU does not have it.
    """
    if name == "native":
        return
    flags = cpu_flags()
    if _FLAG[name] not in flags:
        raise RequestError(
            f"--isa {name}: this CPU does not have these instructions; leave --isa out to use what it has."
        )
    if name == "avx2" and _FLAG["avx512"] not in flags:
        return
    for variable, value in (_AVX2 if name == "avx2" else _AVX512).items():
        before = os.environ.get(variable, "") if variable == "XLA_FLAGS" else ""
        os.environ[variable] = f"{before} {value}".strip()


def honoured(peers: list[str]) -> dict[str, str]:
    """What each library says it uses, as far as it says anything; call this after the libraries were imported."""
    found = {"minigan": _numba(), "NumPy": _numpy(), "OpenBLAS (NumPy)": _openblas()}
    packages = {peer.split(".")[0] for peer in peers}
    if "torch" in packages:
        found |= _torch()
    if "jax" in packages:
        flag = re.search(r"--xla_cpu_max_isa=\S+", os.environ.get("XLA_FLAGS", ""))
        found["XLA (JAX)"] = f"{flag[0]} was accepted; XLA does not say what it uses" if flag else "does not say"
    return found


def _numba() -> str:
    try:
        from minigan_kernels.numba.cpu import vector_bytes
    except ImportError:
        return "no Numba: NumPy serves"
    return f"{8 * vector_bytes()}-bit vectors"


def _numpy() -> str:
    try:
        from numpy._core._multiarray_umath import __cpu_baseline__, __cpu_dispatch__, __cpu_features__
    except ImportError:
        return "does not say"
    return " ".join([*__cpu_baseline__, *(name for name in __cpu_dispatch__ if __cpu_features__.get(name))])


def _openblas() -> str:
    """The name of the CPU whose kernels OpenBLAS uses, such as Haswell (AVX2) or SkylakeX (AVX-512)."""
    import ctypes
    from pathlib import Path

    import numpy

    folder = Path(numpy.__file__).parent.parent / "numpy.libs"
    for path in folder.glob("*openblas*"):
        library = ctypes.CDLL(str(path))
        for name in ("scipy_openblas_get_corename64_", "openblas_get_corename64_", "openblas_get_corename"):
            if function := getattr(library, name, None):
                function.restype = ctypes.c_char_p
                return f"kernels for {function().decode()}"
    return "not found: another BLAS, or one that does not say"


# MKL and oneDNN say what they use only if they are asked before they are loaded.
_ASK_TORCH = """
import torch
print("capability:", torch.backends.cpu.get_cpu_capability())
torch.mm(torch.ones(64, 64), torch.ones(64, 64))
torch.nn.functional.conv2d(torch.ones(16, 64, 32, 32), torch.ones(64, 64, 3, 3))
"""
_ANSWERS = {
    "PyTorch": r"^capability: (.*)$",
    "oneDNN (PyTorch)": r"cpu,isa:(.*)$",
    "MKL (PyTorch)": r"^MKL_VERBOSE (?:Intel\(R\) )?(?:oneMKL|MKL)?.*? for (.*?),? (?:Lnx|Win|OSX)",
}


def _torch() -> dict[str, str]:
    environment = os.environ | {"ONEDNN_VERBOSE": "1", "MKL_VERBOSE": "1"}
    run = subprocess.run([sys.executable, "-c", _ASK_TORCH], env=environment, capture_output=True, text=True)
    return {name: _first(pattern, run.stdout) for name, pattern in _ANSWERS.items()}


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else "does not say"


def lines(facts: dict[str, Any]) -> list[str]:
    """The instruction set asked for, and a line for what each library says, for a report."""
    return [f"Instructions: {facts['asked']}", *(f"  {name}: {said}" for name, said in facts["said"].items())]
