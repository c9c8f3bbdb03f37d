"""Questions about photographs, each answered by ten people."""

from __future__ import annotations

from pituning.tasks.catalogue.record import DataSetRecord
from pituning.tasks.hub_source import HubSource

RECORDS = (
    DataSetRecord(
        name="vqav2", title="VQAv2", table="vl",
        hub=HubSource(id="lmms-lab/VQAv2", splits={"train": "validation"}),
        instruction="answer the question:", text=("question",), answer="answers", image="image", answers="votes",
        metric="vqa_accuracy", part="test-dev", origin="Goyal et al., CVPR 2017",
        licence="CC BY 4.0; photographs by COCO's terms of use",
        note="The answers of the paper's test splits are on a server, and the training split is on the hub by a "
        "script only: train, validation and test are cut from the 214,354 validation questions. The paper's prompt is "
        "the question alone.",
    ),
)  # fmt: skip
