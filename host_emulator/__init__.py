"""A channel subsystem: it runs channel programs against a control unit over an ESCON link.

channel.py     what a channel does with CCWs: chaining, status modifier, residual, wrong length. No input or output
storage.py     the main storage that CCWs and their data live in; program.py lays a channel program out in it
orders.py      channel programs for PPRC orders, queries, records and tracks
link_end.py    the link level of a channel: sequences, recovery, unsolicited status; its settings: link_values.py
link.py        its exchanges, as scripts of frames, those of link control in link_requests.py. No input or output
session.py     one link over TCP (trio), runs one program at a time; wire.py: the stream under it
script.py      a host session as a text, one command a line: its parser; runner.py runs its steps and reports them
console.py     the lines of the prompt; program_text.py: channel programs by mnemonic (mnemonics.py), with their
               parameters (parameters.py) and data (data_text.py)
words/         operators' words for remote copy, as TSO and DSCLI spell them
sense_text.py, track_text.py, vtoc.py   sense bytes, tracks and the contents of a volume for people
shared_client.py   a client of the shared-device protocol

Nothing here imports controller: the channel side is written apart, so that it does not share the controller's mistakes.
"""
