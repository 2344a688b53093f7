"""Modules, layers and initial weights."""

from minigan.nn import init
from minigan.nn.conv import AveragePool2d, Conv2d, ConvTranspose2d, GlobalAveragePool2d, MaxPool2d
from minigan.nn.diff_augment import DiffAugment
from minigan.nn.dropout import Dropout, GaussianNoise, UniformNoise
from minigan.nn.embedding import Embedding
from minigan.nn.features import FourierFeatures
from minigan.nn.layers import BatchNorm, Dense, Flatten, LeakyReLU, ReLU, Reshape, Sigmoid, Tanh
from minigan.nn.maxout import Maxout
from minigan.nn.minibatch import MinibatchStandardDeviation
from minigan.nn.module import Module
from minigan.nn.norms import InstanceNorm, LayerNorm
from minigan.nn.perceptron import mlp
from minigan.nn.random_layer import RandomLayer
from minigan.nn.seeds import manual_seed
from minigan.nn.sequential import Concatenate, Residual, Sequential
from minigan.nn.spectral import SpectralNorm, spectral_norm
from minigan.nn.summary import Summary
from minigan.nn.upsample import Upsample2d

__all__ = [
    "AveragePool2d", "BatchNorm", "Concatenate", "Conv2d", "ConvTranspose2d", "Dense", "DiffAugment", "Dropout",
    "Embedding", "Flatten", "FourierFeatures", "GaussianNoise", "GlobalAveragePool2d", "InstanceNorm", "LayerNorm",
    "LeakyReLU", "MaxPool2d", "Maxout", "MinibatchStandardDeviation", "Module", "RandomLayer", "ReLU", "Reshape",
    "Residual", "Sequential", "Sigmoid", "SpectralNorm", "Summary", "Tanh", "UniformNoise", "Upsample2d", "init",
    "manual_seed", "mlp", "spectral_norm",
]  # fmt: skip
