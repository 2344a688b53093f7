"""The report of a run: one HTML page with its settings, curves, samples, evaluation, gradients and findings."""

from __future__ import annotations

from minigan.report.page import render, write_report
from minigan.report.run_facts import Networks, RunFacts, networks_of, networks_of_own, read_facts

__all__ = ["Networks", "RunFacts", "networks_of", "networks_of_own", "read_facts", "render", "write_report"]
