"""The kinds of data that a GAN can learn: one object for each kind."""

from minigan.domains.domain import Data, Domain, Evaluation, EvaluationRequest, RunOptions
from minigan.domains.images import ImageDomain
from minigan.domains.points import PointDomain

__all__ = ["Data", "Domain", "Evaluation", "EvaluationRequest", "ImageDomain", "PointDomain", "RunOptions"]
