"""What do image tokens say in words? EmbeddingLens, LogitLens and LatentLens."""
