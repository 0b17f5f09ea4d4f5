"""The base of every settings object: frozen, strict about keys, one clear error."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from autocompress.errors import ConfigError, unknown


class Settings(BaseModel):
    """A frozen pydantic model whose misuse is one :class:`~autocompress.errors.ConfigError`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise self._explain(error) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> ConfigError:
        """Turn pydantic's first complaint into one line naming key, value and what is accepted."""
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            return unknown(f"key of {cls.__name__}", where, cls.model_fields)
        message = first["msg"].removeprefix("Value error, ")
        if not where or first["type"] == "missing":
            return ConfigError(f"{cls.__name__}: {where + ': ' if where else ''}{message}")
        return ConfigError(f"{cls.__name__}.{where} = {first['input']!r}: {message}")
