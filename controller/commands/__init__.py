"""Runs the commands of a channel program against tracks: one module per command family, pure state.

`outcome` holds what goes in and comes out, `device` the one object the subsystem talks to (state that outlives a chain:
reservation, path groups, sense), `chain` and `domain` the state of one chain, `orientation` where the access stands,
`table` the commands by code with their rules. Only `device.Device.execute` catches `UnitCheck`.
"""
