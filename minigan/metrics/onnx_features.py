"""Features that a model in an ONNX file computes, by onnxruntime (an extra: pip install 'minigan[onnx]')."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from minigan.core import files
from minigan.core.errors import UsageError, clause
from minigan.data import Dataset, resized
from minigan.data.dataset import CHANNELS

_MOST_BYTES = 2 << 30  # ONNX files cannot be larger
_AT_ONCE = 64  # pictures


class OnnxFeatures:
    """The first output, flattened, of the model in `path` for pictures (N, H, W, C) uint8: (N, d), float64.

    The model takes one float32 input, (N, C, H, W) or (N, H, W, C) with C 1 or 3, of pixels in [0, 1]; a model that
    wants them normalised has to do that itself. Where it fixes H, W and C, pictures are resized and converted to that.
    sha256: of the file. Raises UsageError if onnxruntime is missing, or the file is no such model.
    """

    key = "onnx"

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            model = files.read_bytes(path, _MOST_BYTES)
        except FileNotFoundError:
            raise UsageError(f"there is no {path}; name the ONNX file of a model with --features.") from None
        self.sha256 = hashlib.sha256(model).hexdigest()
        self._session = _session(model, path)
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if inputs else []
        self._channels_first = len(shape) == 4 and shape[3] not in CHANNELS
        self._wanted = (*shape[2:], *shape[1:2]) if self._channels_first else tuple(shape[1:])
        takes_pictures = len(shape) == 4 and (self._wanted[2] in CHANNELS or not isinstance(self._wanted[2], int))
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or not takes_pictures:
            found = ", ".join(f"{one.type} {one.shape}" for one in inputs)
            raise UsageError(
                f"{path} takes {found}, expected one tensor(float) of pictures (N, C, H, W) or (N, H, W, C) with C 1 "
                "or 3; name another model with --features."
            )
        self._input = inputs[0].name

    def __call__(self, images: np.ndarray) -> np.ndarray:
        height, width, channels = (
            want if isinstance(want, int) else size for want, size in zip(self._wanted, images.shape[1:], strict=True)
        )
        images = resized(Dataset(images), (height, width, channels)).images
        parts = [self._features(images[start : start + _AT_ONCE]) for start in range(0, len(images), _AT_ONCE)]
        return np.concatenate(parts).astype(np.float64)

    def _features(self, images: np.ndarray) -> np.ndarray:
        pixels = images.astype(np.float32) / 255
        given = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)) if self._channels_first else pixels
        try:
            output = self._session.run(None, {self._input: given})[0]
        except Exception as error:  # onnxruntime's errors have no common base
            raise UsageError(f"the model {self._name} cannot take pictures {given.shape}: {clause(error)}.") from None
        return np.asarray(output).reshape(len(images), -1)

    def __str__(self) -> str:
        return f"the outputs of {self._name} (SHA-256 {self.sha256})"


def _session(model: bytes, path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(
            "--features FILE.onnx needs the package onnxruntime; pip install 'minigan[onnx]', or leave --features out."
        ) from None
    try:
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base
        raise UsageError(f"{path} cannot be read as an ONNX model ({clause(error)}); name another file.") from None
