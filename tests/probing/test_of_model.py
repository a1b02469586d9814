"""Probes of several models beside one another."""

from functools import partial

import numpy as np
import pandas as pd

from signbridge.core import activations, tables
from signbridge.core.groups import Groups
from signbridge.core.params import section
from signbridge.probing import of_model
from signbridge.probing.settings import ProbeParams
from signbridge.probing.sweep import side_by_side

SITES = ["pixels", "vision", "layer_00", "layer_01"]


def test_vectors_that_two_models_share_are_probed_once_and_each_is_probed_as_if_it_were_alone(
    tmp_path, workspace, monkeypatch
):
    workspace.set(probe__grouped={"by": "auto", "folds": 2, "repeats": 1, "inner_folds": 2, "C": [0.1]})
    chosen = of_model.of_every_model(section("probe", ProbeParams), ["prompt_last"], 1)
    chosen = chosen.model_copy(update={"sites": ["pixels", "vision"]})
    generator, labels = np.random.default_rng(0), np.repeat(list("AB"), 8)
    ids = [f"image-{number}" for number in range(16)]
    sample = pd.DataFrame({"image_id": ids, "label": labels})
    read = {name: (tmp_path / name, tmp_path / f"{name}.parquet") for name in ("base", "tuned")}
    for name, (_, answers) in read.items():
        tables.write(sample.assign(answer=name), answers, {"model": {"name": name}})
    for number, site in enumerate(SITES):
        position = {"pixels": "flat", "vision": "image_mean"}.get(site, "prompt_last")
        alike = generator.normal(size=(16, 5)).astype(np.float32)
        for vectors, _ in read.values():
            own = alike if number < 3 else generator.normal(size=(16, 5)).astype(np.float32)
            activations.write(vectors, site, ids, {position: own}, {"sites": SITES})
    probed = []

    def noting(cell, *given):
        probed.append(cell.site)
        return predict(cell, *given)

    predict = of_model.predict
    monkeypatch.setattr(of_model, "predict", noting)
    monkeypatch.setattr(of_model, "side_by_side", partial(side_by_side, workers=1))
    given = (sample, Groups("photo", np.array(ids)), chosen, 1)
    both = dict(of_model.probe_models(read, *given))
    assert probed == [*SITES, "layer_01"]
    for name, found in both.items():
        [(_, alone)] = of_model.probe_models({name: read[name]}, *given)
        assert found.predictions.equals(alone.predictions)
        assert found.choices.equals(alone.choices)
        assert found.made_by["model"] == {"name": name}
    assert not both["base"].predictions.equals(both["tuned"].predictions)
