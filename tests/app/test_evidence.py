"""What a new run says of its donors before it starts, against tables of transfer that are written by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from pituning.graph.harm import HARM
from pituning.runs.queue import RunQueue
from pituning.tasks.registry import load_task
from pituning.workspace.atomic import write_text
from pituning.workspace.layout import Workspace
from pituning.workspace.transfer import COLUMNS, NO_DONOR
from tests.app import synthetic
from tests.app.conftest import OpenPage, healthy, texts
from tests.app.uploads import TABLE, can_launch, own_table, upload

NOBODY = "It has not been measured what the experts of other tasks do for"


def measure(workspace: Workspace, target: str, gains: dict[str, float], *, kind: str = "lora", shots: int = 16) -> None:
    """Writes what donors did for one target, whose score alone is 50."""
    rows = [(target, NO_DONOR, shots, 0, 50.0, "x")]
    rows += [(target, donor, shots, 0, 50.0 + gain, "x") for donor, gain in gains.items()]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(index=False)
    write_text(workspace.zoo().new_transfer_path(kind), table)


def by_hand(at: AppTest, target: str, donors: list[str]) -> AppTest:
    at.segmented_control(key="donors_way").set_value("chosen").run()
    return at.multiselect(key=f"donors_{target}_lora").set_value(donors).run()


def warned(at: AppTest) -> list[str]:
    return [f"{alert.proto.title}\n{alert.value}" for alert in at.warning]


@pytest.fixture
def nearest(workspace: Workspace) -> list[str]:
    """The tasks of the graph nearest to `rte`, the nearest first."""
    zoo = workspace.zoo().similarity("lora", "probe")
    row = dict(zip(zoo.names, zoo.matrix[zoo.names.index("rte")], strict=True))
    del row["rte"]
    return sorted(row, key=lambda name: -row[name])


def test_an_expected_donor_that_did_harm_is_named_with_its_points(
    workspace: Workspace, nearest: list[str], open_page: OpenPage
) -> None:
    first, second, third = nearest[:3]
    measure(workspace, "rte", {first: 4.25, second: -7.5, third: 2.0})

    at = healthy(open_page("new_run", target="rte"))

    (warning,) = warned(at)
    assert warning.startswith("One of these donors did harm\n")
    assert f"**{load_task(second, workspace).title}** −7.5 points" in warning
    assert load_task(first, workspace).title not in warning
    assert "Set “Donors are” to “Chosen by me” and leave it out" in warning
    assert "mixture, the target’s own expert alone, the best donor trained further, and the donors as is" in warning
    assert "The mean over these donors is −0.4 points" in warning  # (4.25 − 7.5 + 2) / 3
    assert list(at.dataframe[0].value["Measured"]) == ["+4.2 points", "−7.5 points", "+2.0 points"]
    assert can_launch(at)


def test_the_warning_goes_when_the_harmful_donor_does(workspace: Workspace, open_page: OpenPage) -> None:
    measure(workspace, "rte", {"nli": 4.0, "caption": -3.0, "vqa": -HARM / 2})
    at = by_hand(open_page("new_run", target="rte"), "rte", ["nli", "caption"])
    assert "Remove it." in warned(healthy(at))[0]

    at.multiselect(key="donors_rte_lora").set_value(["nli", "vqa"]).run()

    assert warned(healthy(at)) == []  # half a point is within what luck does
    assert "of 3 donors, 1 cost" in texts(at)
    assert "the mean over all is +0.2 points" in texts(at)


def test_small_losses_are_warned_of_where_they_are_the_rule(workspace: Workspace, open_page: OpenPage) -> None:
    measure(workspace, "rte", {"nli": -0.5, "vqa": -0.7})
    at = by_hand(open_page("new_run", target="rte"), "rte", ["nli", "vqa"])

    (warning,) = warned(healthy(at))
    assert warning.startswith("These donors did harm on average\n")
    assert "−0.6 points" in warning


def test_without_evidence_nothing_is_warned_of(workspace: Workspace, open_page: OpenPage) -> None:
    at = healthy(open_page("new_run", target="rte"))
    assert warned(at) == []
    assert NOBODY in texts(at)
    assert "Measured" not in at.dataframe[0].value

    measure(workspace, "nli", {"caption": -9.0})  # of another target
    at = healthy(open_page("new_run", target="rte"))
    assert warned(at) == []
    assert NOBODY in texts(at)


def test_nobody_has_measured_a_table_that_was_just_uploaded(measured: Workspace, open_page: OpenPage) -> None:
    at = healthy(upload(own_table(open_page), "My Reviews.csv", TABLE))
    assert warned(at) == []
    assert "mini has only ever seen drawn scenes" in texts(at)
    assert f"{NOBODY} My reviews" in texts(at)


def test_what_lora_experts_did_is_said_to_be_of_lora_experts(workspace: Workspace, open_page: OpenPage) -> None:
    measure(workspace, "rte", {"nli": 4.0})
    at = healthy(open_page("new_run", target="rte"))
    assert "not been measured" not in texts(at)

    at.segmented_control(key="kind").set_value("prefix").run()
    assert "The evidence is of LoRA experts; it has not been measured for Prefix experts." in texts(healthy(at))

    measure(workspace, "rte", {"nli": 2.0}, kind="prefix")
    at.run()
    assert "Measured with Prefix experts" in texts(healthy(at))


@pytest.mark.parametrize(
    "damage", ["target;donor\nrte;nli", "\x00\x01", "target,donor,shots,seed,score,spec\nrte,nli,16,0,x,y"]
)
def test_a_damaged_table_is_named_and_the_form_goes_on(workspace: Workspace, open_page: OpenPage, damage: str) -> None:
    write_text(workspace.zoo().new_transfer_path("lora"), damage)

    at = open_page("new_run", target="rte")

    assert not at.exception
    (error,) = at.error
    assert "transfer.csv is damaged" in error.value.replace("\\", "")
    assert "make it again" in error.value
    assert NOBODY not in texts(at)
    assert can_launch(at)
    at.button(key="launch").click().run()
    assert len(RunQueue(workspace).list()) == 1


def test_a_past_run_that_ended_in_harm_is_linked(workspace: Workspace, open_page: OpenPage) -> None:
    harmed = synthetic.done(workspace, "rte", gain=-8.0, kind="lora", seed=0)
    synthetic.done(workspace, "nli", gain=-8.0, kind="lora", seed=0)
    synthetic.done(workspace, "rte", gain=8.0, kind="prefix", seed=0)

    at = healthy(open_page("new_run", target="rte"))

    links = [link for link in at.page_link if link.proto.query_string.startswith("run=")]
    assert [link.proto.query_string for link in links] == [f"run={harmed.id}"]
    assert "The donors did harm (one seed) in an earlier run" in texts(at)

    at = healthy(open_page("new_run", target="vqa"))
    assert "did harm" not in texts(at)
