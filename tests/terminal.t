#!/bin/sh
# SPDX-License-Identifier: MIT
# On a terminal: progress is drawn there, the stream is not written there. And encoded images on a sheet.
. "${0%/*}/lib.sh"
need_python
cat >on_tty.py <<'END'
"""on_tty.py err|out INPUT COMMAND...: run it with that descriptor on a terminal, and INPUT on standard input, whose last bytes come
a while after the others were taken. What the terminal got is printed; the status is the command's."""
import array, fcntl, os, pty, subprocess, sys, termios, threading, time
which, data, argv = sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3:]
master, slave = pty.openpty()
with open("file", "wb") as f:
    p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=f if which == "err" else slave, stderr=slave if which == "err" else None)
os.close(slave)

def feed():
    try:
        p.stdin.write(data[:-9])
        p.stdin.flush()
        left = array.array("i", [1])
        while left[0] and p.poll() is None:
            time.sleep(0.01)
            fcntl.ioctl(p.stdin, termios.FIONREAD, left)
        time.sleep(0.4)
        p.stdin.write(data[-9:])
        p.stdin.close()
    except BrokenPipeError:
        pass
threading.Thread(target=feed, daemon=True).start()
got = b""
try:
    while True:
        part = os.read(master, 4096)
        if not part:
            break
        got += part
except OSError:     # all have closed it
    pass
sys.stdout.buffer.write(got.replace(b"\r", b"\n"))
sys.exit(p.wait())
END
dc-scenes --out . --train 20 --test 1 --zero-shot 0 --size 32 >out 2>err || exit 99
dc-decode --tail short --batch 10 train-000.tar >all.dcs || exit 99
# without the end frame: what comes late is then the end of the second batch
"$PYTHON" - all.dcs <<'END'
import msgpack, sys
data, at = open(sys.argv[1], "rb").read(), 0
for k in range(2):
    head = msgpack.Unpacker(max_buffer_size=0)
    head.feed(data[at:at + 4096])
    at += head.unpack()[3] + head.tell() + 9
open("two.dcs", "wb").write(data[:at])
END
tty() { "$PYTHON" on_tty.py "$@"; }
run 3 'progress' tty err two.dcs dc-augment --recipe eval --size 16
said '^.*dc-augment: [0-9]+ [a-z]+, [0-9.e+]+/s' 'is drawn on a terminal'
dc-augment --recipe eval --size 16 <all.dcs >want 2>err
"$PYTHON" on_tty.py err all.dcs dc-augment --recipe eval --size 16 >out
check 'and not into the stream' cmp file want
run 2 'a stream to a terminal' tty out all.dcs dc-augment --recipe eval --size 16
said '^dc-augment: <stdout> is a terminal; the stream is binary: send it to a pipe or a file' 'is refused'
[ ! -s out ] && ! grep -q dcs1 out; ok $? 'and nothing of it is written'
run 2 'dc-decode too' tty out all.dcs dc-decode --tail short train-000.tar
said 'is a terminal; the stream is binary' 'says so'

# --- encoded images ---
dc-decode --keep-encoded --tail short --batch 10 train-000.tar >encoded.dcs || exit 99
run 0 'a sheet of encoded images' dc-peek -q --sheet encoded.png encoded.dcs
dc-peek -q --sheet decoded.png all.dcs >all.again 2>err
check 'is the sheet of the decoded ones' cmp encoded.png decoded.png
"$PYTHON" - <<'END'
data = open("encoded.dcs", "rb").read()
at = data.index(b"\xff\xd8\xff")
open("bad.dcs", "wb").write(data[:at] + b"xx" + data[at + 2:])
END
run 1 'one whose bytes were changed' dc-peek -q --sheet bad.png bad.dcs
said 'checksum' 'is found before it is drawn'
run 1 'a sheet where nothing can be written' dc-peek -q --sheet /dev/full/a.png all.dcs
said '/dev/full/a.png' 'is named'
done_testing
