"""Volumes that a running system was given: they are in its store, not in its configuration, and come back with it.

Created, imported or cloned by an operator, such a volume is served from then on, after a restart too, until it is
deleted. Its attributes in the store say so (array/volumes.py). A configuration that lists it has the last word.
"""

from controller.array.store import VirtualArrayStore
from controller.array.volumes import ADDED, READ_ONLY, UNIT_ADDRESS, host_volumes
from controller.config import ConfigError, SystemConfig, VolumeConfig

UNIT_ADDRESSES = 256


def added_volumes(store: VirtualArrayStore, config: SystemConfig) -> tuple[VolumeConfig, ...]:
    """What is to be served besides the configured volumes, by device number.

    Each has the unit address that it had; where a configured volume or its alias has taken that, the lowest free one.
    Raises ConfigError when there is none.
    """
    listed = {volume.number for volume in config.volumes}
    taken = {address for volume in config.volumes for address in (volume.address, *volume.aliases)}
    found = []
    for info in host_volumes(store):
        attributes = store.attributes(info.number)
        if not attributes.get(ADDED) or info.number in listed:
            continue
        choices = (attributes.get(UNIT_ADDRESS, info.number & 0xFF), *range(UNIT_ADDRESSES))
        address = next((choice for choice in choices if choice not in taken), None)
        if address is None:
            raise ConfigError(f"volume {info.number:04X}, added to the running system: no unit address is left for it")
        taken.add(address)
        found.append(
            VolumeConfig(
                address,
                f"{info.geometry.device_type:04X}",
                info.geometry.cylinders,
                read_only=bool(attributes.get(READ_ONLY)),
                device_number=info.number,
            )
        )
    return tuple(found)
