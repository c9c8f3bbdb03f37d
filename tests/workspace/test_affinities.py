from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pituning.errors import ArtefactError, BadInput
from pituning.tasks.affinity_tables import read_affinity
from pituning.workspace import affinities
from pituning.workspace.affinities import (
    MOST_VALUE,
    Affinity,
    affinity_csv,
    affinity_names,
    affinity_path,
    load_affinity,
    parse_affinity,
    save_affinity,
)
from pituning.workspace.layout import Workspace

SQUARE = ",a,b,c\na,1,2,3\nb,4,,6\nc,-7e-1,8,9\n"
NAN = float("nan")
WANTED = np.array([[1, 2, 3], [4, NAN, 6], [-0.7, 8, 9]])


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    Workspace.open(tmp_path / "w")
    return Workspace(tmp_path / "w", embedded=None)


def test_a_square_table() -> None:
    actual = parse_affinity(SQUARE.encode())
    assert actual.names == ("a", "b", "c")
    np.testing.assert_array_equal(actual.values, WANTED)
    turned = parse_affinity(SQUARE.encode(), rows="source")
    np.testing.assert_array_equal(turned.values, WANTED.T)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_byte_order_marks_and_line_ends(delimiter: str) -> None:
    data = SQUARE.replace(",", delimiter).replace("\n", "\r\n").encode("utf-8-sig")
    np.testing.assert_array_equal(parse_affinity(data).values, WANTED)


def test_columns_may_stand_in_another_order() -> None:
    actual = parse_affinity(b"task,b,a\na,2,1\nb,4,3\n")
    np.testing.assert_array_equal(actual.values, [[1, 2], [3, 4]])


def test_a_long_table_is_from_source_to_target() -> None:
    actual = parse_affinity(b"value,Target,source,note\n0.5,b,a,x\n-2,a,c,y\n")
    assert actual.names == ("a", "b", "c")
    assert actual.values[1, 0] == 0.5  # b receives from a
    assert actual.values[0, 2] == -2
    assert np.isfinite(actual.values).sum() == 2


def test_one_direction_alone_is_symmetric() -> None:
    actual = parse_affinity(b"source,target,value\na,b,1\nb,c,2\n")
    assert actual.symmetric
    np.testing.assert_array_equal(actual.mean, [[NAN, 1, NAN], [1, NAN, 2], [NAN, 2, NAN]])
    assert not parse_affinity(SQUARE.encode()).symmetric
    assert parse_affinity(SQUARE.encode()).mean[0, 1] == 3


def test_what_has_no_cell_is_not_known() -> None:
    table = parse_affinity(b"source\\target,a,b\na,1,2\nb,3,4\nc,5,6\n")
    assert table.names == ("a", "b", "c")
    np.testing.assert_array_equal(table.values, [[1, 3, 5], [2, 4, 6], [np.nan] * 3])
    assert len(table.notes) == 2


@pytest.mark.parametrize("corner", ["source\\target", "from / to", "Sources vs. targets", "donor→receiver"])
def test_a_corner_that_says_which_way_is_obeyed(corner: str) -> None:
    text = SQUARE.split(",", 1)[1]
    turned = parse_affinity(f"{corner},{text}".encode())
    np.testing.assert_array_equal(turned.values, np.array(WANTED).T)
    assert "the corner says" in turned.notes[0]
    assert not parse_affinity(f"{corner},{text}".encode(), rows="source").notes


def test_a_long_table_may_have_other_names() -> None:
    usual, others = "source,target,value", "from,to,score"
    ours, theirs = (parse_affinity(f"{names}\na,b,1\nb,c,2\n".encode()) for names in (usual, others))
    np.testing.assert_array_equal(ours.values, theirs.values)


def test_every_form_of_file_is_read(tmp_path: Path) -> None:
    pairs = [{"from": "a", "to": "b", "score": 0.5}, {"from": "b", "to": "a", "score": 1}]
    (tmp_path / "t.json").write_text(json.dumps(pairs))
    (tmp_path / "t.csv").write_text(SQUARE)
    np.testing.assert_array_equal(read_affinity(tmp_path / "t.json").values, [[np.nan, 1], [0.5, np.nan]])
    np.testing.assert_array_equal(read_affinity(tmp_path / "t.csv").values, WANTED)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        (",a,b\nc,1,2\n", "no task has both a row and a column; .*source: from, donor"),
        (",a,a\na,1,2\nb,3,4\n", "task 'a' stands twice in the header"),
        (",a,b\na,1,2\na,3,4\n", "task 'a' stands twice in the first column"),
        (",a,b\na,1,oops\nb,3,4\n", r"row 'a' \(line 2\), column 'b': 'oops' is not a number"),
        (",a,b\na,1,inf\nb,3,4\n", "'inf' is not a finite number"),
        (",a,b\na,1,1_0\nb,3,4\n", "'1_0' is not a finite number"),
        (",a,b\na,1\nb,3,4\n", r"line 2 \(task 'a'\) has 1 values for 2 columns"),
        (",a,b\na,1,2,3\nb,3,4\n", "has 3 values for 2 columns"),
        (",a\na,1\n", "names 1 task; a graph needs 2"),
        (",a,b\na,1,\nb,,1\n", "no value between two different tasks"),
        (",a,b\n,1,2\nb,3,4\n", "name 1 of the first column is empty"),
        ("source,target,value\na,b,1\na,b,2\n", "line 3: the pair 'a' to 'b' stands twice"),
        ("source,target,value\na,b,x\n", "line 2, column 'value': 'x' is not a number"),
        ("source,target,value\na,b\n", "line 2 has 2 cells"),
        ("source,target,value\na,,1\n", "line 2 has an empty name"),
        ("source,target,value\n", "names 0 tasks"),
        ('a,"b\n', "no readable CSV"),
        ("a,\0\n", "is no text"),
    ],
)
def test_what_is_wrong_and_where(text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as caught:
        parse_affinity(text.encode())
    assert caught.value.field == "file"


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(BadInput, match="no text in UTF-8"):
        parse_affinity(b"\x89PNG\r\n\x1a\n\xff")


def test_too_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="names 5,001 tasks; at most 5,000"):
        parse_affinity(("source,target,value\n" + "".join(f"hub,t{i},1\n" for i in range(5000))).encode())
    monkeypatch.setattr(affinities, "MOST_TASKS", 2)
    with pytest.raises(BadInput, match="names 3 tasks"):
        parse_affinity(SQUARE.encode())


names = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=12)
    .map(lambda name: " ".join(name.split()))
    .filter(bool),
    min_size=2,
    max_size=5,
    unique=True,
)
numbers = st.floats(-MOST_VALUE, MOST_VALUE) | st.just(float("nan"))


@settings(max_examples=60, deadline=None)
@given(names, st.data())
def test_whatever_is_kept_is_read_again(chosen: list[str], data: st.DataObject) -> None:
    n = len(chosen)
    values = np.array(data.draw(st.lists(numbers, min_size=n * n, max_size=n * n))).reshape(n, n)
    values[0, 1] = 0.25
    if {"source", "target", "value"} <= {name.lower() for name in chosen}:
        return
    kept = Affinity(names=tuple(chosen), values=values)
    actual = parse_affinity(affinity_csv(kept))
    assert actual.names == kept.names
    np.testing.assert_array_equal(actual.values, kept.values)


def test_a_table_is_kept_and_listed(workspace: Workspace) -> None:
    assert affinity_names(workspace) == []
    save_affinity(workspace, "taskonomy", parse_affinity(SQUARE.encode()))
    save_affinity(workspace, "another", parse_affinity(SQUARE.encode()))
    assert affinity_names(workspace) == ["another", "taskonomy"]
    np.testing.assert_array_equal(load_affinity(workspace, "taskonomy").values, WANTED)
    with pytest.raises(BadInput, match="already") as caught:
        save_affinity(workspace, "taskonomy", parse_affinity(SQUARE.encode()))
    assert caught.value.field == "name"


def test_names_stay_in_their_directory(workspace: Workspace) -> None:
    for name in ("../escape", "", "A"):
        with pytest.raises(BadInput):
            affinity_path(workspace, name)
    with pytest.raises(BadInput, match="unknown table"):
        load_affinity(workspace, "nothing")


def test_a_damaged_table_is_named(workspace: Workspace) -> None:
    path = affinity_path(workspace, "cut")
    path.parent.mkdir()
    path.write_text(SQUARE[:14])
    with pytest.raises(ArtefactError, match=r"cut\.csv is damaged .*import the table again"):
        load_affinity(workspace, "cut")
