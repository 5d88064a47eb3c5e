"""Functions that something else than a request or an orchestration starts: timers, queues and blobs.

Start reading at :mod:`taskhub.host.triggers.listeners`, which runs all of them. Decisions are in modules without I/O:
``schedules``, ``timer_status``, ``queue_texts``, ``blob_paths``, ``expressions``.
"""
