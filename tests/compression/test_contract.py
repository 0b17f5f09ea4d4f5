"""Every built-in scheme keeps the contract that extensions are held to."""

from autocompress import compression as c
from autocompress.compression.base import Compression
from autocompress.testing import CompressionContract


class TestDense(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Dense()]


class TestCast(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Cast("float16"), c.Cast("bfloat16")]


class TestPrune(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Prune(density) for density in (1e-9, 0.05, 0.5, 0.97, 1.0)]


class TestCodebook(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.Codebook(k) for k in (1, 2, 3, 16, 20)]


class TestLowRank(CompressionContract):
    def make(self) -> list[Compression]:
        ranks = [c.LowRank(1), c.LowRank(3), c.LowRank(100)]
        return [*ranks, c.LowRank(1, conv="spatial"), c.LowRank(4, conv="spatial")]


class TestStructurePrune(CompressionContract):
    def make(self) -> list[Compression]:
        return [c.StructurePrune(density) for density in (0.01, 0.3, 0.8, 1.0)]


class TestComposeOfOne(CompressionContract):
    """Nothing is lost by composing a scheme with schemes that add nothing."""

    def make(self) -> list[Compression]:
        return [
            c.Compose([c.Prune(0.2)]),
            c.Compose([c.Codebook(3), c.Dense()]),
            c.Compose([c.Compose([c.StructurePrune(0.4)]), c.Dense()]),
        ]


class TestCompose(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        return [
            c.Compose([c.Prune(0.3), c.Codebook(3), c.Cast("float16")]),
            c.Compose([c.Codebook(4), c.Cast("bfloat16")]),
            c.Compose([c.LowRank(2), c.Codebook(4)]),
            c.Compose([c.LowRank(2), c.Prune(0.5), c.Cast("float16")]),
            c.Compose([c.StructurePrune(0.5), c.Cast("float16")]),
            c.Compose([c.StructurePrune(0.5), c.Prune(0.3)]),
            c.Compose([c.Prune(0.5), c.Additive([c.Codebook(2), c.Prune(0.1)])]),
        ]


class TestAdditive(CompressionContract):
    optimal = False

    def make(self) -> list[Compression]:
        return [
            c.Additive([c.Codebook(2), c.Prune(0.05)]),
            c.Additive([c.Prune(0.05), c.Codebook(2)], tolerance=0.0, max_sweeps=3),
            c.Additive([c.LowRank(1), c.Prune(0.1)]),
            c.Additive(
                [c.Compose([c.Codebook(2), c.Cast("float16")]), c.Codebook(3), c.Prune(0.1)]
            ),
            c.Additive([c.Additive([c.Codebook(2), c.Prune(0.1)]), c.LowRank(1)]),
            c.Additive([c.Dense(), c.Prune(0.1)]),
        ]
