"""Physical volumes: a volume whose tracks lie in a plain CKD image file, written in place.

`ImageFile` (image_file.py) is the file; `InPlaceVolume` (volume.py) ties it to a volume of the store and says what must
hold; image_stub.py is what the log keeps of a track that lies in a file.
"""

from controller.array.image_stub import ImageFileError, is_shadow, shadow_of
from controller.array.in_place.image_file import ImageFile
from controller.array.in_place.volume import Destage, InPlaceVolume, physical_volumes

__all__ = ["Destage", "ImageFile", "ImageFileError", "InPlaceVolume", "is_shadow", "physical_volumes", "shadow_of"]
