"""`trackbridge bench bridge`: two storage systems as processes, a wide-area link between them, and what it carries.

sites      their configurations, their start, the operator's orders
load       hosts that read and write, and how long each channel program took
ceilings   what the same machine does without us: a loopback copy, a durable write
measure    one function for each figure
"""
