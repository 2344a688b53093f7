"""Modules, layers and initial weights."""

from minigan.nn import init
from minigan.nn.conv import AveragePool2d, Conv2d, ConvTranspose2d, MaxPool2d, Upsample2d
from minigan.nn.layers import BatchNorm, Dense, Dropout, Flatten, LeakyReLU, ReLU, Reshape, Sigmoid, Tanh
from minigan.nn.module import Module, Sequential

__all__ = [
    "AveragePool2d", "BatchNorm", "Conv2d", "ConvTranspose2d", "Dense", "Dropout", "Flatten", "LeakyReLU", "MaxPool2d",
    "Module", "ReLU", "Reshape", "Sequential", "Sigmoid", "Tanh", "Upsample2d", "init",
]  # fmt: skip
