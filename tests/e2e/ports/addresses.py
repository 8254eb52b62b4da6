# Clients with addresses of their own, in a network namespace of the test's own
# (its loopback has them), and what the services take them for.
import socket
import subprocess
import sys

launcher, services = sys.argv[1:]
addresses = ["192.0.2.1", "192.0.2.7", "2001:db8::1", "2001:db8::7"]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address in addresses:
    subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True)

published = []
for host in ["0.0.0.0", "[::]"]:
    published += ["-p", host + ":7006:7006", "-p", host + ":7007:7007/udp"]
container = subprocess.Popen(
    [launcher, "run", "--network", "loopback", *published, "host"]
    + ["python3", "-c", open(services).read(), "::"],
    stdout=subprocess.PIPE)
container.stdout.readline()


def ask(kind, client, host, port):
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    with socket.socket(family, kind) as conversation:
        conversation.settimeout(60)
        conversation.bind((client, 0))
        # To a socket that is connected nothing comes from another address.
        conversation.connect((host, port))
        own = conversation.getsockname()[1]
        for _ in range(2 if kind == socket.SOCK_DGRAM else 1):
            if kind == socket.SOCK_DGRAM:
                conversation.send(b"x")
            seen, port = conversation.recv(100).decode().split()[:2]
        same = "port kept" if int(port) == own else "another port"
        print(client, "is", seen.removeprefix("::ffff:"), same, flush=True)


for client, host in [addresses[1::-1], addresses[:1:-1]]:
    ask(socket.SOCK_STREAM, client, host, 7006)
    ask(socket.SOCK_DGRAM, client, host, 7007)
ask(socket.SOCK_STREAM, "127.0.0.1", "127.0.0.1", 7006)
container.terminate()
container.wait()
