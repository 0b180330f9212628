"""Whole numbers in the files of users and datasets: in range, and in plain digits."""

from __future__ import annotations

import re

from dsa_app.errors import DatasetError
from dsa_app.wording import shortened, shown

DIGITS = re.compile(r"[+-]?[0-9]+")
# Of an identity or camera: exact in float64 too, and so small that the sums of joined datasets stay within int64.
GREATEST = 2**53 - 1


def whole(text: str, name: str, where: str, low: int = 0, high: int = GREATEST) -> int:
    """Return a number that a file gives as text.

    Args:
        name: what the number is, as in "pid".
        where: begins the error: the file, and the line.
        low, high: the range that is allowed, ends included.

    Raises:
        DatasetError: for another text than plain digits with or without a sign, or a number out of range.
    """
    text = text.strip()
    if not DIGITS.fullmatch(text):
        raise DatasetError(f"{where}: expected a whole number for {name}, found {shown(text)}.")
    digits = text.lstrip("+-0") or "0"
    # The length is compared first: Python refuses to convert thousands of digits.
    number = int(digits) * (-1 if text.startswith("-") else 1) if len(digits) <= len(str(high)) else None
    if number is None or not low <= number <= high:
        raise DatasetError(f"{where}: {name} is {shortened(text)}, expected {low} to {high}. Correct it there.")
    return number
