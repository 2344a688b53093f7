"""Optimisers and schedules of learning rates."""

from minigan.optim import schedules
from minigan.optim.optimizer import SGD, Adam, Optimizer, RMSprop, clip_by_global_norm

__all__ = ["SGD", "Adam", "Optimizer", "RMSprop", "clip_by_global_norm", "schedules"]
