"""A channel subsystem: it runs channel programs against a control unit over an ESCON link.

channel.py   what a channel does with CCWs: chaining, status modifier, residual, wrong length. No input or output
storage.py   the main storage that CCWs and their data live in
program.py   lays a channel program out in storage
link_end.py  the link level of a channel: sequences, recovery, unsolicited status
link.py      its exchanges, as scripts of frames. No input or output
session.py   one link over TCP (trio); runs one program at a time
orders.py    channel programs for PPRC orders, queries, records and tracks
script.py    a host session as a text, one command a line: its parser
runner.py    runs the steps of a script and reports them
sense_text.py  sense bytes as a line for people

Nothing here imports controller: the channel side is written apart, so that it does not share the controller's mistakes.
"""
