"""Fits beside each other end where each ends alone, near the optimum whatever the penalty and however odd the rows."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from signbridge.probing import logistic_regression
from signbridge.probing.coordinates import reduce
from signbridge.probing.descent import descend
from signbridge.probing.logistic_regression import Model, decision, fit, fit_all, probabilities
from signbridge.probing.relative_loss import RelativeLoss, Task, frames_of


def task(rows: int, features: int, letters: int, C: float, seed: int = 0, apart: float = 0.5) -> Task:
    """Noisy clusters, reduced, with ten rows to test."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows + 10) % letters
    vectors = apart * generator.normal(size=(letters, features))[labels] + generator.normal(
        size=(len(labels), features)
    )
    return Task(reduce(vectors[:rows], vectors[rows:]), labels[:rows], letters, C)


def chances(fitted: Model, of: Task) -> np.ndarray:
    return probabilities(decision(fitted, of.coordinates.test))


def optimum(of: Task) -> np.ndarray:
    model = LogisticRegression(C=of.C, tol=1e-10, max_iter=100_000).fit(of.coordinates.train, of.labels)
    return model.predict_proba(of.coordinates.test)


DIFFERENT = [task(30, 50, 4, 0.1), task(24, 8, 3, 10.0, 1), task(20, 40, 2, 1.0, 2), task(12, 9, 1, 1.0, 3)]


@pytest.mark.parametrize("tolerance", [1e-3, 3e-7])
def test_small_fits_of_any_shape_end_beside_each_other_where_each_ends_alone(tolerance):
    for of, together in zip(DIFFERENT, fit_all(DIFFERENT, tolerance=tolerance), strict=True):
        alone = fit(of.coordinates, of.labels, of.classes, of.C, tolerance=tolerance)
        np.testing.assert_allclose(chances(together, of), chances(alone, of), atol=30 * tolerance)


def test_tasks_that_share_their_rows_are_fitted_to_their_own_labels():
    first = DIFFERENT[0]
    tasks = [first, first._replace(labels=np.roll(first.labels, 1)), first._replace(C=1e-3)]
    for of, found in zip(tasks, fit_all(tasks), strict=True):
        np.testing.assert_allclose(chances(found, of), optimum(of), atol=1e-4)


@pytest.mark.parametrize("small", [0, 10**9], ids=["alone", "together"])
@pytest.mark.parametrize("C", [1e-3, 1e1, 1e3])
def test_no_penalty_is_too_weak_to_come_as_near_the_optimum(C, small, monkeypatch):
    monkeypatch.setattr(logistic_regression, "SMALL", small)
    of = task(60, 80, 5, C)
    [found] = fit_all([of])
    np.testing.assert_allclose(chances(found, of), optimum(of), atol=1e-4)
    [loose] = fit_all([of], tolerance=1e-3)
    np.testing.assert_allclose(chances(loose, of), optimum(of), atol=0.1)


@pytest.mark.parametrize("tolerance", [1e-5, 3e-7])
def test_images_that_are_all_one_but_a_few_take_few_evaluations(tolerance):
    """Float32 has too few digits to get there in one round; the 5,000 that are allowed would go by."""
    for few in (1, 3):
        vectors = np.ones((200, 300))
        vectors[:few] += np.random.default_rng(few).normal(size=(few, 300))
        scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
        for letters in (3, 20):
            found = fit(reduce(scaled, scaled), np.arange(200) % letters, letters, C=1e-3, tolerance=tolerance)
            assert found.evaluations < 200


@pytest.mark.parametrize("adapted", [False, True])
def test_loss_and_gradient_are_differences_of_those_on_the_rows(adapted):
    generator = np.random.default_rng(0)
    tasks = DIFFERENT[:3]
    starts = [0.3 * generator.normal(size=(of.classes, of.coordinates.train.shape[1] + 1)) for of in tasks]
    starts[2][0] = 0  # of two classes the first has no weights
    frames = frames_of(tasks, starts, [adapted] * len(tasks))
    relative = RelativeLoss(tasks, frames)
    for number, (of, start, frame) in enumerate(zip(tasks, starts, frames, strict=True)):
        points = np.zeros(relative.shape, np.float32)
        classes, size = start.shape
        points[number, classes == 2 : classes, :size] = 0.2 * generator.normal(size=(classes - (classes == 2), size))
        loss, gradient = relative(points.reshape(len(tasks), -1), np.arange(len(tasks)))
        along = points[number, :classes, :size].astype(float)
        moved = frame.step(along)
        change = _loss(of, start + moved) - _loss(of, start)
        assert loss[number] == pytest.approx(change, rel=1e-4)
        slope = (_loss(of, start + 1.0001 * moved) - _loss(of, start + 0.9999 * moved)) / 2e-4
        assert np.vdot(gradient.reshape(relative.shape)[number, :classes, :size], along) == pytest.approx(
            slope, rel=1e-3
        )


@pytest.mark.parametrize("adapted", [False, True])
def test_a_task_alone_has_the_loss_and_gradient_that_it_has_beside_others(adapted):
    generator = np.random.default_rng(1)
    tasks = DIFFERENT[:3]
    starts = [np.zeros((of.classes, of.coordinates.train.shape[1] + 1)) for of in tasks]
    frames = frames_of(tasks, starts, [adapted] * len(tasks))
    together = RelativeLoss(tasks, frames)
    for number, frame in enumerate(frames):
        alone = RelativeLoss(tasks[number : number + 1], [frame])
        point = (0.2 * generator.normal(size=alone.shape[1:])).astype(np.float32)
        point[: tasks[number].classes == 2] = 0  # of two classes the first has no weights
        points = np.zeros(together.shape, np.float32)
        points[number, : alone.shape[1], : alone.shape[2]] = point
        losses, gradients = together(points.reshape(len(tasks), -1), np.arange(len(tasks)))
        loss, gradient = alone(point.reshape(1, -1), np.zeros(1, dtype=int))
        expected = gradients.reshape(together.shape)[number, : alone.shape[1], : alone.shape[2]]
        assert loss[0] == pytest.approx(losses[number], rel=1e-5)
        np.testing.assert_allclose(gradient.reshape(alone.shape[1:]), expected, rtol=1e-4, atol=1e-6)


def _loss(of: Task, weights: np.ndarray) -> float:
    logits = decision(Model(weights[:, :-1], weights[:, -1], 0), of.coordinates.train)
    chance = probabilities(logits)[np.arange(len(of.labels)), of.labels]
    return -np.log(chance).mean() + of.penalty / 2 * (weights[:, :-1] ** 2).sum()


def test_functions_that_end_early_leave_the_others_alone():
    """Quadratics of many shapes, minimised at once: each gets to its own minimum, in the evaluations it takes alone."""
    generator = np.random.default_rng(0)
    hessians = [np.diag(np.linspace(1, top, 12)) for top in (1, 3, 30, 300)]
    minima = generator.normal(size=(4, 12))

    def objective(points: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        away = points - minima[which]
        gradient = np.stack([of @ one for of, one in zip([hessians[number] for number in which], away, strict=True)])
        return np.vecdot(away, gradient) / 2, gradient.astype(np.float32)

    goals = np.full(4, 1e-4)
    found = descend(objective, 4, 12, goals, most=200)
    assert found.done.all()
    np.testing.assert_allclose(found.points, minima, atol=1e-3)
    alone = [descend(lambda at, _, n=n: objective(at, np.array([n])), 1, 12, goals[:1], 200) for n in range(4)]
    np.testing.assert_allclose(found.evaluations, [one.evaluations[0] for one in alone], atol=3)
