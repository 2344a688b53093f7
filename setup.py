"""Packages: `minigan/`, and `kernels/` under the import name `minigan_kernels`. Everything else: pyproject.toml."""

from setuptools import find_packages, setup

kernels = ["minigan_kernels"] + [f"minigan_kernels.{name}" for name in find_packages("kernels")]

setup(
    packages=find_packages(include=["minigan", "minigan.*"]) + kernels,
    package_dir={"minigan_kernels": "kernels"},
    package_data={
        "minigan": ["py.typed"],
        "minigan_kernels": ["py.typed", "**/*.cu", "**/*.cuh", "**/*.h"],  # sources of kernels in other languages
        "minigan.data": ["*.npz", "*.LICENSE.txt"],
    },
)
