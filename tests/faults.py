#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Faults put into whole rings (train.sh with its six tools on a tiny model), and what must come of them:

harmless  a tool stopped and continued, a slow disk, a slow reader, short and interrupted calls, no room in tmpfs, a second
          ring that is refused: status 0, and every byte of the last checkpoint and of the log as undisturbed
fatal     a tool killed, a call that fails, a disk that is full, a broken FIFO: the ring ends, says which tool was at fault,
          leaves no process and no shared memory; run again, it ends with the bytes of an undisturbed run
data      a shard removed, cut or rewritten while it is read: training goes on and says so, or stops where --strict is
          given; every sample is accounted for; with the shard as it was, a stopped run goes on to the same bytes

A fault is a function of (--seed, its number): --from 17 --faults 1 -v repeats number 17. It is placed by the n-th call of a
tool (tests/faultlib.c), not by time. Prints a table; status 1 if one was not borne as it must be."""
import argparse
import concurrent.futures
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
TOOLS = ["dc-decode", "dc-augment", "dc-tokenize", "dc-encode", "dc-loss", "dc-step"]
STEPS, SAVE = 16, 4
LAST = "step-%08d" % STEPS
ARCH = """{"embed_dim": 8, "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
 "text_cfg": {"context_length": 12, "vocab_size": 560, "width": 16, "heads": 2, "layers": 1}}"""


class Failed(Exception):
    pass


def want(cond, text):
    if not cond:
        raise Failed(text)


def slurp(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return ""


# --- what all runs begin with ---

def command(*argv, **how):
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)
    if p.returncode:
        raise SystemExit("faults.py: %s: status %d\n%s" % (" ".join(argv), p.returncode, p.stderr))
    return p.stdout


def make_shards(top):
    """Three shards of eight samples, each with 40 kB beside it, so that a shard is read in several pieces; in the second
    also an image cut short and a blank caption."""
    command("dc-scenes", "--out", top + "/scenes", "--train", "24", "--test", "1", "--zero-shot", "1", "--shard", "8", "--size", "20")
    os.mkdir(top + "/data")
    for i in range(3):
        with tarfile.open(top + "/scenes/train-%03d.tar" % i) as old, tarfile.open(top + "/data/%d.tar" % i, "w") as new:
            for m in old:
                data = old.extractfile(m).read()
                for name, body in [(m.name, data)] + ([(m.name[:-4] + ".pad", b"pad " * 10000)] if m.name.endswith(".jpg") else []):
                    t = tarfile.TarInfo(name)
                    t.size = len(body)
                    new.addfile(t, __import__("io").BytesIO(body))
                if i == 1 and m.name.endswith("8.jpg"):
                    for name, body in (("cut.jpg", data[:300]), ("cut.txt", b"cut"), ("blank.jpg", data), ("blank.txt", b" ")):
                        t = tarfile.TarInfo(name)
                        t.size = len(body)
                        new.addfile(t, __import__("io").BytesIO(body))


def prepare(top):
    with open(top + "/arch.json", "w") as f:
        f.write(ARCH)
    make_shards(top)
    with open(top + "/vocab.gz", "wb") as f:
        a = subprocess.Popen(["dc-decode", "--keep-encoded", "--captions", "all", "--tail", "short", top + "/data/0.tar"], stdout=subprocess.PIPE)
        subprocess.run(["dc-vocab", "--merges", "40", "--out", top + "/vocab.gz"], stdin=a.stdout, check=True)
        a.wait()
    command("dc-init", "--arch", top + "/arch.json", "--vocab", top + "/vocab.gz", "--queue", "20", "--nns-after", "8", "--simsiam-width", "16",
            "--simsiam-hidden", "8", "--out", top + "/first")


class Place:
    """A directory in which one run happens: its run directory, shards, tmpfs, scratch."""

    def __init__(self, base, name, first=None):
        self.dir, self.base = os.path.join(base, name), base
        os.makedirs(self.dir)
        for d in "shm", "tmp":
            os.mkdir(self.at(d))
        shutil.copytree(first or base + "/first", self.at("run"), symlinks=True)
        shutil.copytree(base + "/data", self.at("data"))
        self.mounts = []

    def at(self, *names):
        return os.path.join(self.dir, *names)

    def mount(self, name, kilobytes):
        """A small tmpfs over the directory; what is in it goes there."""
        keep = self.at(name + ".was")
        os.rename(self.at(name), keep)
        os.mkdir(self.at(name))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dk" % kilobytes, "none", self.at(name)], stderr=subprocess.DEVNULL).returncode:
            raise Failed("cannot mount")
        self.mounts.append(self.at(name))
        command("cp", "-a", keep + "/.", self.at(name))

    def gone(self):
        for m in self.mounts:
            subprocess.run(["umount", "-l", m])
        shutil.rmtree(self.dir, ignore_errors=True)

    def argv(self, *more):
        return [here + "/../pipelines/train.sh", "--run", self.at("run"), "--data", self.at("data/{0..2}.tar"), "--arch", self.base + "/arch.json",
                "--vocab", self.base + "/vocab.gz", "--batch", "4", "--queue", "20", "--nns-after", "8", "--shuffle", "8", "--threads", "1",
                "--warmup", "2", "--lr", "2e-3", "--steps", str(STEPS), "--save-every", str(SAVE), "--keep", "3", "--rejects",
                self.at("rejects.tsv"), "--override", "--verbose", *more]

    def env(self, fault=None):
        e = dict(os.environ, DC_SHM_DIR=self.at("shm"), TMPDIR=self.at("tmp"), OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive")
        if fault:
            e.update(fault, LD_PRELOAD=lib, DC_FAULT_FIRED=self.at("fired"))
        return e

    def train(self, fault=None, more=(), tag="1"):
        """Run it to its end: the status. Standard error in self.err, seconds in self.took."""
        began = time.monotonic()
        with open(self.at("err" + tag), "wb") as err:
            p = subprocess.Popen(["bash"] + self.argv(*more), env=self.env(fault), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                                 start_new_session=True, cwd=self.dir)
            try:
                status = p.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
        self.took = time.monotonic() - began
        self.err = slurp(self.at("err" + tag))
        left = self.processes(p.pid)
        while left and time.monotonic() - began < limit:
            time.sleep(0.02)
            left = self.processes(p.pid)
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
        p.wait()
        want(status is not None, "still running after %d s" % limit)
        wrong = re.search(r"^.*(ERROR: AddressSanitizer|runtime error:).*", self.err, re.M)
        want(not wrong, wrong and wrong.group())
        want(not left, "processes are left: %s" % left)
        return status

    @staticmethod
    def processes(session):
        out = subprocess.run(["ps", "-eo", "sid=,pid=,stat="], stdout=subprocess.PIPE, text=True).stdout
        return [f[1] for f in map(str.split, out.splitlines()) if f[0] == str(session) and f[2][0] != "Z"]

    def fired(self):
        return os.path.exists(self.at("fired"))

    def result(self):
        """All of the last checkpoint, the log but for times, and the rejects."""
        h, root = hashlib.sha256(), self.at("run", LAST)
        for d, subs, files in os.walk(root):
            subs.sort()
            for f in sorted(files):
                with open(os.path.join(d, f), "rb") as x:
                    h.update(os.path.relpath(os.path.join(d, f), root).encode() + b"\0" + x.read())
        rows = [r.split("\t")[:11] for r in slurp(self.at("run/log.tsv")).splitlines()]
        return {"checkpoint": h.hexdigest(), "log": rows, "rejects": sorted(set(slurp(self.at("rejects.tsv")).replace(self.dir, "").splitlines()))}

    def litter(self):
        return os.listdir(self.at("shm")) + os.listdir(self.at("tmp")) + [f for f in ("loop", "shm") if os.path.lexists(self.at("run", f))]


def same(place, what, but=()):
    got = place.result()
    for k in sorted(set(got) - set(but)):
        want(got[k] == whole[k], "%s: the %s differs from an undisturbed run's" % (what, k))


def resumed(place, but=()):
    """Run again, undisturbed: to the bytes of a run in one go."""
    status = place.train(tag="2")
    want(status == 0, "run again: status %s: %s" % (status, place.err[-300:]))
    same(place, "run again", but)


def blamed(place):
    m = re.search(r"^train\.sh: failed: (.*); run again", place.err, re.M)
    return m.group(1) if m else ""


# --- what must come of a fault ---

def is_harmless(place, status, f):
    want(status == 0, "status %s: %s" % (status, place.err[-300:]))
    same(place, "undisturbed")
    want(not place.litter(), "left behind: %s" % place.litter())


def is_fatal(place, status, f):
    want(status != 0, "status 0")
    want(f.tool in blamed(place) if f.tool else blamed(place), "wanted %s at fault: %s" % (f.tool or "a tool", place.err[-400:]))
    want(not place.litter(), "left behind: %s" % place.litter())
    if f.after:
        f.after(place)
    resumed(place, ("rejects",) if f.shard else ())   # a sample that was cut is named there, and rightly


def is_either(place, status, f):
    """The fault may have come too late to matter."""
    (is_harmless if status == 0 else is_fatal)(place, status, f)


def accounted(place):
    m = re.search(r"^dc-decode: (\d+) in = (\d+) out \+ (\d+) rejected(?: \(.*\))? \+ (\d+) skipped \+ (\d+) dropped \+ (\d+) unused", place.err, re.M)
    want(m, "dc-decode gave no account: %s" % place.err[-300:])
    n = [int(x) for x in m.groups()]
    want(n[0] == sum(n[1:]), "the account does not close: %s" % m.group(0))


def is_data(place, status, f):
    told = re.search(r"%s: (damaged|No such|cannot)" % re.escape(place.at("data", f.shard)), place.err) if f.shard else "damaged" in place.err
    if not told:
        is_harmless(place, status, f)
        return
    if f.strict:
        is_fatal(place, status, f)
        return
    want(status == 0, "damage, not strict: status %s: %s" % (status, place.err[-300:]))
    accounted(place)
    rows = slurp(place.at("run/log.tsv")).splitlines()
    want(len(rows) == STEPS + 1, "%d rows in the log" % len(rows))
    if f.after:
        f.after(place)
    status = place.train(tag="2")
    want(status == 0 and "finished" in place.err, "run again: status %s: %s" % (status, place.err[-300:]))


# --- the faults ---

class Fault:
    def __init__(self, tool, calls, action, outcome, times=1, before=None, after=None, run=None, shard=None, strict=False, at=None, more=()):
        self.tool, self.calls, self.action, self.outcome, self.times = tool, calls, action, outcome, times
        self.before, self.after, self.run, self.shard, self.strict, self.at, self.more = before, after, run, shard, strict, at, more

    def env(self, n, place):
        e = {"DC_FAULT_TOOL": self.where, "DC_FAULT_CALLS": self.calls, "DC_FAULT_ACTION": self.action, "DC_FAULT_AT": str(n),
             "DC_FAULT_TIMES": str(self.times)}
        if self.run:
            e["DC_FAULT_RUN"] = self.run(place)
        return e

    where = None


def in_tool(tool, calls, action, outcome, **how):
    f = Fault(tool, calls, action, outcome, **how)
    f.where = tool
    return f


def killed(name):
    return lambda g: in_tool(g.choice(TOOLS), "any", name, is_fatal)


def failing(calls, errors, tools):
    def make(g):
        return in_tool(g.choice(tools), calls, "errno:" + g.choice(errors), is_either)
    return make


def second_ring(g):
    def run(place):
        return "export DC_ARCH_DIR='%s' DC_SHM_DIR='%s' TMPDIR='%s' OMP_NUM_THREADS=1; bash %s >'%s' 2>&1; echo $? >'%s'" % (
            os.environ["DC_ARCH_DIR"], place.at("shm"), place.at("tmp"), " ".join("'%s'" % a for a in place.argv()), place.at("second"),
            place.at("second.status"))

    def outcome(place, status, f):
        want(slurp(place.at("second.status")).strip() == "1" and "another ring is running" in slurp(place.at("second")),
             "the second ring: %s" % slurp(place.at("second"))[-300:])
        is_harmless(place, status, f)

    return in_tool(g.choice(TOOLS), "any", "run", outcome, run=run)


def fifo(g):
    how = g.choice(["rm -f '%s'", "rm -f '%s'; mkfifo '%s'", "rm -f '%s'; : >'%s'", "rm -f '%s'; mkdir '%s'", "rm -f '%s'; ln -s nowhere '%s'"])

    def after(place):
        path = place.at("run/loop")
        if os.path.isdir(path):
            os.rmdir(path)

    def outcome(place, status, f):
        path = place.at("run/loop")
        if os.path.isdir(path):
            os.rmdir(path)
        is_either(place, status, f)

    f = in_tool(g.choice(["dc-encode", "dc-step"]), "open", "run", outcome, run=lambda p: how.replace("%s", p.at("run/loop")), at=(1, 9))
    f.tool = None
    if "mkfifo" in how:   # with another FIFO in its place each may wait at one of them, and only --stall can tell
        f.more = ("--stall", "3", "--stall-exit")
    return f


def disk_full(g):
    def before(place):
        place.mount("run", 2000)

    def after(place):
        os.remove(place.at("run/ballast"))

    return in_tool("dc-step", "wfile", "run", is_either, before=before, after=after,
                   run=lambda p: "dd if=/dev/zero of='%s' bs=4k 2>/dev/null" % p.at("run/ballast"))


def tmpfs_full(g):
    def outcome(place, status, f):
        # what fills it is another's file
        (os.remove(place.at("shm/ballast")) if os.path.exists(place.at("shm/ballast")) else None)
        is_either(place, status, f)

    return in_tool("dc-step", "open,fallocate", "run", outcome, at=(1, 12), before=lambda p: p.mount("shm", 600),
                   run=lambda p: "dd if=/dev/zero of='%s' bs=4k 2>/dev/null" % p.at("shm/ballast"))


def no_tmpfs(g):
    def before(place):
        place.mount("shm", 4)

    f = in_tool("dc-step", "any", "delay:0", is_harmless, before=before)
    return f


def shard(how):
    def make(g):
        name, strict = "%d.tar" % g.randrange(3), g.random() < 0.5

        def after(place):
            if os.path.isdir(place.at("data", name)):
                os.rmdir(place.at("data", name))
            shutil.copyfile(place.base + "/data/" + name, place.at("data", name))

        return in_tool("dc-decode", "read,open", "run", is_data, shard=name, strict=strict, after=after, more=("--strict",) if strict else (),
                       run=lambda p: how.replace("FILE", "'" + p.at("data", name) + "'").replace("HALF", str(g_half(g, p, name))))
    return make


def g_half(g, place, name):
    return g.randrange(os.path.getsize(place.base + "/data/" + name))


def read_error(g):
    strict = g.random() < 0.5
    return in_tool("dc-decode", "read", "errno:EIO", is_data, strict=strict, more=("--strict",) if strict else ())


ONWARD = 1 << 30
KINDS = [  # class, what it is, how often among all, how it is made
    ("harmless", "SIGSTOP, SIGCONT", 8, lambda g: in_tool(g.choice(TOOLS), "any", "stop", is_harmless)),
    ("harmless", "slow disk", 4, lambda g: in_tool("dc-step", "wfile,fsync,rename", "delay:5", is_harmless, times=g.randrange(20, 80))),
    ("harmless", "stalled reader", 5, lambda g: in_tool(g.choice(TOOLS), "read", "delay:200", is_harmless)),
    ("harmless", "stalled writer", 3, lambda g: in_tool(g.choice(TOOLS), "wpipe", "delay:200", is_harmless)),
    ("harmless", "short reads, writes", 6, lambda g: in_tool(g.choice(TOOLS), "read,write", "short", is_harmless, times=g.choice([1, 10, 300]))),
    ("harmless", "interrupted calls", 5, lambda g: in_tool(g.choice(TOOLS), g.choice(["read", "write", "poll"]), "errno:EINTR", is_harmless,
                                                           times=g.choice([1, 5, 50]))),
    ("harmless", "no room in tmpfs", 1, no_tmpfs),
    ("harmless", "a second ring", 2, second_ring),
    ("fatal", "SIGKILL", 16, killed("kill")),
    ("fatal", "SIGSEGV", 8, killed("segv")),
    ("fatal", "write to a file fails", 8, failing("wfile", ["ENOSPC", "EIO"], ["dc-step"])),
    ("fatal", "write to a pipe fails", 4, failing("wpipe", ["EIO"], TOOLS)),
    ("fatal", "read fails", 4, failing("read", ["EIO"], TOOLS[1:])),
    ("fatal", "fsync fails", 4, failing("fsync", ["EIO", "ENOSPC"], ["dc-step"])),
    ("fatal", "rename fails", 4, failing("rename", ["EIO", "ENOSPC"], ["dc-step"])),
    ("fatal", "mmap fails", 3, failing("mmap", ["ENOMEM"], ["dc-augment", "dc-encode", "dc-step"])),
    ("fatal", "posix_fallocate fails", 3, failing("fallocate", ["ENOSPC", "EIO"], ["dc-step"])),
    ("fatal", "open fails", 4, failing("open", ["EMFILE", "EIO"], ["dc-augment", "dc-encode", "dc-step"])),
    ("fatal", "poll fails", 1, failing("poll", ["ENOMEM"], TOOLS[1:])),
    ("fatal", "disk full", 4, disk_full),
    ("fatal", "tmpfs fills up", 2, tmpfs_full),
    ("fatal", "FIFO broken", 3, fifo),
    ("data", "shard removed", 3, shard("rm FILE")),
    ("data", "shard cut in place", 3, shard("truncate -s HALF FILE")),
    ("data", "shard cut, renamed over", 2, shard("head -c HALF FILE >FILE.new; mv FILE.new FILE")),
    ("data", "shard overwritten", 3, shard("dd if=/dev/urandom of=FILE bs=1k seek=$((HALF / 1024)) count=64 conv=notrunc 2>/dev/null")),
    ("data", "shard unreadable", 2, shard("rm FILE; mkdir FILE")),
    ("data", "read error of a shard", 2, read_error),
]


def order():
    """Kinds in turn, so that any stretch of numbers has some of each."""
    slots = sorted(((i + 0.5) / k[2], k) for k in KINDS for i in range(k[2]))
    return [k for _, k in sorted(slots, key=lambda x: x[0])]


def draw(g, f):
    lo, hi = f.at or (1, None)
    most = hi or max(1, sum(counts.get((f.where, c), 0) for c in f.calls.replace("write", "wfile,wpipe").split(",")))
    return g.randint(1, min(4, most)) if g.random() < 0.2 else g.randint(lo, most)


def trial(i, kind):
    """(text of the fault, why it was not borne or None, seconds)"""
    g = random.Random("%s:%d" % (o.seed, i))
    f = kind[3](g)
    n = draw(g, f)
    place = None
    for attempt in range(8):
        place = Place(top, "%d.%d" % (i, attempt))
        text = "%s, %s call %d (%s): %s %s" % (f.where, f.calls, n, f.times, f.action, "strict" if f.strict else "")
        try:
            if f.before:
                f.before(place)
            fault = f.env(n, place)
            text += " " + fault.get("DC_FAULT_RUN", "")[:200]
            status = place.train(fault, f.more)
            took = place.took
            if not place.fired():   # the tool had fewer calls this time
                is_harmless(place, status, f)
                n = max(1, n // 2)
                place.gone()
                continue
            f.outcome(place, status, f)
            place.gone()
            return text, None, took
        except Failed as e:
            if str(e) == "cannot mount":
                place.gone()
                return text, "skip", 0
            return text, "%s [%s]" % (e, place.dir), place.took
    return text, "the fault never happened", 0


def main():
    global o, top, whole, counts, lib, limit
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--faults", type=int, default=100, metavar="N", help="how many [100]")
    a.add_argument("--from", dest="first", type=int, default=0, metavar="I", help="number of the first one [0]")
    a.add_argument("--seed", default="0", help="[0]")
    a.add_argument("--jobs", "-j", type=int, default=2, help="rings at once [2]")
    a.add_argument("--limit", type=float, default=10, metavar="S", help="a ring that lost a tool has ended after so long [10]")
    a.add_argument("--only", default="", metavar="WORD", help="only kinds with this word in their name")
    a.add_argument("--keep", action="store_true", help="keep the directory, with what was not borne")
    a.add_argument("-v", "--verbose", action="store_true", help="a line for each fault")
    o = a.parse_args()
    os.environ.setdefault("DC_BIN", os.path.abspath(here + "/../build"))
    os.environ.setdefault("DC_ARCH_DIR", os.path.abspath(here + "/../pipelines/arch"))
    os.environ["PATH"] = os.environ["DC_BIN"] + ":" + os.environ["PATH"]
    limit, lib = o.limit, os.path.join(os.environ["DC_BIN"], "faultlib.so")
    sanitizer = re.search(r"/\S*/libasan\S*", command("ldd", os.path.join(os.environ["DC_BIN"], "dc-step")))
    if sanitizer:   # it must come first; a SIGSEGV that we send shall be one
        lib = sanitizer.group() + ":" + lib
        os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "detect_leaks=0") + ":handle_segv=0"
    kinds = order()
    if o.only:
        kinds = [k for k in kinds if o.only in k[1]]
    top = tempfile.mkdtemp(prefix="faults-")
    prepare(top)
    place = Place(top, "whole")
    want(place.train({"DC_FAULT_COUNT": top + "/counts"}) == 0, place.err)
    whole = place.result()
    counts = {}
    for tool, call, n in map(str.split, slurp(top + "/counts").splitlines()):
        counts[tool, call] = max(int(n), counts.get((tool, call), 0))
    rows, bad = {k[:2]: [0, 0, 0, 0.0] for k in KINDS}, 0
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        todo = {pool.submit(trial, i, kinds[i % len(kinds)]): i for i in range(o.first, o.first + o.faults)}
        for t in concurrent.futures.as_completed(todo):
            i = todo[t]
            kind = kinds[i % len(kinds)]
            text, why, took = t.result()
            r = rows[kind[:2]]
            r[0] += why != "skip"
            r[1] += why is None
            r[2] += why == "skip"
            r[3] = max(r[3], took)
            if o.verbose or why not in (None, "skip"):
                print("# %d %s: %s%s" % (i, kind[1], text.strip(), "" if why is None else ": " + why), file=sys.stderr, flush=True)
            bad += why not in (None, "skip")
    print("%-10s %-26s %6s %6s %10s" % ("class", "fault", "count", "passed", "slowest, s"))
    for (c, name), (n, good, skipped, slow) in rows.items():
        if n or skipped:
            print("%-10s %-26s %6d %6d %10.1f%s" % (c, name, n, good, slow, "  (%d skipped: mount is not allowed)" % skipped if skipped else ""))
    print("%-10s %-26s %6d %6d %10.1f   in %.0f s" % ("all", "", sum(r[0] for r in rows.values()), sum(r[1] for r in rows.values()),
                                              max(r[3] for r in rows.values()), time.monotonic() - began))
    if bad and o.keep:
        print("what was not borne lies in %s" % top)
    else:
        shutil.rmtree(top, ignore_errors=True)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
