"""Coordinates are linear, their gradient is the transpose of their step, and they know the Hessian."""

import numpy as np
import pytest

from signbridge.probing import curvature, softmax_loss
from signbridge.probing.curvature import Coordinates, Gram
from signbridge.probing.row_blocks import RowBlocks
from signbridge.probing.softmax_loss import Point, SoftmaxLoss, at_zero

ROWS, WIDTH, CLASSES = 200, 12, 4
PROBES = np.arange(2)
PENALTY = 0.01


@pytest.fixture
def objective() -> SoftmaxLoss:
    """Two probes on random rows; the second knows two classes, of which one alone has weights."""
    generator = np.random.default_rng(0)
    targets = np.arange(ROWS) % CLASSES
    train = np.stack([np.ones(ROWS, dtype=bool), targets < 2])
    vectors = generator.normal(size=(ROWS, WIDTH)) + generator.normal(size=(CLASSES, WIDTH))[targets]
    present = np.stack([np.ones(CLASSES, dtype=bool), np.arange(CLASSES) < 2])
    blocks = RowBlocks(vectors, train, ~train, block_rows=64, held=True)
    return SoftmaxLoss(blocks, targets, present, train.sum(axis=1), np.full(2, PENALTY))


def somewhere(seed: int) -> Point:
    generator = np.random.default_rng(seed)
    weights, intercept = generator.normal(size=(2, CLASSES, WIDTH)), generator.normal(size=(2, CLASSES))
    weights[1, [0, 2, 3]] = intercept[1, [0, 2, 3]] = 0
    return Point(weights, intercept)


def test_the_gradient_on_coordinates_is_the_transpose_of_a_step_and_what_may_not_move_stays(objective):
    start, gradient = somewhere(1), somewhere(2)
    coordinates = Coordinates(objective, start, PROBES, Gram(objective, PROBES))
    on_steps = coordinates.gradient(gradient)
    steps = np.random.default_rng(3).normal(size=on_steps.shape)
    steps[1] = on_steps[1]  # as a walk moves: along gradients
    there = Point(np.empty_like(start.weights), np.empty_like(start.intercept))
    coordinates.place(steps, there)
    moved = [(there[part] - start[part]).reshape(2, -1) for part in (0, 1)]
    along = sum(np.vecdot(one, gradient[part].reshape(2, -1)) for part, one in enumerate(moved))
    np.testing.assert_allclose(along, np.vecdot(steps, on_steps), rtol=1e-4)
    assert not there.weights[1, [0, 2, 3]].any()


@pytest.mark.parametrize("begin", ["at zero", "elsewhere"])
def test_in_coordinates_of_one_probe_the_hessian_is_near_the_identity_where_they_start(objective, begin, monkeypatch):
    monkeypatch.setattr(softmax_loss, "MOST_LEFT_OUT", 1)
    start, one = somewhere(1) if begin == "elsewhere" else at_zero(2, CLASSES, WIDTH), PROBES[:1]
    coordinates = Coordinates(objective, start, one, Gram(objective, one))
    wanted, size = np.array([True, False]), CLASSES * (WIDTH + 1)
    there = Point(start.weights.copy(), start.intercept.copy())

    def gradient(steps: np.ndarray) -> np.ndarray:
        coordinates.place(steps[None], there)
        return coordinates.gradient(objective(there, wanted)[1])[0]

    width = 1e-2
    hessian = np.stack([(gradient(width * step) - gradient(-width * step)) / (2 * width) for step in np.eye(size)])
    values = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    assert values[-1] < 1.5
    # The first: all intercepts move, and the loss does not. At zero neither does it where the weights of all letters
    # move, and the penalty alone holds these.
    assert (values[1 if begin == "elsewhere" else WIDTH + 1 :] > 0.5).all()


def test_with_fewer_directions_than_features_the_strongest_are_kept_and_the_rest_count_by_their_mean(
    objective, monkeypatch
):
    monkeypatch.setattr(softmax_loss, "MOST_LEFT_OUT", 1)
    monkeypatch.setattr(curvature, "DIRECTIONS", 5)
    monkeypatch.setattr(curvature, "ROUNDS", 50)
    one = PROBES[:1]
    gram, rows = Gram(objective, one), np.concatenate([block.vectors for block in objective.blocks])
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    np.testing.assert_allclose(gram.values, values[:-6:-1], rtol=1e-3)
    assert gram.rest == pytest.approx(values[:-5].mean(), rel=1e-3)
    start, gradient = at_zero(2, CLASSES, WIDTH), somewhere(2)
    root = 1 / np.sqrt(np.r_[[values[:-5].mean()] * (WIDTH - 5), values[-5:]] * (CLASSES - 1) / CLASSES**2 + PENALTY)
    found = Coordinates(objective, start, one, gram).gradient(gradient).reshape(CLASSES, -1)[:, :-1]
    np.testing.assert_allclose(found, gradient.weights[0] @ (vectors * root) @ vectors.T, rtol=2e-3, atol=2e-3)


def test_the_next_penalty_begins_with_the_hessian_that_the_last_one_ended_with(objective, monkeypatch):
    asked, hessian, one = [], objective.hessian, PROBES[:1]
    monkeypatch.setattr(objective, "hessian", lambda *given: asked.append(given) or hessian(*given))
    gram = Gram(objective, one)
    Coordinates(objective, at_zero(2, CLASSES, WIDTH), one, gram)
    assert not asked  # at zero all pairs of classes are alike
    first = Coordinates(objective, somewhere(1), one, gram)
    again = Coordinates(objective, somewhere(2), one, gram, anew=False)
    assert len(asked) == 1
    np.testing.assert_array_equal(first.of_classes, again.of_classes)
    assert not np.array_equal(Coordinates(objective, somewhere(2), one, gram).of_classes, first.of_classes)


def test_the_hessian_along_directions_is_that_of_all_pairs_of_classes(objective, monkeypatch):
    monkeypatch.setattr(softmax_loss, "HESSIAN_ROWS", ROWS)
    directions = np.linalg.qr(np.random.default_rng(4).normal(size=(WIDTH, 3)))[0].astype(np.float32)
    start = somewhere(1)
    found, weight = objective.hessian(start, PROBES[:1], directions)
    rows = np.concatenate([block.vectors for block in objective.blocks])
    on_rows = objective.on_rows(start)
    logits = rows @ on_rows.weights[0].T + on_rows.intercept[0]
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    along = np.pad(rows @ directions, ((0, 0), (0, 1)), constant_values=1)
    curved = chance[:, :, None] * np.eye(CLASSES) - chance[:, :, None] * chance[:, None]
    expected = np.einsum("rkl,ra,rb->kalb", curved, along, along) / ROWS
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert weight == pytest.approx((chance * (1 - chance)).mean(), rel=1e-5)


def test_a_late_gram_matrix_counts_rows_by_the_doubt_in_them(objective, monkeypatch):
    monkeypatch.setattr(softmax_loss, "MOST_LEFT_OUT", 1)
    start, one = somewhere(1), PROBES[:1]
    gram = Gram(objective, one, start)
    rows = np.concatenate([block.vectors for block in objective.blocks])
    on_rows = objective.on_rows(start)
    logits = rows @ on_rows.weights[0].T + on_rows.intercept[0]
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weight = (chance * (1 - chance)).mean(axis=1)
    np.testing.assert_allclose(gram.whole, np.tril(rows.T * weight @ rows / weight.sum()), atol=1e-5)
    assert gram.weight == pytest.approx(weight.mean(), rel=1e-5)
    assert Coordinates(objective, start, one, gram).of_classes is None


def test_a_hessian_that_rounding_made_indefinite_still_gives_coordinates(objective, monkeypatch):
    hessian, size, one = objective.hessian, CLASSES * (WIDTH + 1), PROBES[:1]

    def rounded(*given) -> tuple[np.ndarray, float]:
        exact, weight = hessian(*given)
        return exact - 0.1 * np.eye(size).reshape(exact.shape), weight

    monkeypatch.setattr(objective, "hessian", rounded)
    coordinates = Coordinates(objective, somewhere(1), one, Gram(objective, one))
    assert np.isfinite(coordinates.gradient(somewhere(2))).all()
