"""Looks, as root of this user namespace, into every process that it may see,
and prints what of their environment is called a secret."""

import os
import sys

print(os.getpid(), flush=True)
seen = set()
while True:
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environ:
                words = environ.read().split(b"\0")
        except OSError:
            continue
        for word in words:
            if b"_SECRET=" in word and word not in seen:
                seen.add(word)
                print(word.decode(), flush=True)
