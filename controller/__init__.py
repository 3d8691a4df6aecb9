"""A storage system. Pure state, but for links/, the disks of array/, and what reads the settings and wires it all up.

channel/, commands/   one link in both roles; channel programs against tracks
remote_copy/          paths, pairs, bridges, queue, status
array/, models/       where tracks are kept; what hardware of the period would have taken
sharing/              the shared-device protocol of emulated mainframes
subsystem.py          the one object that links talk to; box.py, hardening.py, state_changes.py are parts of it
links/                the shell: sockets, threads, timers, HTTP
config.py, app.py     settings; wiring
"""
