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

    units: text by name. early: the same of units that must come before those of /etc. dropins: text by the names of the
    drop-in and of the unit. links: target by path. record: the namespace's configuration, to be kept while it lives.
    digest: hexadecimal digits that tell one tree from another, once it is sealed. needs: the names of trees
    without which this one is of no use.
    """

    __slots__ = ("digest", "dropins", "early", "links", "name", "needs", "record", "units")

    def __init__(self, name: str) -> None:
        self.name = name
        self.record = ""
        self.needs: list[str] = []
        self.digest = ""
        self.units: dict[str, str] = {}
        self.dropins: dict[str, dict[str, str]] = {}
        self.early: dict[str, str] = {}
        self.links: dict[str, str] = {}

    def add_dropin(self, unit: str, name: str, text: str) -> None:
        """name: the drop-in's, without the directory."""
        self.dropins.setdefault(name, {})[unit] = text

    def seal(self) -> None:
        """Set the digest: remainders of some of the texts at a time as one number. Nothing need be imported for it."""
        texts = [self.record]
        for named in (self.units, self.early, *self.dropins.values()):
            texts += named
            texts += named.values()
        texts += self.dropins
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
