"""Volumes as image files: opened whatever their form, imported into a store, exported from it.

`open_image` (opening.py) gives an `ImageSource` (source.py) over plain.py or compressed.py; plain_writer.py and
compressed_writer.py make files; transfer.py moves whole volumes between files and a store. The bytes themselves are
defined in ccw/image_files.py and ccw/image_tracks.py. Memory does not grow with a volume, but for 16 bytes for each
stored track while a compressed file is checked.
"""

from controller.array.images.errors import ImageError
from controller.array.images.opening import open_image, shadow_files, shadow_files_made
from controller.array.images.source import ImageSource
from controller.array.images.stream import PlainStream, plain_length, plain_pieces
from controller.array.images.transfer import (
    ExportForm,
    ImageReport,
    export_volume,
    import_image,
    import_steps,
    stored_tracks,
    write_image,
)

__all__ = [
    "ExportForm",
    "ImageError",
    "ImageReport",
    "ImageSource",
    "PlainStream",
    "export_volume",
    "import_image",
    "import_steps",
    "open_image",
    "plain_length",
    "plain_pieces",
    "shadow_files",
    "shadow_files_made",
    "stored_tracks",
    "write_image",
]
