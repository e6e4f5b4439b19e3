"""What is measured: evaluators by kind, or in short as earlier versions wrote it; both mean and hash the same."""

import json
import re
from typing import Any

import pytest

from foveate.core.config import deciding, parse
from foveate.core.errors import ConfigError
from foveate.evaluation.settings import EvaluationConfig
from foveate.experiment import Experiment

RECORDED = {"tta": "none", "look_tap": "late", "background_tests": True, "splits": ["val", "test"]}
"""What hashes of runs were made of before there were evaluators."""


def read(values: dict[str, Any]) -> EvaluationConfig:
    return parse(EvaluationConfig, values, source="the settings")


def hashed(values: dict[str, Any]) -> Any:
    return deciding(Experiment(evaluation=read(values)))["evaluation"]


@pytest.mark.parametrize(
    ("short", "measures"),
    [
        ({}, ["look", "backgrounds"]),
        ({"look_tap": "early"}, [{"kind": "look", "tap": "early"}, "backgrounds"]),
        ({"background_tests": False}, ["look"]),
        ({"neighbours": 7}, ["look", {"kind": "neighbours", "k": 7}, "backgrounds"]),
        (
            {"look_methods": ["gradcam"], "look_metrics": ["faithfulness"]},
            [
                {"kind": "explainers", "methods": ["gradcam"], "metrics": ["faithfulness"]},
                "look",
                "backgrounds",
            ],
        ),
    ],
)
def test_short_and_long_are_the_same(short: dict[str, Any], measures: list[Any]) -> None:
    assert read(short) == read({"measures": measures})
    assert read(short) == read(json.loads(read(short).model_dump_json()))
    assert hashed(short) == hashed({"measures": measures}) == RECORDED | short


def test_what_is_typed_wins_over_what_is_there() -> None:
    whole = read({"neighbours": 7}).model_dump()
    assert read(whole | {"neighbours": 9}) == read({"neighbours": 9})
    assert read(whole | {"neighbours": None}) == EvaluationConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"background_tests": "maybe"}, "background_tests must be true or false (got 'maybe')"),
        ({"measures": ["look", "look"]}, "an evaluator is named twice"),
        (
            {"measures": ["nothing"]},
            "measures.0.kind must be one of 'look', 'explainers', 'neighbours', 'backgrounds'",
        ),
        ({"neighbours": 0}, ": neighbours must be at least 1 (got 0)"),
        (
            {"look_metrics": ["much"]},
            ": look_metrics.0 must be 'localisation' or 'faithfulness' (got 'much')",
        ),
    ],
)
def test_mistakes_are_named_as_they_were_typed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(values)
