"""The kinds of data that a GAN can learn: one object for each kind."""

from minigan.domains.arrays import ArrayView, view_from, view_of
from minigan.domains.coloured_digits import ColouredDigitDomain
from minigan.domains.domain import Data, Domain, Evaluation, EvaluationRequest, RunOptions
from minigan.domains.faces import FaceDomain
from minigan.domains.images import ImageDomain
from minigan.domains.labelled_images import LabelledImageDomain
from minigan.domains.picture_pairs import PicturePairDomain
from minigan.domains.points import PointDomain
from minigan.domains.stacked_digits import StackedDigitDomain
from minigan.domains.view import View
from minigan.domains.wasserstein_digits import WassersteinDigitDomain

__all__ = [
    "ArrayView", "ColouredDigitDomain", "Data", "Domain", "Evaluation", "EvaluationRequest", "FaceDomain",
    "ImageDomain", "LabelledImageDomain", "PicturePairDomain", "PointDomain", "RunOptions", "StackedDigitDomain",
    "View", "WassersteinDigitDomain", "view_from", "view_of",
]  # fmt: skip
