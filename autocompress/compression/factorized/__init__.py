"""Low rank: matrices as products of thinner ones."""
