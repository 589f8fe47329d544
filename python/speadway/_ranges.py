"""Lists of numbers, as command lines give them."""


def parse_range_list(ranges: str | None) -> list[int]:
    """The numbers of a list of numbers and ranges: `"2,4-6"` is `[2, 4, 5, 6]`.

    Raises `ValueError` if a part is neither a number nor a range of numbers.
    """
    if not ranges:
        return []
    numbers: list[int] = []
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        numbers.extend(range(int(first), int(last if dash else first) + 1))
    return numbers
