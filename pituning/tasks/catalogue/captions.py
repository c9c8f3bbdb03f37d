"""Captions of photographs, five for each, in Karpathy's splits."""

from __future__ import annotations

from pituning.tasks.catalogue.record import DataSetRecord
from pituning.tasks.hub_source import HubSource

RECORDS = (
    DataSetRecord(
        name="coco-captions", title="COCO captions", table="vl",
        hub=HubSource(
            id="jxie/coco_captions", splits={"train": "train", "validation": "validation", "test": "test"}
        ),
        instruction="what does the image describe?", answer="caption", image="image", answers="text",
        metric="cider", part="CIDEr", origin="Chen et al., 2015; splits of Karpathy and Fei-Fei, CVPR 2015",
        licence="CC BY 4.0; photographs by COCO's terms of use",
        note="Scored by CIDEr; --metric bleu4 or meteor gives the others. SPICE is left out.",
    ),
)  # fmt: skip
