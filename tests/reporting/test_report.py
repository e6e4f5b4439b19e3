"""The report: true numbers, nothing from outside, nothing executed, and sense without the optional files."""

import base64
import csv
import hashlib
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from foveate.core.errors import DataError, RunError
from foveate.core.files import write_csv
from foveate.core.intervals import of_mean, wilson
from foveate.data.annotations.proposed import CHUNK, digest
from foveate.evaluation.background_files import TESTS
from foveate.evaluation.predictions import PredictionTable
from foveate.reporting.report import build_report
from foveate.reporting.text import percent

from .conftest import IDS, Page, make_run


def test_numbers_come_from_the_predictions(run: Path) -> None:
    with open(run / "predictions.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    hits = sum(row["label"] == row["prediction"] for row in rows)
    interval = of_mean(
        np.array([row["label"] == row["prediction"] for row in rows]), groups=[row["group"] for row in rows]
    )
    assert interval is not None
    majority = Counter(row["label"] for row in rows).most_common(1)[0][1] / len(rows)
    page = Page(build_report(run))
    assert f"Of {len(rows)} test pictures, {hits} are named correctly." in page.text
    assert f"interval {100 * interval[0]:.1f} to {percent(interval[1])}" in page.source
    assert f"most frequent class would give {percent(majority)}" in page.source
    worst = max((row for row in rows if row["correct"] == "0"), key=lambda row: float(row["loss"]))
    told = page.answers
    assert sorted(told["path"]) == sorted(row["path"] for row in rows)
    (own,) = told["runs"]
    losses = dict(zip(told["path"], own["loss"], strict=True))
    assert max(losses, key=losses.__getitem__) == worst["path"]
    for row in rows:
        k = told["path"].index(row["path"])
        shares = {
            IDS[own["classes"][k * own["k"] + j]]: own["shares"][k * own["k"] + j] for j in range(own["k"])
        }
        assert next(iter(shares)) == row["prediction"]
        for class_id, share in shares.items():
            assert share / told["whole"] == pytest.approx(float(row[f"prob_{class_id}"]), abs=0.6e-4)
    nll = np.mean([float(row["loss"]) for row in rows])
    assert f"{nll:.3f}" in page.text
    measured = [row for row in rows if row["energy_in_mask"]]
    assert percent(np.mean([float(row["energy_in_mask"]) for row in measured])) in page.source
    assert f"mean over {len(measured)} of {len(rows)} test pictures" in page.text


def test_a_map_without_evidence_is_called_empty(run: Path) -> None:
    with open(run / "predictions.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    shown = next(row for row in rows if row["split"] == "test" and row["energy_in_mask"])
    assert not re.search(r"class map\s*empty", Page(build_report(run)).text)
    shown["energy_in_mask"] = ""
    write_csv(run / "predictions.csv", list(rows[0]), rows)
    assert re.search(r"class map\s*empty", Page(build_report(run)).text)


def test_facts_decisions_and_quarantine_are_shown(run: Path) -> None:
    page = Page(build_report(run))
    for words in (
        "insects", "12 training · 12 validation · 24 test", "mobilenetv2_035", "bee, wasp, fly",
        "fits in memory",
        "2 files were left out", "truncated", "5 in 12.5 s",
        "has the weights of epoch 5, with a validation accuracy of 70.0 % when",
        "head (epochs 1 to 2)",
    ):  # fmt: skip
        assert words in page.text, words
    assert re.search(r"Random seed\s*11(?!\d)", page.text)  # the run's own, not the network's
    assert "result.json states" not in page.text


def test_original_ids_stand_beside_the_names(run: Path) -> None:
    assert "bee (4780)" in Page(build_report(run)).text


def test_another_accuracy_in_result_json_is_told(run: Path) -> None:
    (run / "result.json").write_text(json.dumps({"metrics": {"test": {"accuracy": 0.9999}}}))
    assert "result.json states an accuracy of 99.99" in Page(build_report(run)).text


def test_one_file_without_a_network(run: Path, tmp_path: Path) -> None:
    out = build_report(run, tmp_path / "mailed.html")
    assert out == tmp_path / "mailed.html"
    page = Page(out)
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "xlink:href", "action", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/", "#")), value
    assert "@import" not in page.source
    assert not re.search(r"url\((?!#)", page.source)
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_ids_are_unique_and_links_lead_somewhere(run: Path) -> None:
    page = Page(build_report(run))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert [name for name, n in Counter(ids).items() if n > 1] == []
    targets = [(a.get("href") or a.get("xlink:href") or "#result")[1:] for _, a in page.elements]
    assert set(targets) <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page.source)) <= set(ids)


def test_pictures_have_words_and_tables_have_headings(run: Path) -> None:
    page = Page(build_report(run))
    assert all(a.get("alt") for tag, a in page.elements if tag == "img")
    for tag, a in page.elements:
        if tag == "svg":
            assert a.get("aria-hidden") or (a.get("role") in ("img", "group") and a.get("aria-label")), a
        if tag == "th":
            assert a.get("scope")
    assert next(a for tag, a in page.elements if tag == "html")["lang"] == "en"


EVIL = ("<script>alert('class')</script>", '" onmouseover="alert(1)', "$\\frac{a}{b}$ & <b>")


def test_names_are_text_and_never_code(tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=EVIL, stem="<img src=x onerror=alert(1)> ' \" &amp;")
    environment = json.loads((run / "environment.json").read_text())
    environment["decisions"] = [
        {"name": "</td><script>x</script>", "value": "<i>", "reason": "<svg onload=x>"}
    ]
    environment["quarantined"] = [{"path": "</table><script>y</script>", "reason": ""}]
    (run / "environment.json").write_text(json.dumps(environment))
    (run / "experiment.yaml").write_text("name: '</pre><script>z</script>'\nseed: '<script>s</script>'\n")
    history = (run / "history.csv").read_text()
    history = history.replace("train_spatial", "train_<script>t</script>").replace(
        ",head,", ",<script>p</script>,"
    )
    (run / "history.csv").write_text(history)
    page = Page(build_report(run))
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    for name in EVIL:
        assert page.text.count(name) >= 3, name  # heading, matrix, tables
    assert "</td><script>x</script>" in page.text
    assert "</table><script>y</script>" in page.text


def test_the_same_folder_gives_the_same_page(run: Path) -> None:
    first = build_report(run).read_bytes()
    assert build_report(run).read_bytes() == first


def test_other_backgrounds(run: Path) -> None:
    with open(run / "background_tests.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    page = Page(build_report(run))
    section = page.source[page.source.index('<section id="unlike">') :]
    section = section[: section.index("</section>")]
    cells = [
        [
            re.sub(r"<[^>]+>", "", cell).strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        ]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", section, re.DOTALL)
    ]
    by_name = {row[0]: row for row in cells}
    assert f"{len(rows)} pictures with masks" in section
    for test, name in (
        ("swapped", "Swapped backgrounds"),
        ("grey", "Grey background"),
        ("removed", "Object removed"),
    ):
        right = [row[f"{test}_prediction"] == row["label"] for row in rows]
        assert by_name[name][2] == percent(sum(right) / len(rows))
        stays = [row[f"{test}_prediction"] == row["original_prediction"] for row in rows]
        same = percent(sum(stays) / len(rows))
        assert by_name[name][4:] == [same, f"{len(rows) - sum(right)} / 0"], "unchanged, all were right"
        assert sum(right) < len(rows)
    first = rows[0]
    article = section[section.index("<article>") : section.index("</article>")]
    assert first["path"] in article
    assert article.count("<img") == 6
    names = dict(zip(("4780", "12", "7"), ("bee", "wasp", "fly"), strict=True))
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", article, re.DOTALL)
    for test, caption in zip(TESTS, captions, strict=True):
        predicted = first[f"{test}_prediction"]
        assert ("✓" if predicted == first["label"] else f"✗ {names[predicted]}") in caption
        assert percent(float(first[f"{test}_probability"]), 0) in caption


def share(right: int, n: int) -> dict[str, Any]:
    low, high = wilson(right, n) or (0.0, 1.0)
    return {"n": n, "correct": right, "accuracy": right / n, "accuracy_low": low, "accuracy_high": high}


def test_every_test_unlike_the_training_is_a_row(run: Path) -> None:
    split = PredictionTable.from_csv(run / "predictions.csv").of_split("test")
    place = np.array(["field" if i % 3 else "wood" for i in range(len(split))])
    extent = np.linspace(0.1, 0.4, len(split)).astype(np.float32)
    replace(split, attributes={"place": place}, look={**split.look, "map_extent": extent}).to_csv(
        run / "predictions.csv"
    )
    moved = {
        **share(10, 16), "n": 8, "consistent": 0.25, "original": share(7, 8),
        "variants": {"moved": share(7, 8), "scaled 0.5": share(3, 8)},
    }  # fmt: skip
    tests = {"moved_object": moved, "attacks": {"fgsm_4": share(2, 24), "pgd_0.5": share(1, 24)}}
    stated = {"metrics": {"test": {"accuracy": float(split.correct.mean()), **tests}}}
    (run / "result.json").write_text(json.dumps(stated))
    text = Page(build_report(run)).text
    right = {name: split.correct[place == name].mean() for name in ("field", "wood")}
    least = min(right, key=lambda name: right[name])
    for words in (
        "Object moved and scaled elsewhere in its own picture, smaller, larger scaled 0.5 38 %, moved 88 % "
        f"{percent(10 / 16)} 39 to 82 % 25.0 % –",
        f"FGSM 4/255 each pixel changed against the network, in one step {percent(2 / 24)} 2 to 26 % – –",
        "PGD 0.5/255 the same in several steps",
        f"Place: {least} the lowest of 2 values {percent(float(right[least]))}",
        "The lowest of many values is low by chance too.", "Under attack a low figure is usual",
        f"Half of the class map's energy lies in {percent(0.25)} of the picture, mean over {len(split)} pictures",
    ):  # fmt: skip
        assert "".join(words.split()) in "".join(text.split()), words
    (run / "background_tests.csv").unlink()
    text = Page(build_report(run)).text
    unchanged = f"8 pictures with masks Same pictures unchanged as photographed {percent(7 / 8)}"
    assert "".join(unchanged.split()) in "".join(text.split())
    moved["consistent"] = "often"
    (run / "result.json").write_text(json.dumps(stated))
    with pytest.raises(RunError, match=r"moved_object\.consistent must be a number \(got 'often'\)"):
        build_report(run)


@pytest.mark.parametrize(
    ("removed", "words"),
    [("label", "what surrounds the object gives the class away"), ("4780", "not clearly more than the")],
)
def test_the_sentence_on_the_removed_object(run: Path, removed: str, words: str) -> None:
    with open(run / "background_tests.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["removed_prediction"] = row["label"] if removed == "label" else removed
    write_csv(run / "background_tests.csv", list(rows[0]), rows)
    assert words in Page(build_report(run)).text


@pytest.mark.parametrize(
    ("swapped", "removed", "words"),
    [
        ("label", "4780", "No clear sign that it leans on the background."),
        ("other", "4780", "It leans on the background: expect less"),
        ("first other", "4780", "Fewer are right there; with 16 pictures that may still be chance."),
        ("label", "label", "Surroundings give the class away: expect less"),
    ],
)
def test_what_to_expect_in_the_field(run: Path, swapped: str, removed: str, words: str) -> None:
    with open(run / "background_tests.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        other = {"4780": "12", "12": "7", "7": "4780"}[row["label"]]
        wrong = swapped == "other" or (swapped == "first other" and row is rows[0])
        row["swapped_prediction"] = other if wrong else row["label"]
        row["removed_prediction"] = row["label"] if removed == "label" else removed
    write_csv(run / "background_tests.csv", list(rows[0]), rows)
    text = Page(build_report(run)).text
    field = text[text.index("In the field.") : text.index("More", text.index("In the field."))]
    share = sum(row["swapped_prediction"] == row["label"] for row in rows) / len(rows)
    assert f"As photographed {percent(1.0)} are named correctly".replace("\u202f", " ") in field
    assert f"with the background of another class {percent(share)}".replace("\u202f", " ") in field
    assert words in field
    assert "proposed" not in field


def test_proposed_masks_are_said_to_be(run: Path) -> None:
    root = Path(json.loads((run / "environment.json").read_text())["data_root"])
    text = PngInfo()
    text.add_itxt(CHUNK, json.dumps({"pixels": digest(np.zeros((24, 32), np.uint8))}))
    Image.new("L", (32, 24)).save(root / "mask", "PNG", pnginfo=text)
    with open(run / "catalog.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    masked = [row for row in rows if row["split"] == "test" and row["mask"]]
    assert f"All {len(masked)} masks were proposed by a program" in Page(build_report(run)).text
    for row in masked[:3]:
        row["mask"] = "labelstudio:export.json#1"
    write_csv(run / "catalog.csv", list(rows[0]), rows)
    said = f"{len(masked) - 3} of {len(masked)} masks were proposed by a program"
    assert said in Page(build_report(run)).text


def test_a_network_trained_without_objects_is_no_evidence(run: Path) -> None:
    with open(run / "experiment.yaml", "a") as stream:
        stream.write("objective: {classification: {kind: cross_entropy}, gone: {kind: counterfactual}}\n")
    text = Page(build_report(run)).text
    assert "trained on pictures without their object (loss counterfactual), so this is no evidence" in text
    assert (
        "of always answering the most frequent class"
        not in text[text.index("Pictures unlike the training") :]
    )


def test_without_background_tests_the_section_is_absent(run: Path) -> None:
    (run / "background_tests.npz").unlink()
    assert "Pictures unlike the training" in Page(build_report(run)).text
    (run / "background_tests.csv").unlink()
    page = Page(build_report(run))
    assert "Pictures unlike the training" not in page.text
    assert "#unlike" not in page.source


def test_only_predictions(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(run / "predictions.csv", bare)
    page = Page(build_report(bare))
    assert "named correctly" in page.text
    assert set(page.answers["why"].values()) == {"place of the pictures not recorded"}
    assert "bare" in page.text
    assert not any(tag == "img" for tag, _ in page.elements)


def test_pictures_that_are_gone_leave_a_labelled_place(run: Path) -> None:
    table = PredictionTable.from_csv(run / "predictions.csv").of_split("test")
    wrong = table.subset(~table.correct)
    first, second = wrong.path[np.argsort(-wrong.loss)[:2]].tolist()
    root = Path(json.loads((run / "environment.json").read_text())["data_root"])
    (root / first).unlink()
    (root / second).write_bytes(b"not a picture")
    told = Page(build_report(run)).answers
    assert {told["path"][int(row)]: why for row, why in told["why"].items()} == {
        first: "picture no longer at its place", second: "picture cannot be read"
    }  # fmt: skip
    assert sum(place is None for place in told["pictures"]) == 2


def test_without_test_labels_the_page_says_so(run: Path) -> None:
    table = PredictionTable.from_csv(run / "predictions.csv")
    table.of_split("val").to_csv(run / "predictions.csv")
    page = Page(build_report(run))
    assert "no labelled test pictures" in page.text
    assert "validation accuracy" in page.text
    assert "A temperature of" not in page.text  # it would be judged on what it was fitted on


@pytest.mark.parametrize("helps", [True, False])
def test_the_page_says_where_a_temperature_does_not_help(run: Path, helps: bool) -> None:
    """Fitted on answers that are always right, a temperature sharpens; that helps where the test's are right too."""
    table = PredictionTable.from_csv(run / "predictions.csv")
    classes = len(table.class_ids)
    named = np.where((table.split == "val") | helps, table.label, (table.label + 1) % classes)
    logits = 0.5 * np.eye(classes)[named]
    changed = PredictionTable.from_logits(
        logits, table.label, table.path, table.class_ids, splits=table.split, groups=table.group
    )
    changed.to_csv(run / "predictions.csv")
    text = Page(build_report(run)).text
    assert "A temperature of 0." in text
    assert ("on these pictures it does not help" in text) is not helps


def test_without_any_label(run: Path) -> None:
    table = PredictionTable.from_logits(np.zeros((2, 2)), np.array([-1, -1]), ["a", "b"], ["x", "y"])
    table.to_csv(run / "predictions.csv")
    (run / "background_tests.csv").unlink()  # of other classes
    page = Page(build_report(run))
    assert "No picture here has a label" in page.text
    assert page.answers["label"] == [-1, -1]


def test_a_perfect_run(run: Path) -> None:
    table = PredictionTable.from_csv(run / "predictions.csv")
    logits = np.eye(3)[table.label] * 9
    PredictionTable.from_logits(logits, table.label, table.path, table.class_ids, splits=table.split).to_csv(
        run / "predictions.csv"
    )
    page = Page(build_report(run))
    assert page.answers["runs"][0]["prediction"] == page.answers["label"]
    assert "No test picture was mistaken" in page.text


def test_errors_name_the_file(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        build_report(tmp_path / "nowhere")
    (run / "model.json").write_text("{")
    with pytest.raises(RunError, match=r"model\.json is not valid JSON"):
        build_report(run)
    (run / "model.json").write_text("{}")
    (run / "experiment.yaml").write_text("a: [")
    with pytest.raises(RunError, match=r"experiment\.yaml is not valid YAML"):
        build_report(run)
    (run / "experiment.yaml").write_text("a: 1")
    (run / "history.csv").write_text("epoch,phase,phase_epoch,train_loss\n1,head,1,much\n")
    with pytest.raises(RunError, match=r"history\.csv, line 2"):
        build_report(run)
    (run / "predictions.csv").write_text("path\n")
    with pytest.raises(DataError, match="lacks the columns"):
        build_report(run)
    (run / "predictions.csv").unlink()
    with pytest.raises(RunError, match=r"has no predictions\.csv"):
        build_report(run)
