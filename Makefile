# The commands of everyday work. `pip install -e ".[dev]"` brings what they need.

.PHONY: fast test lint docs ci

fast: # about a minute: every package is checked, but by its quick tests only
	pytest -m "not slow"

test: # all tests: some minutes
	pytest

lint: # what pre-commit runs before every commit, on all files
	pre-commit run --all-files

docs: # the documentation as a site, in site/; needs pip install -e ".[docs]"
	mkdocs build --strict

ci: # everything a change must pass, in fresh environments
	.ci/run
