"""Made-up autoencoders: deeper ones share more features; letters are read better from the stream."""

from typing import Any

import pandas as pd

from signbridge.report.inputs import COLUMNS

CONTROLS = {"sae": (0.2, 0.05, float("nan")), "stream": (0.15, 0.04, float("nan"))}  # another letter's was not read
ACCURACY = {"sae": {"1": 0.1, "20": 0.4, "dense": 0.8}, "stream": {"1": 0.2, "20": 0.7, "dense": 0.9}}


def tables(blocks: list[str]) -> dict[str, Any]:
    """The tables and the metrics that `Sae` has of them, by name."""
    sites = [blocks[0], blocks[-1]] if len(blocks) > 1 else blocks
    measures, probes = [], []
    for place, site in enumerate(sites):
        for modality in ("image", "text"):
            measures += [(site, modality, "variance_explained", 0.98, 0.97, 0.99), (site, modality, "l0", 30, 29, 31)]
            measures += [(site, modality, "zeros_cost", 0.5, 0.4, 0.6)]
        measures += [(site, "text", "fidelity", 0.9, 0.8, 1.0)]  # at image tokens zeros cost too little to tell
        shared = 0.1 + 0.2 * place
        measures += [(site, "both", "shared", shared, shared - 0.01, shared + 0.01)]
        measures += [(site, "both", kind, 0.4, 0.39, 0.41) for kind in ("image_only", "text_only")]
        probes += [
            ("grouped", site, "prompt_last", reads, k, accuracy, accuracy - 0.05, accuracy + 0.05, *CONTROLS[reads])
            for reads, of_k in ACCURACY.items() for k, accuracy in of_k.items()
        ]  # fmt: skip
    found: dict[str, Any] = {"model": "tiny (a test bed)", "features": 768, "images": 20, "images_in_training": 0}
    found |= {"phrases": 30, "phrases_in_training": 3, "shared_first": 0.1, "shared_last": 0.3}
    found |= {"shared_last_minus_first": 0.2, "shared_last_minus_first_low": 0.15, "shared_last_minus_first_high": 0.25}
    for against, compared in (("dense", 6), ("same_k", 4)):
        found |= {f"sae_probes_above_{against}": 0, f"sae_probes_below_{against}": 3}
        found |= {f"sae_probes_compared_{against}": compared}
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
        "found": found if sites else {},
    }
