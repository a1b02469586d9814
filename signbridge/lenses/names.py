"""The lenses, by the names that tables, plots and page share."""

LENSES = ("embedding", "logit", "latent")
DISPLAYED = {"embedding": "EmbeddingLens", "logit": "LogitLens", "latent": "LatentLens"}
