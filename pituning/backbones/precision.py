"""In which precision the frozen weights are held. Torch-free; the help texts feed the command line.

A run carries its precision in its configuration, so that it does not matter which worker takes it; what is done in
the process itself and its children reads it from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pituning.errors import BadInput

DTYPE_VARIABLE = "PITUNING_DTYPE"
QUANTIZE_VARIABLE = "PITUNING_QUANTIZE"
DTYPES = ("auto", "float32", "bfloat16")
HALF = "bfloat16"
QUANTIZATIONS = ("4bit", "8bit")

DTYPE_HELP = "Precision of the frozen weights: auto, float32 or bfloat16; left out, $PITUNING_DTYPE, else auto."
QUANTIZE_HELP = "Pack the frozen weights in 4bit or 8bit, with bitsandbytes; left out, $PITUNING_QUANTIZE, else not."


@dataclass(frozen=True, kw_only=True)
class Precision:
    """The precision of a run's backbone; experts and optimiser are float32 whatever it is.

    Args:
        dtype: of `DTYPES`; None is what the worker's environment says, else ``auto``.
        quantize: of `QUANTIZATIONS`; None is what the worker's environment says, else not at all.
    """

    dtype: str | None = field(default=None, metadata={"help": DTYPE_HELP})
    quantize: str | None = field(default=None, metadata={"help": QUANTIZE_HELP})

    def check_precision(self) -> None:
        """Raises BadInput for a precision that there is not."""
        chosen_dtype(self.dtype or "auto")
        if self.quantize is not None:
            chosen_quantization(self.quantize)


def chosen_dtype(given: str | None = None) -> str:
    """What is given, else what ``$PITUNING_DTYPE`` says, else ``auto``.

    Raises:
        BadInput: for anything else than `DTYPES`.
    """
    wanted = given or os.environ.get(DTYPE_VARIABLE) or "auto"
    if wanted not in DTYPES:
        raise BadInput(f"dtype {wanted!r} is unknown; choose {', '.join(DTYPES)}", field="dtype")
    return wanted


def chosen_quantization(given: str | None = None) -> str | None:
    """What is given, else what ``$PITUNING_QUANTIZE`` says, else None.

    Raises:
        BadInput: for anything else than `QUANTIZATIONS`.
    """
    wanted = given or os.environ.get(QUANTIZE_VARIABLE) or None
    if wanted is not None and wanted not in QUANTIZATIONS:
        raise BadInput(f"quantize {wanted!r} is unknown; choose {' or '.join(QUANTIZATIONS)}", field="quantize")
    return wanted


@contextmanager
def loading_as(dtype: str | None) -> Iterator[None]:
    """Within the context this process and those that it starts load backbones so, where nothing else is said.

    Raises:
        BadInput: there is no such precision.
    """
    before = os.environ.get(DTYPE_VARIABLE)
    try:
        use_dtype(dtype)
        yield
    finally:
        if before is None:
            os.environ.pop(DTYPE_VARIABLE, None)
        else:
            os.environ[DTYPE_VARIABLE] = before


def use_dtype(dtype: str | None) -> None:
    """From now on this process and those that it starts load backbones so, where nothing else is said.

    Raises:
        BadInput: there is no such precision.
    """
    if dtype is not None:
        os.environ[DTYPE_VARIABLE] = chosen_dtype(dtype)
