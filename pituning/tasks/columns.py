"""Which column of a table is what: guessed, with every column accounted for, and every doubt said. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pituning.errors import BadInput
from pituning.tasks.mapping import CORNER_AND_SIZE, CORNERS, PLACE, ColumnMapping, ColumnUse, account
from pituning.tasks.profiles import Profile, profiles
from pituning.tasks.reading import Table, as_text, names
from pituning.tasks.reading.base import SPLIT_COLUMN
from pituning.tasks.reading.names import plain_name


@dataclass(frozen=True, kw_only=True)
class Guess:
    """The likely reading of a table.

    Args:
        columns: which column is what.
        account: what becomes of every column, in the table's order.
        questions: where another reading is as plausible: one line each, with the option that decides.
        instruction: what the file itself says is to be done, where all its rows say the same.
    """

    columns: ColumnMapping
    account: tuple[ColumnUse, ...]
    questions: tuple[str, ...] = ()
    instruction: str | None = None
    profiles: Mapping[str, Profile] = field(repr=False)


def guess_columns(
    table: Table,
    *,
    answer: str | Sequence[str] | None = None,
    text: Sequence[str] | None = None,
    image: str | None = None,
    template: str | None = None,
    label_names: str | None = None,
) -> Guess:
    """The likely reading of a table's columns, by their names and by what is in them.

    Args:
        answer: the column, or columns, with the answer where they are known.
        text: the columns of text where they are known.
        image: the column of images where it is known.
        template: see `ColumnMapping`; its columns are the text.
        label_names: the column with the names of labels where it is known.

    Raises:
        BadInput: there are too few columns, or one that is named is not there.
    """
    columns = [column for column in table.columns if column.lower() != SPLIT_COLUMN]
    if not columns:
        raise BadInput(f"file {table.filename!r} has no column for the answer; add one", field="answer")
    if template is not None:
        text = list(dict.fromkeys(place.strip() for place in PLACE.findall(template)))
        if not text:
            raise BadInput(f"template {template!r} names no column; write one as {{{columns[0]}}}", field="template")
    given = [answer] if isinstance(answer, str) else list(answer or ())
    for role, chosen in (("answer", given), ("text", text or ()), ("image", (image,)), ("label_names", (label_names,))):
        for column in chosen:
            if column is not None and column not in table.columns:
                have = ", ".join(map(repr, table.columns))
                raise BadInput(f"file {table.filename!r} has no column {column!r}; choose one of {have}", field=role)
    if len(columns) == 1:
        raise BadInput(
            f"file {table.filename!r} has one column only ({columns[0]!r}); add one with the text or the images",
            field="file",
        )
    return _Guesser(table, given, text, image, template, label_names).guess()


class _Guesser:
    def __init__(
        self,
        table: Table,
        answer: list[str],
        text: Sequence[str] | None,
        image: str | None,
        template: str | None,
        names_column: str | None,
    ):
        self.table, self.template, self.given_text = table, template, text
        self.profiles = profiles(table)
        self.roles: dict[str, tuple[str, str]] = {}
        self.questions: list[str] = []
        self.answer, self.image, self.names = answer, image, names_column
        self.instruction: str | None = None
        self.split = self._split()

    def guess(self) -> Guess:
        self.image = self.image or self._image()
        self.answer = self.answer or self._answer()
        self.names = self.names or self._names()
        self._set_aside()
        text = tuple(self.given_text) if self.given_text is not None else self._text()
        if not text and self.image is None:
            text = self._rest()
        mapping = ColumnMapping(
            text=text, answer=tuple(self.answer), image=self.image, template=self.template, names=self.names,
            split=self.split,
        )  # fmt: skip
        return Guess(
            columns=mapping,
            account=account(self.table, mapping, self.roles),
            questions=tuple(self.questions),
            instruction=self.instruction,
            profiles=self.profiles,
        )

    def _free(self) -> list[str]:
        taken = {*self.answer, self.image, self.names, self.split, *self.roles}
        if self.given_text is not None:
            taken |= set(self.given_text)
        return [column for column in self.table.columns if column not in taken]

    def _named(self, columns: Iterable[str], usual: Sequence[str]) -> list[str]:
        """The columns with usual names, the most usual first."""
        plain = {column: plain_name(column) for column in columns}
        exact = [column for name in usual for column in plain if plain[column] == name]
        ends = [
            c for name in usual for c in plain if len(name) > 2 and plain[c].endswith(f"_{name}") and c not in exact
        ]
        return list(dict.fromkeys([*exact, *ends]))

    def _split(self) -> str | None:
        named = [column for column in self.table.columns if plain_name(column) in names.SPLIT]
        exact = [column for column in named if column.lower() == SPLIT_COLUMN and column not in self.answer]
        return next((c for c in (*exact, *named) if c in exact or self.profiles[c].is_split), None)

    def _image(self) -> str | None:
        free = self._free()
        likely = [column for column in free if self.profiles[column].images > 0.9]
        if likely:
            return next(iter(self._named(likely, names.IMAGE)), likely[0])
        return None if self.table.images is None else next(iter(self._named(free, names.IMAGE[:5])), None)

    def _answer(self) -> list[str]:
        free = self._free()
        usable = [column for column in free if self._can_answer(self.profiles[column])]
        box = self._corners(free)
        if box:
            return box
        boxes = [column for column in usable if self.profiles[column].boxes > 0.9]
        if boxes and self.image is not None:
            return [next(iter(self._named(boxes, names.ANSWER)), boxes[0])]
        named = self._named(usable, names.ANSWER)
        named.sort(key=lambda column: plain_name(column) not in names.ANSWER)
        if named:
            return [self._most_likely(named)]
        binary = [column for column in free if self.profiles[column].is_binary]
        if len(binary) > 1:
            self.questions.append(
                f"columns {', '.join(map(repr, binary))} hold 0 and 1 each and are read as labels of which several can "
                "be true at once; --answer-column takes one of them alone"
            )
            return binary
        return [self._by_content(usable or free)]

    def _can_answer(self, profile: Profile) -> bool:
        number = profile.running or profile.is_code or plain_name(profile.column) in names.NUMBER
        return profile.filled > 0 and (not number or plain_name(profile.column) in names.ANSWER)

    def _most_likely(self, named: Sequence[str]) -> str:
        best = named[0]
        other = [
            column
            for column in named[1:]
            if (self.profiles[column].is_closed or self.profiles[column].is_measured)
            and not self._one_to_one(best, column)
            and plain_name(column) not in names.TEXT
        ]
        if other:
            self.questions.append(
                f"column {best!r} is read as the answer, and {other[0]!r} could be it as well; --answer-column decides"
            )
        return best

    def _by_content(self, columns: Sequence[str]) -> str:
        """The answer where no name tells: the last column, or else the first, that holds labels or measures."""
        likely = [
            column
            for column in columns
            if (self.profiles[column].is_closed or self.profiles[column].is_measured)
            and not self.profiles[column].is_text
        ]
        if not likely:
            texts = self._named(columns, names.TEXT)
            return next((column for column in reversed(columns) if column not in texts[:1]), columns[-1])
        ends = [column for column in (columns[-1], columns[0]) if column in likely]
        best = (ends or likely[::-1])[0]
        others = [column for column in likely if column != best and not self._one_to_one(best, column)]
        if others:
            self.questions.append(
                f"column {best!r} is read as the answer, and {others[-1]!r} could be it as well; "
                "--answer-column decides"
            )
        return best

    def _corners(self, free: Sequence[str]) -> list[str]:
        plain = {plain_name(column): column for column in free}
        for corners in (*CORNERS, *CORNER_AND_SIZE):
            if all(corner in plain for corner in corners):
                return [plain[corner] for corner in corners]
        return []

    def _names(self) -> str | None:
        """The column beside that has one name for each code."""
        if len(self.answer) != 1 or self.answer[0] in self.table.label_names:
            return None
        code = self.profiles[self.answer[0]]
        if code.numbers < 0.98 or not code.whole or not code.is_closed:
            return None
        for column in self._free():
            beside = self.profiles[column]
            if beside.numbers < 0.5 and not beside.is_text and self._one_to_one(self.answer[0], column):
                return column
        return None

    def _one_to_one(self, first: str, second: str) -> bool:
        one, two = self.profiles[first], self.profiles[second]
        if one.distinct != two.distinct or one.distinct > 1000:
            return False
        pairs = {
            (as_text(row.cells.get(first)), as_text(row.cells.get(second)))
            for row, _ in zip(self.table.rows(), range(2000), strict=False)
        }
        return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})

    def _set_aside(self) -> None:
        """Columns that nobody would want the model to read, with the reasons."""
        box = len(self.answer) == 4
        for column in self._free():
            profile, plain = self.profiles[column], plain_name(column)
            usual_text = plain in names.TEXT
            if profile.filled == 0:
                self.roles[column] = ("ignored", "it is empty")
            elif plain == "instruction" and profile.distinct == 1:
                self.roles[column] = ("instruction", "the same in every row")
                self.instruction = self._first_text(column)
            elif box and plain in ("width", "height"):
                self.roles[column] = ("ignored", "the image itself says its size")
            elif plain in names.NUMBER or (profile.running and not usual_text):
                self.roles[column] = ("ignored", "a running number or an id")
            elif "parse" in plain.split("_") or plain.endswith("_parse"):
                self.roles[column] = ("ignored", "a parse tree")
            elif profile.lists > 0.5 or profile.objects > 0.5:
                self.roles[column] = ("ignored", "it holds lists or objects")
            elif profile.images > 0.9:
                self.roles[column] = ("ignored", "it names images, and another column is the image")
            elif usual_text:
                continue
            elif profile.is_code:
                self.roles[column] = ("ignored", "an id, a date or a code")
            elif profile.numbers > 0.98:
                self.roles[column] = ("ignored", "it holds numbers")
            elif profile.distinct == 1 and not box:
                self.roles[column] = ("ignored", "the same in every row")

    def _text(self) -> tuple[str, ...]:
        free = self._free()
        chosen = [
            c for c in free if plain_name(c) in names.TEXT or self.profiles[c].is_text or plain_name(c) == "instruction"
        ]
        if len(self.answer) == 4 and not chosen:  # a box: of what?
            chosen = self._named(free, ("class", "category", "label", "name"))[:1]
        if len(chosen) == 1 or not chosen or _belong_together(chosen):
            return tuple(chosen)
        self.questions.append(
            f"columns {', '.join(map(repr, chosen))} are read one after another as the text; --text-columns or "
            "--template decides"
        )
        return tuple(chosen)

    def _rest(self) -> tuple[str, ...]:
        """A column to read where none looks like text: the one with most different values."""
        free = self._free() or [column for column in self.roles if self.roles[column][0] == "ignored"]
        if not free:
            return ()
        best = max(free, key=lambda column: self.profiles[column].distinct)
        self.roles.pop(best, None)
        return (best,)

    def _first_text(self, column: str) -> str:
        return next((text for row in self.table.rows() if (text := as_text(row.cells.get(column)).strip())), "")


def _belong_together(columns: Sequence[str]) -> bool:
    """Whether columns of text are the usual parts of one question: numbered, lettered, or named as in the field."""
    plain = [plain_name(column) for column in columns]
    if len({re.sub(r"_?[12ab]$", "", name) for name in plain}) == 1:
        return True
    usual: tuple[set[str], ...] = (
        {"premise", "hypothesis"}, {"question", "sentence"}, {"question", "context", "title"}, {"question", "passage"},
        {"query", "passage"}, {"query", "document"}, {"claim", "context"}, {"claim", "evidence"}, {"system", "user"},
        {"instruction", "input"}, {"title", "text"}, {"title", "body"}, {"title", "content"}, {"title", "description"},
    )  # fmt: skip
    return any(set(plain) <= pair for pair in usual)
