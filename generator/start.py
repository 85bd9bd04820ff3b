"""Starts the boot path: kubens-generator runs this file with the library's directory as its first argument.

Finding and opening twenty small modules takes longer than all that they do. So `make install` puts the code of all of
them into one file beside them (generator/bundle.py), of which a module is taken when it is imported. An interpreter
for which there is no such file imports the modules as usual.
"""

import marshal
import sys
from _frozen_importlib import ModuleSpec

library = sys.argv.pop(1)
sys.path.insert(0, library)


class Bundle:
    """An importer (importlib.abc.MetaPathFinder, Loader) of the modules in the file."""

    def __init__(self, path):
        try:
            with open(path, "rb") as bundle:
                self.modules = marshal.loads(bundle.read())
        except (OSError, EOFError, ValueError, TypeError):
            self.modules = {}

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self, is_package=name == "kubens") if name in self.modules else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(marshal.loads(self.modules[module.__name__]), module.__dict__)


sys.meta_path.insert(0, Bundle(f"{library}/boot.{sys.implementation.cache_tag}"))

from kubens.boot import main

main()
