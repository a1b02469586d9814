"""Made-up autoencoders: a feature tells one letter better than a dimension; the stream tells all letters better."""

from typing import Any

import pandas as pd

from signbridge.report.columns import COLUMNS

CONTROLS = {"sae": (0.2, 0.05, float("nan")), "stream": (0.15, 0.04, float("nan"))}  # another letter's was not read
ACCURACY = {"sae": 0.8, "stream": 0.9}
AUC = {"sae": {1: 0.9, 20: 0.97}, "stream": {1: 0.8, 20: 0.96}, "pca": {1: 0.85, 20: 0.99}}


def tables(blocks: list[str]) -> dict[str, Any]:
    """The tables and the metrics that `Sae` has of them, by name."""
    sites = [blocks[0], blocks[-1]] if len(blocks) > 1 else blocks
    measures, probes, one_letter = [], [], []
    for place, site in enumerate(sites):
        for modality in ("image", "text"):
            measures += [(site, modality, "variance_explained", 0.98, 0.97, 0.99), (site, modality, "l0", 30, 29, 31)]
            measures += [(site, modality, "pca_variance_explained", 0.9, 0.89, 0.91)]
            measures += [(site, modality, "zeros_cost", 0.5, 0.4, 0.6), (site, modality, "zeros_cost_all", 5, 4, 6)]
            measures += [(site, modality, "fidelity_all", 0.99, 0.98, 1.0)]
        measures += [(site, "text", "fidelity", 0.9, 0.8, 1.0)]  # at image tokens zeros cost too little to tell
        shared = 0.1 + 0.2 * place
        measures += [(site, "both", "shared", shared, shared - 0.01, shared + 0.01)]
        measures += [(site, "both", kind, 0.4, 0.39, 0.41) for kind in ("image_only", "text_only")]
        probes += [
            ("grouped", site, "prompt_last", reads, accuracy, accuracy - 0.05, accuracy + 0.05, *CONTROLS[reads])
            for reads, accuracy in ACCURACY.items()
        ]
        for reads, of_k in AUC.items():
            for k, auc in of_k.items():
                row = dict.fromkeys(COLUMNS["one_letter"], float("nan"))
                row |= {"site": site, "position": "image_mean", "reads": reads, "k": k}
                row |= {"auc": auc, "low": auc - 0.02, "high": auc + 0.01}
                for other in ("stream", "pca") if reads == "sae" else ():
                    gap = auc - AUC[other][k] - 0.2 * (place == 0)  # deeper is better
                    row |= {f"over_{other}": gap, f"over_{other}_low": gap - 0.01, f"over_{other}_high": gap + 0.01}
                one_letter.append(row)
    found: dict[str, Any] = {"model": "tiny (a test bed)", "features": 768, "images": 20, "images_in_training": 0}
    found |= {"phrases": 30, "phrases_in_training": 3, "shared_first": 0.1, "shared_last": 0.3}
    found |= {"shared_last_minus_first": 0.2, "shared_last_minus_first_low": 0.15, "shared_last_minus_first_high": 0.25}
    found |= {"sae_probes_compared": 6, "sae_probes_above_stream": 0, "sae_probes_below_stream": 3}
    found |= {"shared_mass_first": 0.2, "shared_mass_last": 0.4}
    found |= {"shared_untrained_twin_first": 0.12, "shared_untrained_twin_last": 0.28}
    for kind in ("image", "text"):
        for end in ("first", "last"):
            found |= {f"variance_explained_{kind}_{end}": 0.98, f"pca_variance_explained_{kind}_{end}": 0.9}
    areas = {"model": 0.95, "untrained_twin": 0.6, "stream": 0.9}
    concept = [
        (reads, site, position, number, area + 0.01, area - 0.05 * (position == "image_mean"), area - 0.1, area + 0.04)
        for number, (reads, area) in enumerate(areas.items())
        for site in sites for position in ("prompt_last", "image_mean")
    ]  # fmt: skip
    found |= {"concept": "index finger up", "concept_share": 0.3} if sites else {}
    for reads, area in areas.items():
        told = {"site": sites[-1] if sites else "", "position": "prompt_last", "auc": area, "low": area - 0.1,
                "high": area + 0.04, "feature": 179}  # fmt: skip
        found |= {f"concept_{reads}_{name}": value for name, value in told.items()}
        gap = areas["model"] - area
        found |= {
            f"concept_model_over_{reads}{end}": gap + by for end, by in (("", 0), ("_low", -0.02), ("_high", 0.02))
        }
    found |= {
        f"fingers_{reads}_image_mean_tracking": share for reads, share in (("model", 0.5), ("untrained_twin", 0.01))
    }
    found |= {"fingers_model_image_mean_tracking_within_letters": 0.0}
    return {
        "concept": pd.DataFrame(concept, columns=COLUMNS["concept"]),
        "measures": pd.DataFrame(measures, columns=COLUMNS["measures"]),
        "probes": pd.DataFrame(probes, columns=COLUMNS["probes"]),
        "one_letter": pd.DataFrame(one_letter, columns=COLUMNS["one_letter"]),
        "found": found if sites else {},
    }


def told_fingers(blocks: list[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table `told_fingers` of minimal pairs, and the findings: one feature tells fingers less well than pixels."""
    if not blocks:
        return pd.DataFrame(columns=COLUMNS["told_fingers"]), {}
    aucs = {("probe", "pixels", "flat"): 0.9, ("features", blocks[-1], "image_mean"): 0.6,
            ("stream", blocks[-1], "image_mean"): 0.65}  # fmt: skip
    rows = [
        (*place, letters, fitted_on, area, area - 0.1, area + 0.1, *[area] * 4)
        for place, auc in aucs.items() for letters in ("each", "all")
        for fitted_on, area in (("named", auc), ("random", 0.5))
    ]  # fmt: skip
    found: dict[str, Any] = {"fingers_told_photos": 50, "fingers_told_changed": 0.25, "fingers_told_shuffled": 0.51,
                             "fingers_told_features_all_letters": 0.53, "fingers_told_site": blocks[-1],
                             "fingers_told_strongest": "pixels"}  # fmt: skip
    of = {"features": 0.6, "dimensions": 0.65, "stream": 0.7, "tower": 0.8, "pixels": 0.9, "over_strongest": -0.3}
    for name, area in of.items():
        found |= {f"fingers_told_{name}{end}": area + by for end, by in (("", 0), ("_low", -0.1), ("_high", 0.1))}
    return pd.DataFrame(rows, columns=COLUMNS["told_fingers"]), found
