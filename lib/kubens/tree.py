"""What a plan is made of: trees of files, each whole or absent, and findings."""

from __future__ import annotations

from kubens.finding import ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.finding import Finding


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
        """Set the digest: all of it as one number, and of that the hash, the remainder by a prime (sys.hash_info) that
        is the same in each process and release. Nothing need be imported for it."""
        texts = (self.record, *self.files, *self.files.values(), *self.early, *self.early.values())
        number = int.from_bytes("\n".join(texts).encode("utf-8", "surrogateescape"), "big")
        self.digest = f"{hash(number):016x}"


class Plan:
    """trees: one a namespace, in the order configured. findings: all there is to say."""

    __slots__ = ("findings", "trees")

    def __init__(self) -> None:
        self.trees: list[Tree] = []
        self.findings: list[Finding] = []

    @property
    def has_errors(self) -> bool:
        return any(finding.severity == ERROR for finding in self.findings)
