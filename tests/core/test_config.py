"""Configuration: frozen, strict, and wrong fields named with their paths."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from foveate.core.config import Config, parse
from foveate.core.errors import ConfigError, FoveateError


class Inner(Config):
    rate: float = Field(default=0.1, gt=0)
    """Share."""


class A(Config):
    kind: Literal["a"] = "a"


class B(Config):
    kind: Literal["b"] = "b"


class Outer(Config):
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    name: str


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Outer, {"inner": {"rate": -1}, "parts": [{}, {"rat": 2}], "extra": 1}, source="run.yaml")
    text = str(caught.value)
    assert text.startswith("run.yaml: ")
    assert "inner.rate must be greater than 0 (got -1)" in text
    assert "parts.1.rat is no setting (got 2)" in text
    assert "; extra is no setting" in text
    assert "name is missing" in text
    assert isinstance(caught.value, FoveateError)


class Each(Config):
    count: int = 1
    share: float = 0.5
    on: bool = True
    name: str = ""
    inner: Inner = Inner()
    pair: tuple[int, int] = (1, 2)
    either: int | Literal["auto"] = "auto"
    some: tuple[int, ...] = Field(default=(1,), min_length=1)
    one: Annotated[A | B, Field(discriminator="kind")] = A()


@pytest.mark.parametrize(
    ("values", "clause"),
    [
        ({"count": "many"}, "count must be a whole number (got 'many')"),
        ({"count": 1.5}, "count must be a whole number (got 1.5)"),
        ({"count": None}, "count must be a whole number (got nothing)"),
        ({"share": "big"}, "share must be a number (got 'big')"),
        ({"on": "perhaps"}, "on must be true or false (got 'perhaps')"),
        ({"name": True}, "name must be text (got true)"),
        ({"inner": 3}, "inner must be settings by name (got 3)"),
        ({"pair": 3}, "pair must be a list (got 3)"),
        ({"either": "much"}, "either must be a whole number or 'auto' (got 'much')"),
        ({"some": ()}, "some must have at least 1 item, not 0 (got [])"),
        ({"one": {"kind": "c"}}, "one.kind must be one of 'a', 'b' (got {'kind': 'c'})"),
        ({"one": {}}, "one: a kind is missing (got {})"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(values: dict[str, Any], clause: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Each, values, source="--set")
    assert str(caught.value) == f"--set: {clause}."


def test_frozen_and_documented() -> None:
    config = parse(Outer, {"name": "a"}, source="x")
    with pytest.raises(ValidationError, match="frozen"):
        config.name = "b"
    assert Inner.model_fields["rate"].description == "Share."
    schema = Outer.model_json_schema()
    assert schema["$defs"]["Inner"]["properties"]["rate"]["description"] == "Share."
    assert parse(Outer, config.model_dump(), source="x") == config
