"""Serves a FUSE file system that is one empty directory: fuse.py POINT UID GID.

The messages are those of linux/fuse.h, version 7.31. Ends when it is unmounted.
"""

import ctypes
import os
import struct
import sys

INIT, GETATTR, STATFS, OPENDIR, READDIR, RELEASEDIR, LOOKUP = 26, 3, 17, 27, 28, 29, 1
FORGET, INTERRUPT, BATCH_FORGET, DESTROY = 2, 36, 42, 38
ENOENT, ENOSYS = 2, 38

point, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40700,user_id={uid},group_id={gid},allow_other"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"none", point.encode(), b"fuse", 0, options.encode()) != 0:
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")

attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40700, 2, uid, gid, 0, 4096, 0)
replies = {
    INIT: struct.pack("<4I2H2I2HI7I", 7, 31, 65536, 0, 0, 0, 65536, 1, 0, 0, *[0] * 8),
    GETATTR: struct.pack("<Q2I", 0, 0, 0) + attributes,
    STATFS: struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6),
    OPENDIR: struct.pack("<Q2I", 0, 0, 0),
    READDIR: b"",
    RELEASEDIR: b"",
}
while True:
    try:
        request = os.read(device, 1 << 20)
    except OSError:
        break
    _, call, unique = struct.unpack_from("<2IQ", request)
    if call in (FORGET, BATCH_FORGET, INTERRUPT):
        continue
    error = 0 if call in replies else -(ENOENT if call == LOOKUP else ENOSYS)
    answer = replies.get(call, b"")
    os.write(device, struct.pack("<IiQ", 16 + len(answer), error, unique) + answer)
    if call == DESTROY:
        break
