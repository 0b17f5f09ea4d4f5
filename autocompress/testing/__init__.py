"""Contract suites for people who write extensions; needs pytest (``autocompress[test]``).

::

    from autocompress.testing import CompressionContract

    class TestMyScheme(CompressionContract):
        def make(self):
            return [MyScheme(level=3)]
"""

try:
    import pytest
except ImportError:
    from autocompress.errors import MissingExtra

    raise MissingExtra("pytest", "test") from None

# so that a failing assertion shows the values it compared, as in any test module
_PARTS = ("cases", "projection", "storage", "compression", "executors")
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))

from autocompress.testing.compression import CompressionContract  # noqa: E402  # after the above

__all__ = ["CompressionContract"]
