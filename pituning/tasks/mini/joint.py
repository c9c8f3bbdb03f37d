"""The six vision-language tasks."""

from __future__ import annotations

from random import Random

from pituning.tasks.mini.language import account_of_picture, draw_statement, reference
from pituning.tasks.mini.recipes import MANY, Draft, Recipe
from pituning.tasks.mini.vision import FORMS, SHADES
from pituning.tasks.mini.world import RELATIONS, Scene, Thing, holds, phrase, random_scene

VERDICTS = {"entailed": "true", "neutral": "unknown", "contradicted": "false"}
TALLIES = ("none", "solo", "duo", "trio")
SIDES = (
    ("on the far left", lambda t: t.x),
    ("on the far right", lambda t: -t.x),
    ("at the very top", lambda t: t.y),
    ("at the very bottom", lambda t: -t.y),
)


def _boxed(scene: Scene, text: str, thing: Thing) -> Draft:
    return Draft(scene, text, "".join(f"<loc_{v}>" for v in thing.box))


def _scene(rng: Random, count: int | None = None) -> Scene:
    return random_scene(rng, count, noise=round(rng.uniform(4, 22), 1))


def _ground_place(rng: Random, label: str | None) -> Draft:
    """The location is needed: the words before it fit two things or more."""
    while True:
        scene = _scene(rng, rng.choice((3, 4)))
        name = rng.choice(("shape", "colour", "size"))
        value = rng.choice(scene.things).attribute(name)
        fitting = [t for t in scene.things if t.attribute(name) == value]
        words, key = rng.choice(SIDES)
        order = sorted(fitting, key=key)
        if len(order) >= 2 and key(order[1]) - key(order[0]) > 4:
            noun = value if name == "shape" else f"{value} thing"
            return _boxed(scene, f"the {noun} {words}", order[0])


def _ground_look(rng: Random, label: str | None) -> Draft:
    while True:
        scene = _scene(rng, rng.choice((3, 4)))
        thing = rng.choice(scene.things)
        names = tuple(rng.sample(("colour", "pattern", "size"), rng.choice((1, 2))))
        if "pattern" in names and thing.pattern == "plain":
            continue
        fits = [t for t in scene.things if all(t.attribute(n) == thing.attribute(n) for n in (*names, "shape"))]
        if len(fits) == 1:
            return _boxed(scene, f"the {phrase(thing, names)}", thing)


def _ground_relation(rng: Random, label: str | None) -> Draft:
    """ "the small thing that stands left of the star": the relation decides between things alike."""
    while True:
        scene = _scene(rng, rng.choice((3, 4)))
        account = account_of_picture(scene.things)
        fitting: list[Draft] = []
        for i, anchor in enumerate(scene.things):
            who = reference(account, i, rng)
            rest = [t for t in scene.things if t is not anchor]
            if who is None:
                continue
            for relation in RELATIONS:
                near = [t for t in rest if holds(relation, t, anchor, -2.0)]
                for thing in (t for t in near if holds(relation, t, anchor, 5.0)):
                    for name in ("shape", "colour", "size"):
                        value = thing.attribute(name)
                        alike = [t for t in rest if t.attribute(name) == value]
                        if len(alike) >= 2 and sum(t in near for t in alike) == 1:
                            noun = value if name == "shape" else f"{value} thing"
                            fitting.append(_boxed(scene, f"the {noun} that stands {relation} the {who}", thing))
        if fitting:
            return rng.choice(fitting)


def _vqa(rng: Random, label: str | None) -> Draft:
    """Attribute and counting questions, answered in the suite's own words."""
    while True:
        if label in TALLIES:
            scene = _scene(rng)
            name = rng.choice(("size", "colour"))
            value = (
                rng.choice(scene.things).attribute(name) if label != "none" else rng.choice(("green", "red", "blue"))
            )
            if label == "none":
                name = "colour"
            if sum(t.attribute(name) == value for t in scene.things) == TALLIES.index(str(label)):
                return Draft(scene, f"what number of {value} items?", str(label))
            continue
        scene = _scene(rng, rng.choice((2, 3, 4)))
        for i, thing in enumerate(scene.things):
            if SHADES[thing.colour] == label:
                who = reference(account_of_picture(scene.things), i, rng)
                if who == thing.shape:
                    return Draft(scene, f"what shade is the {who}?", str(label))
            if FORMS[thing.shape] == label and sum(t.colour == thing.colour for t in scene.things) == 1:
                return Draft(scene, f"what form is the {thing.colour} one?", str(label))


def _visual_entailment(rng: Random, label: str | None) -> Draft:
    while True:
        scene = _scene(rng, rng.choice((2, 3)))
        claim = draw_statement(account_of_picture(scene.things), rng, VERDICTS[str(label)])
        if claim is not None:
            return Draft(scene, f"hypothesis: {claim.text}.", str(label))


def _caption(rng: Random, label: str | None) -> Draft:
    scene = _scene(rng, rng.choice((1, 2, 3)))
    listed = [f"{SHADES[t.colour]} {FORMS[t.shape]}" for t in sorted(scene.things, key=lambda t: t.y)]
    return Draft(scene, "", " over ".join(listed))


RECIPES = (
    Recipe(
        name="ground-place", title="Grounding by place", instruction="box of", modality="vision-language",
        metric="box_iou", labels=None, families=("grounding",),
        description="Finds the thing that an expression with location words refers to.", draw=_ground_place,
    ),
    Recipe(
        name="ground-look", title="Grounding by look", instruction="box of", modality="vision-language",
        metric="box_iou", labels=None, families=("grounding",),
        description="Finds the thing that an expression without location words refers to.", draw=_ground_look,
    ),
    Recipe(
        name="ground-relation", title="Grounding by relation", instruction="box of", modality="vision-language",
        metric="box_iou", labels=None, families=("grounding",),
        description="Finds the thing that stands in a given relation to another.", draw=_ground_relation,
    ),
    Recipe(
        name="vqa", title="Visual question answering", instruction="query:", modality="vision-language",
        metric="accuracy", labels=(*SHADES.values(), *FORMS.values(), *TALLIES), families=("attributes",),
        description="Answers questions on shade, form and number in the suite's own words.", draw=_vqa,
    ),
    Recipe(
        name="visual-entailment", title="Visual entailment", instruction="does the image imply the hypothesis?",
        modality="vision-language", metric="accuracy", labels=tuple(VERDICTS), families=("entailment",),
        description="Three-way: does the picture support the hypothesis, contradict it, or leave it open?",
        draw=_visual_entailment, sizes=MANY,
    ),
    Recipe(
        name="caption", title="Captioning", instruction="caption:", modality="vision-language", metric="token_f1",
        labels=None, families=("depiction",),
        description="Describes the things from top to bottom in the suite's own words for shades and forms.",
        draw=_caption, sizes=MANY,
    ),
)  # fmt: skip
