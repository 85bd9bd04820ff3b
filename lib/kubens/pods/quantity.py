"""Resource quantities: `250m`, `64Mi`, `1.5G`, `2e3`, exactly.

Numbers are read digit by digit and kept as whole thousandths: a float would round a limit.
"""

from __future__ import annotations

from kubens.pods.errors import PodError

MAX = 2**63 - 1
ID_MAX = 2**32 - 2
"""Largest user or group id; the next one means «none» to the kernel."""

_DIGITS = frozenset("0123456789")
_TEXT_MAX = 64
_DECIMAL = {"m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
# Beyond these powers of ten every number of _TEXT_MAX digits is more than MAX or less than a thousandth.
_EXPONENT_MAX = 100


class Quantity:
    """A quantity that is not negative.

    milli is its value in thousandths, rounded up; the value itself is never more than MAX.
    """

    __slots__ = ("milli", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.milli = _parse_milli(text)

    def __repr__(self) -> str:
        return f"Quantity({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.milli == other.milli

    def __hash__(self) -> int:
        return hash(self.milli)

    @property
    def value(self) -> int:
        """The quantity as a whole number, rounded up."""
        return _divide_up(self.milli, 1000)


def _parse_milli(text: str) -> int:
    if len(text) > _TEXT_MAX:
        raise PodError(f"a quantity of {len(text)} characters is no quantity")
    number = text.removeprefix("+")
    length = 0
    while length < len(number) and (number[length] in _DIGITS or number[length] == "."):
        length += 1
    whole, _, fraction = number[:length].partition(".")
    if not whole + fraction or "." in fraction:
        raise PodError(f"{text!r} is not a quantity such as 500m, 2, 1.5G or 64Mi, zero or more")
    power10, power2 = _scale(number[length:], text)
    power10 += 3 - len(fraction)
    milli = int(whole + fraction) << power2
    if power10 >= 0:
        milli *= 10**power10
    else:
        milli = _divide_up(milli, 10**-power10)
    return min(milli, MAX * 1000)


def _scale(suffix: str, text: str) -> tuple[int, int]:
    """The powers of ten and of two that suffix stands for."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], 0
    if suffix in _BINARY:
        return 0, _BINARY[suffix]
    sign, digits = (suffix[1:2], suffix[2:]) if suffix[1:2] in ("+", "-") else ("", suffix[1:])
    if suffix[0] not in "eE" or not digits or not _DIGITS.issuperset(digits):
        raise PodError(f"{text!r} does not end in one of m k M G T P E Ki Mi Gi Ti Pi Ei or an exponent")
    exponent = min(int(digits), _EXPONENT_MAX)
    return (-exponent if sign == "-" else exponent), 0


def _divide_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
