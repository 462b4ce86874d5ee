"""Finds the twin, behind the files of this folder."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
VECTORS = os.path.join(ROOT, "tests", "vectors")
sys.path[:0] = [HERE]
sys.path.append(os.path.join(ROOT, "tests", "twin"))
