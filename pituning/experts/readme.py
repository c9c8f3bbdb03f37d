"""The README.md beside an exported expert: the lines that load it in plain PEFT. Torch-free."""

from __future__ import annotations

from pituning.experts.card import ExpertCard
from pituning.experts.kinds import KINDS

FILE = "README.md"

_TEXT = """# {name}

{label} expert of π-Tuning Studio for the task `{task}`, on the backbone `{backbone}`.

```python
import torch
import transformers
from peft import PeftModel
{register}
base = "PATH OF {backbone}"  # the directory or the Hub id of the backbone
expert = "."  # this directory

config = transformers.AutoConfig.from_pretrained(base)
model = getattr(transformers, config.architectures[0]).from_pretrained(base, dtype=torch.float32)
model = PeftModel.from_pretrained(model, expert).eval()
```
"""


def readme(card: ExpertCard) -> str:
    """Markdown for people who have the exported directory and nothing else."""
    record = KINDS[card.kind]
    register = ""
    if record.registers is not None:
        register = f"import {record.registers}  # pip install pituning-studio; tells PEFT what {record.peft_type} is\n"
    return _TEXT.format(name=card.name, label=record.label, task=card.task, backbone=card.backbone, register=register)
