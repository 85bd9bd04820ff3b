"""Starts the boot path: kubens-generator runs this with the library's directory as the first argument.

Finding and opening twenty small modules takes longer than all that they do. So `make install` compiles this file
together with them (generator/bundle.py): those that every run needs, and those that a run needs when something is
configured. Where that was not done, or for another interpreter, the modules are imported as usual.
"""

import marshal
import sys
from _frozen_importlib import ModuleSpec

# bundle.py puts here: modules as (name, code), the file that holds the later ones, and their names.
FIRST, LATER, NAMES = (), "", ()


class Bundle:
    """An importer (importlib.abc.MetaPathFinder, Loader) of the later modules, all at once."""

    names = NAMES

    def find_spec(self, name, path=None, target=None):
        if name not in self.names:
            return None
        self.names = ()
        with open(f"{sys.path[0]}/{LATER}", "rb", 0) as file:
            run(marshal.loads(file.read()))
        return ModuleSpec(name, self)

    def create_module(self, spec):
        return sys.modules[spec.name]

    def exec_module(self, module):
        """It has run already."""


def run(modules):
    """Run modules in an order in which each finds what it imports."""
    for name, body in modules:
        module = sys.modules[name] = type(sys)(name)
        package, _, attribute = name.rpartition(".")
        if package:
            setattr(sys.modules[package], attribute, module)
        else:
            module.__path__ = [f"{sys.path[0]}/{name}"]
        exec(body, module.__dict__)


sys.path.insert(0, sys.argv.pop(1))
if FIRST:
    run(FIRST)
    sys.meta_path.insert(0, Bundle())

from kubens.boot import main  # noqa: E402

main()
