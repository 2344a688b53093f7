"""`cupy.cuda.runtime`: one made-up device, and the errors of a machine without a driver or without a device.

The environment variable CUPY_STANDIN plays such machines: "no-driver", "old-driver" (for CUDA 12), "no-device".
CUPY_STANDIN_MEMORY is the memory of the device in bytes.
"""

from __future__ import annotations

import os
from typing import Any

from cupy._device import DEVICE_ID, MEMORY

RUNTIME_VERSION = 13_020
_DRIVERS = {"": RUNTIME_VERSION, "no-device": RUNTIME_VERSION, "old-driver": 12_040, "no-driver": 0}

streamCaptureModeGlobal = 0
streamCaptureModeThreadLocal = 1
streamCaptureModeRelaxed = 2
streamCaptureStatusNone = 0
streamCaptureStatusActive = 1
streamCaptureStatusInvalidated = 2

_ERRORS = {
    1: "cudaErrorInvalidValue: invalid argument",
    2: "cudaErrorMemoryAllocation: out of memory",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    400: "cudaErrorInvalidResourceHandle: invalid resource handle",
    401: "cudaErrorIllegalState: the operation cannot be performed in the present state",
    700: "cudaErrorIllegalAddress: an illegal memory access was encountered",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture",
    906: "cudaErrorStreamCaptureImplicit: operation would make the legacy stream depend on a capturing blocking stream",
}


class CUDARuntimeError(RuntimeError):
    """An error that a function of CUDA's runtime returned; `status` is its number."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(_ERRORS[status])

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (self.status,)


def _played() -> str:
    played = os.environ.get("CUPY_STANDIN", "")
    if played not in _DRIVERS:
        raise ValueError(f"CUPY_STANDIN is '{played}'; expected one of {[name for name in _DRIVERS if name]}")
    return played


def require_device() -> None:
    """Raise CUDARuntimeError on a machine without a driver or a device."""
    played = _played()
    if played:
        raise CUDARuntimeError(100 if played == "no-device" else 35)


def driverGetVersion() -> int:
    """The CUDA version of the driver, such as 13020 for 13.2; 0 without a driver."""
    return _DRIVERS[_played()]


def runtimeGetVersion() -> int:
    """The CUDA version that CuPy was built for."""
    return RUNTIME_VERSION


def getDeviceCount() -> int:
    """The number of devices."""
    require_device()
    return 1


def getDevice() -> int:
    """The number of the current device."""
    require_device()
    return DEVICE_ID


def setDevice(device: int) -> None:
    """Make `device` the current device."""
    require_device()
    if device != DEVICE_ID:
        raise CUDARuntimeError(101)


def getDeviceProperties(device: int) -> dict[str, Any]:
    """Facts about a device, those that an H200 has."""
    require_device()
    if device != DEVICE_ID:
        raise CUDARuntimeError(101)
    return {
        "name": b"Stand-in for a GPU, on the CPU",
        "totalGlobalMem": MEMORY.total(),
        "sharedMemPerBlock": 49_152,
        "regsPerBlock": 65_536,
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "maxGridSize": (2**31 - 1, 65_535, 65_535),
        "maxThreadsDim": (1024, 1024, 64),
        "multiProcessorCount": 132,
        "major": 9,
        "minor": 0,
        "l2CacheSize": 62_914_560,
    }


def memGetInfo() -> tuple[int, int]:
    """(free, total) bytes of the device's memory."""
    require_device()
    return MEMORY.total() - MEMORY.used, MEMORY.total()


def deviceSynchronize() -> None:
    """Wait for all work of the device."""
    require_device()
    from cupy.cuda.stream import synchronise_device

    synchronise_device()
