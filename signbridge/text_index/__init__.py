"""The contextual vectors of text tokens: sampled from a corpus, stored in 8 or 16 bits, searched by cosine."""
