"""Gradient checks: is a derivative right, and if not, where and why?"""

from minigan.checking.pair import check_pair, check_vjp
from minigan.checking.report import GradientError, Report, Verdict
from minigan.checking.tensors import gradcheck

__all__ = ["GradientError", "Report", "Verdict", "check_pair", "check_vjp", "gradcheck"]
