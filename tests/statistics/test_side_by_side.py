"""Models side by side: every figure beside a plain recomputation, on models whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from signbridge.statistics import side_by_side
from signbridge.statistics.side_by_side import compare_models, findings_of, headline_of, relative_depth
from tests.report.made_up_models import STATISTICS, params, results

LABELS = np.repeat(list("ABCD"), 30)
SAMPLE = pd.DataFrame({
    "image_id": [f"i{number}" for number in range(len(LABELS))], "label": LABELS,
    "photo": [f"{label}{number % 10}" for number, label in enumerate(LABELS)],
})  # fmt: skip
PHOTO_OF = SAMPLE.set_index("image_id")["photo"]


def compared(*models: str, of: dict | None = None) -> dict[str, pd.DataFrame]:
    read = of or {name: results(SAMPLE, name) for name in models}
    return compare_models(read, PHOTO_OF, params(list(read)), STATISTICS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def both() -> dict[str, pd.DataFrame]:
    return compared("large", "small")


def test_models_of_another_number_of_blocks_share_an_axis():
    assert [relative_depth(site, 4) for site in ("embedding", "layer_00", "layer_03")] == [0, 0.25, 1]
    assert relative_depth("layer_07", 8) == 1
    assert np.isnan(relative_depth("vision", 4))


def test_accuracies_are_those_of_the_predictions(both):
    of_large = results(SAMPLE, "large").predictions
    rows = both["accuracy"].set_index(["model", "site"])
    for site in ("pixels", "vision", "layer_03", "answer"):
        read = of_large[of_large["site"] == site]
        assert rows.loc[("large", site), "accuracy"] == pytest.approx((read["label"] == read["predicted"]).mean())
    assert (rows["low"] <= rows["accuracy"]).all()
    assert (rows["accuracy"] <= rows["high"]).all()


def test_the_gap_between_probe_and_answer_is_of_the_same_photos(both):
    row = both["models"].set_index("model").loc["large"]
    said = results(SAMPLE, "large").answers
    assert row["named"] == pytest.approx((said["answer"] == said["label"]).mean())
    assert row["over_named"] == pytest.approx(row["decoder"] - row["named"])
    assert row["over_named_low"] < row["over_named"] < row["over_named_high"]
    scores = results(SAMPLE, "large").scores
    likeliest = scores.loc[scores.groupby("image_id")["log_probability"].idxmax()]
    assert row["likeliest"] == pytest.approx((likeliest["letter"] == likeliest["label"]).mean())
    assert row["over_likeliest"] == pytest.approx(row["decoder"] - row["likeliest"])
    assert row["over_likeliest_low"] < row["over_likeliest"] < row["over_likeliest_high"]
    assert row["over_pixels"] == pytest.approx(row["decoder"] - row["pixels"])


def test_the_best_model_is_quoted_over_its_tower_and_the_answer_that_is_right_most_often(both):
    row = both["models"].set_index("model").loc["large"]
    found = findings_of(both, params(["large", "small"]))
    assert found["best_over_vision"] == row["over_vision"]
    answers = row[["named", "likeliest", "read_answer"]]
    assert found["best_over_answer"] == pytest.approx(row["decoder"] - answers.max())
    assert answers.idxmax() != "named"


def test_a_decoder_is_held_against_letters_that_were_shuffled_over_photos(both):
    row = both["models"].set_index("model").loc["large"]
    of_large = results(SAMPLE, "large").shuffled
    null = of_large.loc[of_large["site"] == row["best_site"], "accuracy"]
    assert row["null"] == pytest.approx(null.mean())
    assert row["p_value"] == pytest.approx(1 / 21)
    read = results(SAMPLE, "small")
    no_better = read._replace(shuffled=read.shuffled.assign(accuracy=1.0))
    assert compared(of={"small": no_better})["models"]["p_value"].item() == 1


def test_each_control_is_held_against_the_same_layers_and_tower_on_the_same_photos(both):
    one = results(SAMPLE, "large")
    rows = both["controls"].set_index(["model", "what", "control"])
    assert len(rows) == 2 * 2 * 2
    model = both["models"].set_index("model").loc["large"]
    chosen = one.choices[one.choices["site"].str.startswith("layer_")]
    chosen = chosen.loc[chosen.groupby(["repeat", "fold"])["inner_accuracy"].idxmax(), ["repeat", "fold", "site"]]
    for control in ("no_image", "other_letter"):
        under = one.controls[one.controls["control"] == control]
        for what, of_model, read in (
            ("decoder", model["decoder"], under.merge(chosen)),
            ("vision tower", model["vision"], under[under["site"] == "vision"]),
        ):
            row, accuracy = rows.loc[("large", what, control)], (read["label"] == read["predicted"]).mean()
            assert len(read) == 2 * len(SAMPLE)
            assert row["accuracy"] == pytest.approx(accuracy)
            assert row["low"] < accuracy < row["high"]
            assert row["over_control"] == pytest.approx(of_model - accuracy)
            assert row["over_control_low"] < row["over_control"] < row["over_control_high"]
    found = findings_of(both, params(["large", "small"]))
    assert found["best_over_no_image"] == rows.loc[("large", "decoder", "no_image"), "over_control"]
    assert not both["accuracy"]["site"].str.contains("under").any(), "which are no sites of a curve"


def test_controls_change_no_other_figure_and_may_be_none(both):
    none = {name: results(SAMPLE, name) for name in ("large", "small")}
    found = compared(of={name: one._replace(controls=one.controls[:0]) for name, one in none.items()})
    assert found["controls"].empty
    assert all(found[name].equals(both[name]) for name in ("accuracy", "models", "differences", "peaks"))
    assert "best_over_no_image" not in findings_of(found, params(["large", "small"]))


def test_a_model_whose_letters_were_not_scored_is_compared_in_all_else():
    large, small = (results(SAMPLE, name) for name in ("large", "small"))
    found = compared(of={"large": large._replace(scores=large.scores[:0]), "small": small})
    models = found["models"].set_index("model")
    assert np.isnan(models.loc["large", "likeliest"])
    assert models.loc["small", "over_likeliest"] == pytest.approx(
        models.loc["small", "decoder"] - models.loc["small", "likeliest"]
    )
    assert set(found["differences"]["what"]) == {"decoder", "vision tower", "answer names it"}
    assert "large_over_likeliest_letter" not in findings_of(found, params(["large", "small"]))


def test_every_pair_is_compared_in_decoder_tower_and_text_and_holm_counts_them_all(both):
    three = compared(
        of={**{name: results(SAMPLE, name) for name in ("large", "small")}, "again": results(SAMPLE, "small")}
    )
    table = three["differences"]
    assert len(table) == 12
    assert table["p_holm"].tolist() == pytest.approx(multipletests(table["p_value"], method="holm")[1].tolist())
    twin = table[(table["model_a"] == "small") & (table["model_b"] == "again")]
    assert (twin[["difference", "low", "high"]] == 0).all(axis=None)
    assert (twin["p_holm"] == 1).all()
    decoder = both["differences"].set_index("what").loc["decoder"]
    models = both["models"].set_index("model")["decoder"]
    assert decoder["difference"] == pytest.approx(models["large"] - models["small"])
    assert decoder["p_holm"] < 0.001


def test_peaks_are_compared_by_the_share_of_blocks_that_they_have_passed(both):
    models = both["models"].set_index("model")
    assert models.loc["large", "peak_depth"] == pytest.approx(0.5, abs=0.15)
    assert models.loc["small", "peak_depth"] == pytest.approx(1.0, abs=0.3)
    [pair] = both["peaks"].to_dict("records")
    assert pair["difference"] == models.loc["large", "peak_depth"] - models.loc["small", "peak_depth"]
    same = compared(of={"one": results(SAMPLE, "large"), "other": results(SAMPLE, "large")})["peaks"]
    assert same[["difference", "low", "high", "same"]].to_numpy().tolist() == [[0, 0, 0, 1]]


def test_of_layers_that_tie_the_middle_is_the_peak():
    flat = results(SAMPLE, "small")
    layers = flat.predictions["site"].str.startswith("layer_")
    table = flat.predictions.assign(predicted=np.where(layers, flat.predictions["label"], "?"))
    [row] = compared(of={"flat": flat._replace(predictions=table)})["models"].to_dict("records")
    assert (row["peak_depth"], row["peak_depth_low"], row["peak_depth_high"]) == (0.625, 0.625, 0.625)


def test_one_model_alone_has_no_pairs():
    found = compared("large")
    assert len(found["differences"]) == len(found["peaks"]) == 0
    assert findings_of(found, params(["large"]))["best_model"] == "large"


def test_metrics_stay_within_their_budget_whatever_the_number_of_models(both):
    names = [f"model-{number}" for number in range(12)]
    assert len(headline_of(names)) <= 25
    assert set(headline_of(["large", "small"]).values()) <= {
        *findings_of(both, params(["large", "small"])), "chance", "images", "photos"
    }  # fmt: skip
    assert side_by_side.MOST <= 4
