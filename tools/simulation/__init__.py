"""The response-time experiment: what establishing pairs costs the hosts, with the patent's bridge and without.

Reading order: `parameters.toml` (every number and where it comes from), `arms.py` (what is compared), `hosts.py` (who
asks for what), `stations.py` and `system.py` (the storage systems, as queues), `copying.py` (how a volume is copied),
`run.py` (one run), `experiment.py` (which runs), `results.py` and `report.py` (what they say).
"""
