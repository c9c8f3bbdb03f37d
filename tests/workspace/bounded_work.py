"""What a bounded process is given to do in tests."""

from __future__ import annotations

from pituning.errors import BadInput


class Odd(BadInput):
    """An error of a class that others cannot make again."""

    def __init__(self, one: str, two: str):
        super().__init__(f"{one} and {two}", field="header")


def work(what: str) -> str:
    """Does what it is told."""
    if what == "memory":
        return str(len(bytearray(2**28)))
    if what == "time":
        while True:
            pass
    if what == "odd":
        raise Odd("this", "that")
    if what == "fault":
        raise ValueError("a fault of the program")
    print("a library says something")
    return what.upper()
