"""Modules, layers and initial weights."""

from minigan.nn import init
from minigan.nn.layers import BatchNorm, Dense, Dropout, Flatten, LeakyReLU, ReLU, Reshape, Sigmoid, Tanh
from minigan.nn.module import Module, Sequential

__all__ = [
    "BatchNorm", "Dense", "Dropout", "Flatten", "LeakyReLU", "Module", "ReLU", "Reshape", "Sequential", "Sigmoid",
    "Tanh", "init",
]  # fmt: skip
