"""Several questions on several pictures in one sequence, each of which sees what it would see by itself.

The beginning of the turn stands once, then picture after picture, each followed by its questions. A mask lets a
question see the beginning, its own picture and itself, and positions are counted as if nothing else stood there. So the
losses are those of single examples, at about a third of the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pituning.backbones.composed.backbone import ComposedBackbone
from pituning.backbones.encoded import IGNORED
from pituning.pretraining.projector.lessons import Lesson, Question


@dataclass
class Pack:
    """One sequence of T tokens.

    Args:
        ids: (1, T), anything where a picture stands.
        places: (N, S) where the tokens of each picture stand.
        mask: (1, 1, T, T), whether a place sees another.
        positions: (1, T).
        kept: (A,) places from which answer tokens are predicted.
        targets: (A,) those tokens.
        owners: (A,) the question that each is of.
        questions: Q, in the order of their numbers.
    """

    ids: Tensor
    places: Tensor
    mask: Tensor
    positions: Tensor
    kept: Tensor
    targets: Tensor
    owners: Tensor
    questions: list[Question]


def pack(backbone: ComposedBackbone, lessons: Sequence[Lesson]) -> Pack:
    """The lessons as one sequence."""
    head, tail, count = list(backbone.turn.head), list(backbone.turn.tail), backbone.config.tokens
    ids, positions = list(head), list(range(len(head)))
    picture_of, question_of = [-1] * len(head), [-1] * len(head)
    places: list[list[int]] = []
    kept: list[int] = []
    targets: list[int] = []
    questions = [question for lesson in lessons for question in lesson.questions]
    asked = backbone.token_ids([question.prompt for question in questions])
    answered = backbone.token_ids([question.answer for question in questions])
    owners: list[int] = []
    number = 0
    for picture, lesson in enumerate(lessons):
        places.append(list(range(len(ids), len(ids) + count)))
        ids += [backbone.pad_token] * count
        positions += range(len(head), len(head) + count)
        picture_of += [picture] * count
        question_of += [-1] * count
        for _ in lesson.questions:
            answer = [*answered[number], backbone.end_token]
            text = [*asked[number], *tail, *answer[:-1]]
            begin = len(ids) + len(asked[number]) + len(tail) - 1
            kept += range(begin, begin + len(answer))
            targets += answer
            owners += [number] * len(answer)
            ids += text
            positions += range(len(head) + count, len(head) + count + len(text))
            picture_of += [picture] * len(text)
            question_of += [number] * len(text)
            number += 1
    of_picture, of_question = torch.tensor(picture_of), torch.tensor(question_of)
    order = torch.arange(len(ids))
    beginning = of_picture[None, :] == -1
    own_picture = (of_picture[:, None] == of_picture[None, :]) & (of_question[None, :] == -1)
    own_question = (of_question[:, None] == of_question[None, :]) & (of_question[:, None] != -1)
    mask = (order[None, :] <= order[:, None]) & (beginning | own_picture | own_question)
    device = backbone.device
    return Pack(
        ids=torch.tensor(ids, device=device)[None],
        places=torch.tensor(places, device=device),
        mask=mask[None, None].to(device),
        positions=torch.tensor(positions, device=device)[None],
        kept=torch.tensor(kept, device=device),
        targets=torch.tensor(targets, device=device),
        owners=torch.tensor(owners, device=device),
        questions=questions,
    )


def losses(backbone: ComposedBackbone, packed: Pack, features: Tensor) -> tuple[Tensor, Tensor]:
    """(Q,) −log p of each answer in nats, and (Q,) its number of tokens.

    Args:
        features: (N, S, C) of the pictures.
    """
    embeds = backbone.model.get_input_embeddings()(packed.ids)
    tokens = backbone.projector(features.to(backbone.device)).to(embeds.dtype)
    embeds = embeds.index_copy(1, packed.places.flatten(), tokens.flatten(0, 1)[None])
    logits = backbone.model(
        inputs_embeds=embeds,
        attention_mask=packed.mask,
        position_ids=packed.positions,
        use_cache=False,
        logits_to_keep=packed.kept,
    ).logits[0]
    each = torch.nn.functional.cross_entropy(logits.float(), packed.targets, reduction="none", ignore_index=IGNORED)
    empty = each.new_zeros(len(packed.questions))
    return empty.index_add(0, packed.owners, each), empty.index_add(0, packed.owners, torch.ones_like(each))
