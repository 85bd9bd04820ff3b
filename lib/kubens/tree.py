"""What a plan is made of: trees of files, each whole or absent, and findings."""

from __future__ import annotations

from kubens.finding import ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.finding import Finding


# So many fit into memory that is there already.
_AT_ONCE = 64
# A number's hash is its remainder by 2**61 - 1 (sys.hash_info), in which bytes that are 61 apart weigh the same. Not so
# in the remainder by the largest prime of 30 bits.
_PRIME = 2**30 - 35


class Tree:
    """All that one namespace puts into the output directory: either the whole of it comes out, or nothing.

    files: text by path; units lie at the top, drop-ins in UNIT.d/. early: text by name of units that must come before
    those of /etc. links: target by path. record: the namespace's configuration, to be kept while it lives.
    digest: hexadecimal digits that tell one tree from another, once it is sealed. needs: the names of trees
    without which this one is of no use.
    """

    __slots__ = ("digest", "early", "files", "links", "name", "needs", "record")

    def __init__(self, name: str, record: str) -> None:
        self.name = name
        self.record = record
        self.needs: list[str] = []
        self.digest = ""
        self.files: dict[str, str] = {}
        self.early: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def seal(self) -> None:
        """Set the digest: remainders of some of the texts at a time as one number. Nothing need be imported for it."""
        texts = (self.record, *self.files, *self.files.values(), *self.early, *self.early.values())
        for first in range(0, len(texts), _AT_ONCE):
            text = "\n".join((self.digest, *texts[first : first + _AT_ONCE]))
            number = int.from_bytes(text.encode("utf-8", "surrogateescape"), "big")
            self.digest = f"{hash(number) ^ number % _PRIME << 31:016x}"


class Plan:
    """trees: one a namespace, in the order configured. findings: all there is to say."""

    __slots__ = ("findings", "trees")

    def __init__(self) -> None:
        self.trees: list[Tree] = []
        self.findings: list[Finding] = []

    @property
    def has_errors(self) -> bool:
        return any(finding.severity == ERROR for finding in self.findings)
