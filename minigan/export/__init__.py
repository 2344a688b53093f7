"""Runs and networks as files for other libraries: safetensors, ONNX, a model card."""

from __future__ import annotations

from minigan.export.onnx_model import EXAMPLES, save_onnx
from minigan.export.run_export import export_run
from minigan.export.weights import LAYOUT, save_weights

__all__ = ["EXAMPLES", "LAYOUT", "export_run", "save_onnx", "save_weights"]
