"""What the table of methods says of itself, and what the documentation says of it."""

from pathlib import Path

from foveate.core.errors import ConfigError
from foveate.core.registry import first_sentence
from foveate.explanation import EXPLAINERS, explain
from foveate.explanation.explain import build_explainer

import pytest  # isort: skip

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_every_method_has_a_sentence_a_source_and_a_place_in_the_documentation() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind, method in EXPLAINERS.items():
        assert method().kind == kind
        assert len(first_sentence(method.__doc__).split()) > 3, kind
        assert "Source" in (method.__doc__ or "") or "equal to captum" in (method.__doc__ or ""), kind
        assert f"`{kind}`" in page, kind


def test_a_method_by_its_name_by_its_settings_and_by_an_object() -> None:
    one = build_explainer("rise", {"masks": 7})
    assert one == build_explainer({"kind": "rise", "masks": 7}) == EXPLAINERS["rise"](masks=7)
    assert build_explainer(one) is one
    assert build_explainer(one, {"grid": 3}) == EXPLAINERS["rise"](masks=7, grid=3)
    with pytest.raises(ConfigError, match="no explanation method 'rize'; did you mean rise"):
        build_explainer({"kind": "rize"})
    with pytest.raises(ConfigError, match="method 'rise': maks is no setting"):
        explain(None, None, method="rise", maks=3)  # type: ignore[arg-type]
