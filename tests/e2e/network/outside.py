"""Serves on this machine's addresses while a command runs: ADDRESS@PORT... -- COMMAND.

Who connects is told `open`. On 127.0.0.1 names are answered for: all of them
are 192.0.2.77.
"""

import socket
import subprocess
import sys
import threading


def serve(target):
    address, port = target.rsplit("@", 1)
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, int(port)))
    server.listen(50)
    while True:
        client, _ = server.accept()
        with client:
            client.sendall(b"open\n")


def answer_names(server):
    while True:
        query, peer = server.recvfrom(512)
        question = query[12 : query.index(b"\0", 12) + 5]
        is_ipv4 = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + bytes([192, 0, 2, 77]) if is_ipv4 else b""
        head = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_ipv4 else b"\0\0") + b"\0\0\0\0"
        server.sendto(head + question + answer, peer)


names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind(("127.0.0.1", 53))
threading.Thread(target=answer_names, args=[names], daemon=True).start()
fence = sys.argv.index("--")
for target in sys.argv[1:fence]:
    threading.Thread(target=serve, args=[target], daemon=True).start()
sys.exit(subprocess.run(sys.argv[fence + 1 :]).returncode)
