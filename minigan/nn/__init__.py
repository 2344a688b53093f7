"""Modules, layers and initial weights."""

from minigan.nn import init
from minigan.nn.conv import AveragePool2d, Conv2d, ConvTranspose2d, MaxPool2d, Upsample2d
from minigan.nn.dropout import Dropout
from minigan.nn.features import FourierFeatures
from minigan.nn.layers import BatchNorm, Dense, Flatten, LeakyReLU, ReLU, Reshape, Sigmoid, Tanh
from minigan.nn.maxout import Maxout
from minigan.nn.module import Module, Sequential
from minigan.nn.spectral import SpectralNorm, spectral_norm

__all__ = [
    "AveragePool2d", "BatchNorm", "Conv2d", "ConvTranspose2d", "Dense", "Dropout", "Flatten", "FourierFeatures",
    "LeakyReLU", "MaxPool2d", "Maxout", "Module", "ReLU", "Reshape", "Sequential", "Sigmoid", "SpectralNorm",
    "Tanh", "Upsample2d", "init", "spectral_norm",
]  # fmt: skip
