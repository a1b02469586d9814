"""Rows that are hard to fit: what scales, ties and missing directions do to a solver."""

import numpy as np


def widely_scaled(rows: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(1)
    return rows * np.exp(4 * generator.normal(size=rows.shape[1])) + 1000 * generator.normal(size=rows.shape[1])


def columns_doubled(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, rows[:, ::-1]], axis=1)


def columns_constant(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[:, ::7] = 0.1  # not exact in binary: its variance is rounding, not zero
    return rows


def rows_doubled(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[1::2] = rows[::2]  # neighbours have different labels: the letters tie
    return rows


def rank_two(rows: np.ndarray) -> np.ndarray:
    return rows[:, :2] @ np.random.default_rng(2).normal(size=(2, rows.shape[1]))
