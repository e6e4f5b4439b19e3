"""Every number in the settings has bounds: a slip of the pen must not take the machine down."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import foveate
from foveate.core.config import Config, parse
from foveate.core.errors import ConfigError
from foveate.experiment import Experiment
from foveate.experiment.specification import assign

FREE = {
    "seed": "any number names a random draw, and none costs more than another",
    "seeds": "as seed; how many there are is bounded",
    "mask_values": "values of pixels",
    "low": "of a search; the field searched for has its own bounds",
    "high": "as low",
    "step": "as low",
}
"""Integers without bounds, and why."""
READ = ("foveate.models.card", "foveate.experiment.records", "foveate.export.card", "foveate.reporting.")
"""What describes files that a run or a study has written, rather than asks for work."""


def every_config() -> list[type[Config]]:
    """All settings classes of the package."""
    for module in pkgutil.walk_packages(foveate.__path__, "foveate."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(parent: type[Config]) -> Iterator[type[Config]]:
        for child in parent.__subclasses__():
            yield child
            yield from below(child)

    own = {
        c for c in below(Config) if c.__module__.startswith("foveate.") and not c.__module__.startswith(READ)
    }
    return sorted(own, key=lambda c: f"{c.__module__} {c.__qualname__}")


def numbers(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of all numbers in a field, also inside tuples, mappings and alternatives."""
    if schema.get("type") in ("integer", "number"):
        yield schema
    inner = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("prefixItems", [])]
    inner += [
        schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)
    ]
    for part in inner:
        yield from numbers(part)


def test_every_integer_has_a_lower_and_an_upper_bound() -> None:
    loose = []
    configs = every_config()
    assert len(configs) > 60
    for config in configs:
        for name, schema in config.model_json_schema().get("properties", {}).items():
            for number in numbers(schema):
                below = {"minimum", "exclusiveMinimum"} & set(number)
                above = {"maximum", "exclusiveMaximum"} & set(number)
                if number["type"] == "integer" and not (below and above) and name not in FREE:
                    loose.append(f"{config.__module__}.{config.__qualname__}.{name}")
    assert not loose


def test_no_number_is_nan_or_infinite() -> None:
    assert all(config.model_config.get("allow_inf_nan") is False for config in every_config())

    class Own(Config):
        plain: float = 1.0
        nested: dict[str, tuple[float, ...]] = {}  # noqa: RUF012 (pydantic copies it)

    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ConfigError, match="plain must be a finite number"):
            parse(Own, {"plain": value}, source="the test")
        with pytest.raises(ConfigError, match=r"nested\.a\.0 must be a finite number"):
            parse(Own, {"nested": {"a": [value]}}, source="the test")


@pytest.mark.parametrize(
    "setting",
    [
        "training.loader.workers=100000", "training.loader.workers=-1", "training.batch_size=0",
        "training.batch_size=10000000", "training.accumulate=1000000000", "training.phases.0.epochs=1000000000",
        "training.phases.0.views=0", "training.phases.0.views=1000000", "data.size=100000", "data.cache.size=1000000",
        "training.phases.0.early_stopping.patience=-5", "evaluation.neighbours=10000000", "data.split.folds=100000000",
        "training.phases.0.optimizer.momentum=1.5", "training.phases.0.lr_factors.backbone=-1",
        "training.checkpoint_seconds=-1", "training.time_budget=-1",
    ],
)  # fmt: skip
def test_the_message_names_the_setting_the_value_and_the_bound(setting: str) -> None:
    path, _, value = setting.partition("=")
    with pytest.raises(ConfigError, match=f"{path} must be (at least|at most|less|greater)") as caught:
        Experiment.from_dict(assign(Experiment().to_dict(), setting))
    assert value in str(caught.value)
    assert str(caught.value).count("got") == 1, "one fault, told once"


def test_alternatives_are_told_as_one_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        Experiment.from_dict({"training": {"loader": {"workers": 100_000}}})
    assert str(caught.value) == (
        "the experiment: training.loader.workers must be at most 256 or 'auto' (got 100000)."
    )


def test_training_needs_a_phase() -> None:
    with pytest.raises(ConfigError, match=r"training\.phases: .*at least one phase \(got \[\]\)"):
        Experiment.from_dict({"training": {"phases": []}})
