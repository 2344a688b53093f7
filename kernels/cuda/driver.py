"""Whether CuPy finds a GPU, and facts about it. Only this module imports CuPy.

A process uses one GPU: the kernels are compiled for the one that is current when the first is launched, and loaded
there. CUDA_VISIBLE_DEVICES chooses another one.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Any


@lru_cache
def find_cupy() -> tuple[Any, str]:
    """(the module cupy, "") if a GPU answers; else (None, why not and what to do, as a clause).

    Importing CuPy takes two seconds and succeeds without a GPU, too.
    """
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return None, f"CuPy is not installed; {_INSTALL}"
        return None, f"CuPy cannot be imported ({_first_line(error)}); {_INSTALL}"
    except Exception as error:  # built for another CUDA version, or broken
        return None, f"CuPy cannot be imported ({_first_line(error)}); {_INSTALL}"
    reason = _why_no_device(cupy)
    return (None, reason) if reason else (cupy, "")


_INSTALL = "install it with: pip install 'minigan[cuda13]' (or [cuda12] for an older driver)"


def _why_no_device(cupy: Any) -> str:
    """Why no GPU answers, as a clause; an empty string if one does."""
    runtime = cupy.cuda.runtime
    try:
        supported, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
        if not supported:
            return "no NVIDIA driver is loaded; install one for your GPU ('nvidia-smi' shows whether it works)"
        if supported // 1000 < needed // 1000:  # CUDA 13 runs on every driver for 13, not on one for 12
            other = ", or install minigan[cuda12]" if supported // 1000 == 12 else ""
            return (
                f"the NVIDIA driver supports CUDA {_version(supported)}, and CuPy needs CUDA {_version(needed)}; "
                f"update the driver{other}"
            )
        if runtime.getDeviceCount():
            runtime.memGetInfo()  # fails if the GPU cannot be used, such as by a second process in exclusive mode
            return ""
    except Exception as error:  # CuPy has its own kind of exception for each part of CUDA
        if "cudaErrorNoDevice" not in str(error):
            return f"CUDA cannot be started ({_first_line(error)}); see whether 'nvidia-smi' works"
    return "the NVIDIA driver finds no GPU; see 'nvidia-smi', and whether CUDA_VISIBLE_DEVICES hides it"


def _first_line(error: BaseException) -> str:
    """What `error` says, in one line. CuPy's ImportError gives the reason in its last lines, after a long advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =")]
    original = [line for i, line in enumerate(lines) if i and lines[i - 1] == "Original error:"]
    return (original or lines or [type(error).__name__])[0].rstrip(".:")


def problem(error: BaseException) -> str | None:
    """What has gone wrong on the GPU and what to do, as a clause; None if `error` is none of CuPy's about the GPU."""
    cupy = sys.modules.get("cupy")
    cuda = getattr(cupy, "cuda", None)
    if cuda is None:
        return None
    is_of_driver = isinstance(error, (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError))
    if isinstance(error, cuda.memory.OutOfMemoryError) or (is_of_driver and _OUT_OF_MEMORY.match(str(error))):
        return f"the GPU has no memory for {_bytes_asked(error)}{_free_memory(cuda)}; choose a smaller batch_size"
    if is_of_driver:
        return f"the GPU failed ({_first_line(error)}); see whether 'nvidia-smi' works, then try again"
    return None


_OUT_OF_MEMORY = re.compile("cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY")  # outside of CuPy's allocator


def _bytes_asked(error: Any) -> str:
    """The number of bytes that an OutOfMemoryError could not get."""
    size = getattr(error, "_size", None)
    return f"{size:,} more bytes" if isinstance(size, int) else "this operation"


def _free_memory(cuda: Any) -> str:
    """How much memory of the GPU is free, in brackets after a space; empty if it does not answer."""
    try:
        free, total = cuda.runtime.memGetInfo()
    except Exception:
        return ""
    return f" ({free:,} of {total:,} are free)"


def _version(number: int) -> str:
    """CUDA's version number 13020 as text, 13.2."""
    return f"{number // 1000}.{number % 1000 // 10}"


def cupy_module() -> Any:
    """The module cupy. Raises RuntimeError if it cannot be used here."""
    cupy, reason = find_cupy()
    if cupy is None:
        raise RuntimeError(f"CUDA cannot be used: {reason}")
    return cupy


@lru_cache
def architecture() -> str:
    """The compute capability of the current GPU, as "90" for 9.0."""
    return str(cupy_module().cuda.Device().compute_capability)


@lru_cache
def multiprocessors() -> int:
    """The number of multiprocessors (SMs) of the current GPU."""
    return int(cupy_module().cuda.Device().attributes["MultiProcessorCount"])


def identity() -> dict[str, str]:
    """The name of the current GPU, and its compute capability."""
    cupy = cupy_module()
    capability = architecture()
    return {
        "GPU": cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode(errors="replace"),
        "compute capability": f"{capability[:-1]}.{capability[-1]}",
    }


def describe() -> dict[str, str]:
    """Facts about the current GPU for `minigan info`."""
    cuda = cupy_module().cuda
    free, total = cuda.runtime.memGetInfo()
    supported, used = cuda.runtime.driverGetVersion(), cuda.runtime.runtimeGetVersion()
    return identity() | {
        "multiprocessors": str(multiprocessors()),
        "GPU memory": f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free",
        "CUDA": f"{_version(used)} (the driver supports {_version(supported)})",
        "NVRTC": ".".join(map(str, cuda.nvrtc.getVersion())),
    }


def synchronize() -> None:
    """Wait until the current GPU has done all work so far; raises CuPy's errors for what went wrong in it."""
    cupy_module().cuda.runtime.deviceSynchronize()
