"""What documents from outside may hold: decided once, in the same way for every reader."""

from __future__ import annotations

import contextlib
import io
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.attack_making import ODD_NUMBERS, ODD_TEXTS
from pituning.errors import ArtefactError, BadInput
from pituning.experts.card import ExpertCard, parse_card
from pituning.runs.kinds import RUN_KINDS
from pituning.runs.spec import RunSpec
from pituning.tasks.cards import parse_card as parse_task_card
from pituning.tasks.images import image_suffix, open_image
from pituning.workspace.affinities import parse_affinity
from pituning.workspace.documents import (
    MOST_DEPTH,
    DocumentError,
    check_document,
    check_fields,
    parse_json,
    parse_yaml,
)

# Other programs may hold the processor: times say nothing here.
FAST = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TREES = st.recursive(
    PLAIN | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)
ODD = st.sampled_from([*ODD_NUMBERS, *ODD_TEXTS, b"x", {1: 2}])


@settings(FAST, max_examples=60)
@given(TREES)
def test_plain_documents_come_back_as_they_are(document: Any) -> None:
    assert parse_json(json.dumps(document)) == document
    assert parse_json(json.dumps(document, ensure_ascii=False).encode()) == document
    check_document(document)


@settings(FAST, max_examples=60)
@given(TREES, ODD, st.lists(st.sampled_from(["list", "dict"]), max_size=6))
def test_one_odd_value_anywhere_is_refused(document: Any, odd: Any, way: list[str]) -> None:
    for step in way:
        odd = [document, odd] if step == "list" else {"a": document, "b": odd}
    with pytest.raises(DocumentError):
        check_document(odd)
    try:
        written = json.dumps(odd)
    except (TypeError, ValueError):  # bytes; numbers that Python itself does not write
        return
    if '"1": 2' not in written:
        with pytest.raises(DocumentError):
            parse_json(written)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * (MOST_DEPTH + 2) + "]" * (MOST_DEPTH + 2), "nested too deeply"),
        ('{"a": 1e999}', "a is inf, which is not finite"),
        ('{"a": [NaN]}', "a.0 is nan, which is not finite"),
        ("9" * 5000, "too many digits"),
        ('{"seed": 9223372036854775808}', "seed is a whole number beyond 64 bits"),
        ('{"a\\r\\nb": 9223372036854775808}', "a b is a whole number beyond 64 bits"),
        (r'{"a": "\ud800"}', "half a character"),
        (r'{"\ud800": 1}', "no text"),
        (b'{"a": "\xff"}', "no text in UTF-8"),
        ("{", "is not JSON"),
    ],
)
def test_what_is_wrong_is_said(text: str | bytes, why: str) -> None:
    with pytest.raises(DocumentError, match=why.replace(".", r"\.")):
        parse_json(text)


def test_size_is_bounded() -> None:
    with pytest.raises(DocumentError, match="at most 1 MiB"):
        parse_json(b" " * (2**20 + 1), most_bytes=2**20)


def test_yaml() -> None:
    assert parse_yaml(b"a: 2020-01-01\n0: bad") == {"a": "2020-01-01", 0: "bad"}
    for text in (b"a: &x [1]\nb: *x", b"a: .nan", b'a: "\\ud800"', b"a: [", b"[" * 1500, b"a: 9223372036854775808"):
        with pytest.raises(BadInput, match=r"card\.yaml"):
            parse_task_card(text, "card.yaml")


CARD = {
    "name": "vqa", "kind": "lora", "task": "vqa", "config": {"rank": 4.0}, "backbone": "mini", "fingerprint": "0",
    "sha256": "0", "seed": 0, "spec": {"shots": 4}, "scores": {"test": 61.5}, "temperature": 1.0,
    "calibration": {"rows": 4}, "versions": {"torch": "2"}, "commit": None, "format_version": 1,
}  # fmt: skip


@settings(FAST, max_examples=80)
@given(st.sampled_from(sorted(CARD)), TREES | ODD | st.dictionaries(st.text(), PLAIN | ODD | st.text()))
def test_an_odd_card_is_refused_or_shown(key: str, value: Any) -> None:
    from app.components.expert_panel import provenance
    from app.components.labelling import calibration_words
    from pituning.experts.catalogue import ExpertEntry
    from pituning.reports.calibration import reliability_curves

    try:
        card = parse_card({**CARD, key: value}, "card.json")
    except ArtefactError:
        return
    check_fields(ExpertCard, vars(card))
    entry = ExpertEntry(kind="lora", name="vqa", directory=None, origin="trained", card=card)  # type: ignore[arg-type]
    assert all(isinstance(cell, str) for row in provenance(entry) for cell in row)
    assert calibration_words(card)
    reliability_curves(card.calibration)
    assert entry.score is None or f"{entry.score:.1f}"
    json.dumps(vars(card), allow_nan=False)


@pytest.mark.parametrize("kind", sorted(RUN_KINDS))
@settings(FAST, max_examples=25)
@given(data=st.data(), value=TREES | ODD)
def test_a_run_with_an_odd_setting_is_refused_in_words(kind: str, data: st.DataObject, value: Any) -> None:
    fields = [*RunSpec(kind=kind, config={}).defaults(), "seed"]
    spec = None
    with contextlib.suppress(BadInput):
        spec = RunSpec(kind=kind, config={data.draw(st.sampled_from(fields)): value})
        spec.validate()
    if spec is not None:
        json.dumps(dict(spec.config), allow_nan=False).encode()


def test_numbers_of_runs() -> None:
    for seed in (2**63, 1.5, True, "1", math.nan):
        with pytest.raises(BadInput, match="seed") as raised:
            RunSpec(kind="tune", config={"target": "digits", "seed": seed}).validate()
        assert raised.value.field == "seed"


def test_affinities_have_room_for_their_means() -> None:
    with pytest.raises(BadInput, match="another unit"):
        parse_affinity(b"target,a,b\na,,1.7e308\nb,1.7e308,\n")
    assert math.isfinite(parse_affinity(b"target,a,b\na,,1e12\nb,1e12,\n").mean[0, 1])


def test_pictures_of_telephones() -> None:
    stream = io.BytesIO()
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    pictures[0].save(stream, format="MPO", save_all=True, append_images=pictures[1:])
    assert open_image(stream.getvalue()).format == "MPO"
    assert image_suffix(stream.getvalue()) == "jpg"
