"""Regression with uncertainty: a Gaussian process of scikit-learn, made robust."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


_TUNED = 200
"""Points that the kernel's numbers are fitted to at most: that takes most of the time."""


class Regression:
    """A Gaussian process with a Matérn 5/2 kernel and noise.

    The kernel's numbers maximise the likelihood of the first 200 points.

    Args:
        x: Shape (points, features), features of about unit size.
        y: Shape (points,).
        spread: How unsure each value is beyond the noise of all, as a standard deviation, shape
            (points,); None: not at all.
    """

    def __init__(self, x: Matrix, y: Vector, spread: Vector | None = None) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        self._mean, self._scale = float(y.mean()), float(y.std()) or 1.0
        scale = np.sqrt(x.shape[1])
        kernel = ConstantKernel(1.0, (0.05, 20.0)) * Matern(
            0.3 * scale, (0.03 * scale, 3.0 * scale), nu=2.5
        ) + WhiteKernel(0.05, (1e-4, 1.0))
        y = (y - self._mean) / self._scale
        spread = np.zeros(len(y)) if spread is None else spread / self._scale
        unsure = spread**2 + 1e-10
        self._process = GaussianProcessRegressor(kernel, alpha=unsure[:_TUNED])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._process.fit(x[:_TUNED], y[:_TUNED])
        if len(y) > _TUNED:
            self._process = GaussianProcessRegressor(
                self._process.kernel_, alpha=unsure, optimizer=None
            )
            self._process.fit(x, y)

    def predict(self, x: Matrix) -> tuple[Vector, Vector]:
        """Return mean and standard deviation at some points, noise left out, shapes (points,)."""
        mean, std = self._process.predict(x, return_std=True)
        noise = float(self._process.kernel_.k2.noise_level)
        std = np.sqrt(np.maximum(std**2 - noise, 1e-10))
        return mean * self._scale + self._mean, std * self._scale
