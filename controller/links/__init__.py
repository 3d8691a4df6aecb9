"""The shell: the only room of the controller that awaits. Sockets, the group commit, timers, nurseries.

`system.StorageSystem` owns everything of one box; `stream_link` runs one link over one stream; `committer` makes
batches durable; `ports` keeps listeners and connections. Rules live elsewhere.
"""
