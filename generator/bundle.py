"""Puts the modules of the boot path into one file, for start.py: bundle.py INSTALLED-LIBRARY FINAL-PATH."""

import marshal
import os
import sys

library, final = sys.argv[1:]
modules = {}
for file in sorted(os.listdir(f"{library}/kubens")):
    name, suffix = os.path.splitext(file)
    if suffix != ".py":
        continue
    with open(f"{library}/kubens/{file}", encoding="utf-8") as source:
        # Optimised as by -OO: docstrings are for people.
        code = compile(source.read(), f"{final}/kubens/{file}", "exec", optimize=2, dont_inherit=True)
    modules["kubens" if name == "__init__" else f"kubens.{name}"] = marshal.dumps(code)
with open(f"{library}/boot.{sys.implementation.cache_tag}", "wb") as bundle:
    marshal.dump(modules, bundle)
