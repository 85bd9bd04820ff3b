"""What `kubensctl compile` can write: one module a format, each with SUMMARY and `text(static, options)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# JSON as Python has it.
Json = Any


@dataclass(frozen=True)
class Options:
    """role: the pool of a MachineConfig."""

    role: str = "worker"
