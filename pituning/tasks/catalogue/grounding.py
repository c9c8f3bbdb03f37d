"""Referring expressions: which region of a photograph of COCO is meant. The hub has the expressions and boxes only."""

from __future__ import annotations

from pituning.tasks.catalogue.record import DataSetRecord
from pituning.tasks.hub_source import HubSource

COCO_2014 = "COCO's train2014, http://images.cocodataset.org/zips/train2014.zip"


def _refer(name: str, title: str, identifier: str, origin: str, *, part: str, note: str = "") -> DataSetRecord:
    return DataSetRecord(
        name=name, title=title, table="vl",
        hub=HubSource(
            id=identifier, splits={"train": "train", "validation": "validation", "test": "test"}, each="captions",
            image_name="{image_path}", images_from=COCO_2014,
        ),
        instruction="which region does the text", text=("captions",), template='" {captions} " describe?',
        answer="bbox", image="image", answers="box", metric="box_iou", box_format="xyxy", part=part,
        origin=origin, licence="expressions Apache 2.0; photographs by COCO's terms of use", note=note,
    )  # fmt: skip


_TEST_A = "The test split is testA; --split test=testB and another --name give testB."

RECORDS = (
    _refer("refcoco", "RefCOCO", "jxu124/refcoco", "Kazemzadeh et al., EMNLP 2014", part="testA", note=_TEST_A),
    _refer(
        "refcocoplus", "RefCOCO+", "jxu124/refcocoplus", "Kazemzadeh et al., EMNLP 2014", part="testA", note=_TEST_A
    ),
    _refer("refcocog", "RefCOCOg", "jxu124/refcocog", "Mao et al., CVPR 2016", part="test"),
)
