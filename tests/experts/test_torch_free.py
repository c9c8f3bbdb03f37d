from __future__ import annotations

import subprocess
import sys


def test_what_the_app_reads_is_torch_free():
    code = (
        "import pituning.experts.catalogue, pituning.runs.imports, pituning.runs.removal, pituning.experts.space;"
        "import pituning.experts.card, pituning.training.config, sys;"
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
