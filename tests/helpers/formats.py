"""The vectors of every format by its name in ccw/formats.py, and which lengths a format may have."""

from collections.abc import Callable

from tests.helpers.vectors import Vector, load_vectors

# What pprc.toml calls the formats whose golden vectors it has.
_GOLDEN = {
    "D0": "establish path",
    "D2": "establish pair",
    "D7": "update secondary device status",
    "track header": "bridge header",
    "status packet": "status packet",
    "order 18": "prepare for read subsystem data",
    "extended query": "extended query",
}
# Formats with more than one right length; all others have one, given their content.
SHORTER_FORMS: dict[str, Callable[[int], bool]] = {
    "data frame": lambda length: length >= 5,
    "status frame": lambda length: 13 <= length <= 44,
    "diagnostic control": lambda length: length >= 4,
    "path request": lambda length: length in (4, 44),
    "storage path status": lambda length: length in (16, 24),
    "subsystem status": lambda length: length in (40, 44),
    "sense ID": lambda length: length == 7 or (length >= 8 and length % 4 == 0),
    "node records": lambda length: length > 0 and length % 32 == 0,
}


def vectors_by_format() -> dict[str, list[Vector]]:
    """Every vector of formats.toml, images.toml and pprc.toml under the name of its format."""
    found: dict[str, list[Vector]] = {}
    for vector in (*load_vectors("formats"), *load_vectors("images")):
        found.setdefault(vector.kind, []).append(vector)
    for vector in load_vectors("pprc"):
        found.setdefault(_GOLDEN[vector.kind], []).append(vector)
    return found
