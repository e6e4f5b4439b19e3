"""Configuration: frozen, strict, and wrong fields named with their paths."""

import pytest
from pydantic import Field, ValidationError

from foveate.core.config import Config, parse
from foveate.core.errors import ConfigError, FoveateError


class Inner(Config):
    rate: float = Field(default=0.1, gt=0)
    """Share."""


class Outer(Config):
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    name: str


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, {"inner": {"rate": -1}, "parts": [{}, {"rat": 2}], "extra": 1}, source="run.yaml")
    text = str(caught.value)
    assert text.startswith("run.yaml is not a valid Outer: ")
    assert "inner.rate: Input should be greater than 0 (got -1)" in text
    assert "parts.1.rat: Extra inputs are not permitted (got 2)" in text
    assert "extra: Extra inputs" in text
    assert "name: Field required;" in text + ";"
    assert isinstance(caught.value, FoveateError)


def test_frozen_and_documented() -> None:
    config = parse(Outer, {"name": "a"}, source="x")
    with pytest.raises(ValidationError, match="frozen"):
        config.name = "b"
    assert Inner.model_fields["rate"].description == "Share."
    assert parse(Outer, config.model_dump(), source="x") == config
