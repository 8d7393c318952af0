"""From a camera's stream or a video file to pictures. FFmpeg decodes in a child process: its death, or its hang, is a
reason and never ours, and its licence stays with that process (extra `catseye[video]`).

- `stream.follow` gives the pictures of a source, and opens a stream anew for as long as somebody wants it
- `feed.Feed` is one opening of it: starts the child, watches it, hands on pictures in shared memory
- `decoder` is the child; the only module that imports PyAV
- `damage`, `times`, `messages`, `faults` decide; they do no I/O
"""
