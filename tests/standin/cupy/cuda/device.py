"""`cupy.cuda.Device`: the one made-up device."""

from __future__ import annotations

from typing import Any

from cupy._device import DEVICE_ID
from cupy.cuda import runtime


class Device:
    """The device; as a context, what is inside works on it."""

    def __init__(self, device: int | None = None) -> None:
        runtime.require_device()
        self.id = DEVICE_ID if device is None else int(device)
        if self.id != DEVICE_ID:
            raise runtime.CUDARuntimeError(101)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def use(self) -> Device:
        """Make this the current device."""
        return self

    def synchronize(self) -> None:
        """Wait for all work of the device."""
        runtime.deviceSynchronize()

    @property
    def compute_capability(self) -> str:
        """That of an H200."""
        return "90"

    @property
    def attributes(self) -> dict[str, Any]:
        """Facts about the device by CUDA's names without cudaDevAttr."""
        return {
            "MultiProcessorCount": 132,
            "MaxThreadsPerBlock": 1024,
            "MaxSharedMemoryPerBlock": 49_152,
            "MaxSharedMemoryPerBlockOptin": 232_448,
            "MaxGridDimX": 2**31 - 1,
            "MaxGridDimY": 65_535,
            "MaxGridDimZ": 65_535,
            "WarpSize": 32,
            "ClockRate": 1_980_000,
        }

    @property
    def mem_info(self) -> tuple[int, int]:
        """(free, total) bytes of the device's memory."""
        return runtime.memGetInfo()


def get_device_id() -> int:
    """The number of the current device."""
    return runtime.getDevice()
