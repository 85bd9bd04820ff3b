"""Starts the boot path: kubens-generator runs this file with the library's directory as its first argument.

Finding and opening twenty small modules takes longer than all that they do. So `make install` puts the code of all of
them into one file beside them (generator/bundle.py): those that every run needs, and those that a run needs when
something is configured. An interpreter for which there is no such file imports the modules as usual.
"""

import marshal
import sys
from _frozen_importlib import ModuleSpec

library = sys.argv.pop(1)
sys.path.insert(0, library)


class Bundle:
    """Modules in an order in which each finds what it imports; an importer (importlib.abc) of the later ones."""

    def __init__(self, path):
        try:
            with open(path, "rb") as bundle:
                first, self.later, self.names = marshal.load(bundle)
        except (OSError, EOFError, ValueError, TypeError):
            self.names = ()
        else:
            self.run(first)

    def run(self, code):
        for name, body in marshal.loads(code):
            module = sys.modules[name] = type(sys)(name)
            package, _, attribute = name.rpartition(".")
            if package:
                setattr(sys.modules[package], attribute, module)
            else:
                module.__path__ = [f"{library}/{name}"]
            exec(body, module.__dict__)

    def find_spec(self, name, path=None, target=None):
        if name not in self.names:
            return None
        self.names = ()
        self.run(self.later)
        return ModuleSpec(name, self)

    def create_module(self, spec):
        return sys.modules[spec.name]

    def exec_module(self, module):
        """It has run already."""


sys.meta_path.insert(0, Bundle(f"{library}/boot.{sys.implementation.cache_tag}"))

from kubens.boot import main  # noqa: E402

main()
