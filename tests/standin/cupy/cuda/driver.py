"""`cupy.cuda.driver`: the errors of CUDA's driver."""

from __future__ import annotations

_ERRORS = {
    1: "CUDA_ERROR_INVALID_VALUE: invalid argument",
    200: "CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid",
    500: "CUDA_ERROR_NOT_FOUND: named symbol not found",
    719: "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
}


class CUDADriverError(RuntimeError):
    """An error that a function of CUDA's driver returned; `status` is its number."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(_ERRORS[status])

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return type(self), (self.status,)
