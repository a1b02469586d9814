"""The sections on models side by side: what the text says is what the tables say."""

import dataclasses

from signbridge.report.charts.by_depth import BEFORE, series_of
from signbridge.report.sections import drift, is_it_real, models
from signbridge.report.wording import points_with_interval
from tests.report import made_up
from tests.report.reading import Page


def test_the_answer_names_the_best_model_its_interval_and_whether_it_is_told_apart():
    run = made_up.models()
    best = run.models.set_index("model").loc["large"]
    first, second = models.answer(run)
    assert first.startswith(
        f"The decoder of large gives the letter away best: a linear probe reads {best['decoder']:.1%}"[:-1]
    )
    assert first.endswith("and it is told apart from every other model.")
    assert "The share of resamples in which two peaks lie within 10\u202f% of the decoder: large and small" in second


def test_each_decoder_is_held_against_its_tower_pixels_and_every_way_to_take_its_answer():
    run = made_up.models()
    [table] = is_it_real.of_models(run).tables
    over = run.models.set_index("model").loc["large"]
    of_large = {row[1]: row[2] for row in table.rows if row[0] == "a probe of large reads the letter"}
    assert of_large == {
        against: points_with_interval(over[f"over_{what}"], over[f"over_{what}_low"], over[f"over_{what}_high"])
        for what, against in {
            "vision": "a probe of its vision tower", "pixels": "a probe of the raw pixels",
            "read_answer": "the letter guessed from its answer", "likeliest": "its likeliest answer",
            "named": "what its answer names",
        }.items()
    }  # fmt: skip


def test_one_model_alone_is_compared_with_none():
    run = made_up.models(["large"])
    assert models.answer(run)[0].endswith("no other model was read.")
    assert len(models.section(run).tables) == 3
    assert Page(made_up.page(run)).section("models").text


def test_models_that_are_not_told_apart_are_not_said_to_be():
    run = made_up.models()
    alike = made_up.models(differences=run.differences.assign(p_holm=1.0))
    assert models.answer(alike)[0].endswith("told apart from none of the 1 other model.")
    assert {row[-1] for row in models.section(alike).tables[3].rows} == {"no"}


def test_what_stands_in_the_table_is_told_with_its_licence_and_what_it_takes():
    takes = models.section(made_up.models()).tables[2]
    row = dict(zip(takes.columns, takes.rows[0], strict=True))
    assert (row["model"], row["parameters"], row["in memory"], row["GFLOP an image"], row["licence"]) == (
        "large", "7,000.0 million", "4.00 GiB", "8,200.0", "Llama 2"
    )  # fmt: skip


def test_the_controls_of_each_model_stand_beside_its_own_images():
    run = made_up.models()
    section = models.section(run)
    [picture] = [one for one in section.pictures if one.name == "models-controls"]
    assert "An untrained twin is not among the controls: it is a model of its own here" in section.lead[1]
    names = [row["name"] for row in picture.spec["datasets"]["rows"]]
    shown = ["its own images", "no image", "another letter's image"]
    assert names == [f"{model}\n{what}" for model in ("large", "small") for what in shown]
    table = picture.twin
    assert table.columns[2:] == ("no image", "accuracy less this", "another letter's image", "accuracy less this")
    assert [row[:2] for row in table.rows] == [
        (model, what) for model in ("large", "small") for what in ("decoder", "vision tower")
    ]
    assert "The decoder of large and small reads more from its own images" in picture.sees
    worse = run.controls.assign(
        over_control_low=run.controls["over_control_low"].where(run.controls["model"] == "large", -1)
    )
    [_, _, picture] = models.section(dataclasses.replace(run, controls=worse)).pictures
    assert "The decoder of large reads more" in picture.sees
    [_, _, picture] = models.section(
        dataclasses.replace(run, controls=run.controls.assign(over_control_low=-1))
    ).pictures
    assert "No decoder reads more from its own images than under every control" in picture.sees
    none = models.section(dataclasses.replace(run, controls=run.controls[:0]))
    assert len(none.pictures) == 2
    assert none.lead[1].startswith("The only control of each model is letters that were shuffled over photos.")


def test_the_curve_has_each_model_at_its_own_depths_and_what_comes_before_on_the_left():
    curve = models.section(made_up.models()).pictures[0]
    rows = curve.spec["datasets"]["rows"]
    places = {name: sorted(row["place"] for row in rows if row["series"] == name) for name in ("large", "small")}
    assert places["small"] == [*sorted(BEFORE.values()), 0.25, 0.5, 0.75, 1.0]
    assert places["large"][3:] == [block / 8 for block in range(1, 9)]
    looks = series_of([f"model-{number}" for number in range(7)])
    assert len({(one.colour, one.shape) for one in looks}) == 7


def test_drift_is_shown_only_where_a_model_was_read_in_several_kinds_of_weights():
    assert drift.section(made_up.models()) is None
    run = made_up.models(drifted=True)
    section = drift.section(run)
    assert "gives 90.0\u202f% of the images the answer of large" in section.lead[1]
    assert "relative error 0.010, cosine 0.999" in section.pictures[0].sees
    assert len(section.pictures[0].spec["datasets"]["rows"]) == 3
    assert "8 pairs of photos were patched" in section.lead[2]
    assert section.lead[2].endswith("by \u221210.0\u00a0points (\u221220.0\u00a0to\u00a05.0).")
    assert len(section.tables[0].rows) == 3, "with all tokens there is nothing to compare"
    not_patched = drift.section(dataclasses.replace(run, patching_drift=run.patching_drift[:0]))
    assert (len(not_patched.lead), not_patched.tables) == (2, ())


def test_a_model_whose_letters_could_not_be_scored_has_a_dash_and_no_number():
    run = made_up.models()
    columns = ["likeliest", "likeliest_low", "likeliest_high", *(f"over_likeliest{of}" for of in ("", "_low", "_high"))]
    table = run.models.copy()
    table.loc[0, columns] = float("nan")
    said = models.section(dataclasses.replace(run, models=table)).tables[1]
    at = said.columns.index("letter scored highest")
    assert said.rows[0][at : at + 2] == ("–", "–")
    assert "–" not in said.rows[1]
    decoder = run.models.set_index("model").loc["small"]
    over = decoder["decoder"] - decoder["likeliest"]
    assert said.rows[1][at + 1].startswith(f"{over * 100:.1f}\u00a0points")
