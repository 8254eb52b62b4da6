"""Prints for each ADDRESS@PORT what is heard there: a word, or `closed`."""

import socket
import sys
import threading

told = {}


def look(target):
    address, port = target.rsplit("@", 1)
    try:
        with socket.create_connection((address, int(port)), 5) as there:
            there.settimeout(5)
            told[target] = there.recv(10).decode().strip() or "nothing"
    except OSError:
        told[target] = "closed"


threads = [threading.Thread(target=look, args=[target]) for target in sys.argv[1:]]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for target in sys.argv[1:]:
    print(target, told[target])
