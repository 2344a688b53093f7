"""The kinds of data that a GAN can learn: one object for each kind."""

from minigan.domains.arrays import ArrayView, view_from, view_of
from minigan.domains.domain import Data, Domain, Evaluation, EvaluationRequest, RunOptions
from minigan.domains.images import ImageDomain
from minigan.domains.points import PointDomain
from minigan.domains.view import View

__all__ = [
    "ArrayView", "Data", "Domain", "Evaluation", "EvaluationRequest", "ImageDomain", "PointDomain", "RunOptions",
    "View", "view_from", "view_of",
]  # fmt: skip
