"""Runs the programs of the README that need nothing but the package, as one program."""

import re
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    programs = re.findall(r"```python\n(.*?)```", file.read(), re.DOTALL)
if len(programs) < 4:
    sys.exit("the README has lost its programs")
names = {}
for program in programs:
    if "import numpy" not in program:
        exec(compile(program, sys.argv[1], "exec"), names)
