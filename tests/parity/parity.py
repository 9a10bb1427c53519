# SPDX-License-Identifier: MIT
"""What the stages of `make parity` share: the rows of the table, the real data, the tools.

	import parity
	parity.row('decode', 'JPEG', 'Pillow', cases, differences)                 # byte for byte
	parity.row('towers', 'features', 'open_clip', 12, 0, 3.1e-7, 1e-5)         # worst error, tolerance
	parity.row('repair', 'web captions', 'ftfy', 5000, 17, tolerance='published')
	parity.skip('decode', 'JPEG', 'Pillow', 'no data')"""
import importlib.util
import os
import subprocess
import sys

DATA = os.environ.get('DATA', '/nonexistent')
TOP = os.environ.get('TOP') or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, 'tests', 'reference'))


def row(stage, what, against, cases, differences, worst='-', tolerance='exact'):
    """cases: how many were compared; differences: how many of them lie beyond the tolerance."""
    worst = worst if isinstance(worst, str) else f'{worst:.2g}'
    tolerance = tolerance if isinstance(tolerance, str) else f'{tolerance:g}'
    print(stage, what, against, int(cases), int(differences), worst, tolerance, sep='\t', flush=True)


def skip(stage, what, against, reason):
    row(stage, f'{what} (skipped: {reason})', against, 0, 0)


def note(*words):
    """A line for the person who looks at a difference."""
    print('   ', *words, file=sys.stderr, flush=True)


def missing(*modules):
    """Why a comparison cannot be made: 'no PIL', or '' if all of these modules are installed."""
    gone = [m for m in modules if importlib.util.find_spec(m) is None]
    return 'no ' + ', '.join(gone) if gone else ''


def data(*path):
    """A path below the real data, or None where it is not there."""
    path = os.path.join(DATA, *path)
    return path if os.path.exists(path) else None


def run(*command, **kw):
    """A tool's stdout; CalledProcessError if it fails."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **kw).stdout
