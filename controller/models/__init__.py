"""What the hardware of the period would have taken: processors, links, cache, disks, as plain arithmetic.

A model is a resource: given when work arrives (seconds, on any clock that does not run backward) and what it demands,
it says when the work starts and finishes. No clock, no events, no input or output, so the same objects serve a single
chain's predicted response time, the pacing of a live link, and a simulation by discrete events.
"""
