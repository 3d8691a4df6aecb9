"""What a person runs: the `trackbridge` command, one subcommand a module (cli.py lists them), and what they stand on.

host, replay, conform, demo, drill     drive a system: sessions, recordings, the suite; importing.py, recording.py,
                                       follower.py and deviations.py are behind a replay
volume, snap, array, import_cnf, cert  work on stores and files, or over HTTP (system_client.py)
path, pair, top                        operators' words (operator_words.py), and a look at what they do
frames, captures                       frames for people; files of them
simulate, bench, simulation/,          response times, and speeds
bridge_bench/
conformance/                           the suite's cases and how they are run
formats_, commands_, words_reference,  pages of docs/reference that are made by a program (generated.py)
diagrams
faults                                 what goes wrong in a simulated run, drawn from one seed
"""
