"""Starts the boot path, for kubens-generator.

Finding and opening twenty small modules takes longer than all that they do. So `make install` compiles this file
together with them (generator/bundle.py): those that every run needs, and those that a run needs when something is
configured. Where that was not done, or for another interpreter, the modules are imported as usual.
"""

import marshal
import posix
import sys

# bundle.py puts here: modules as (name, code), and for each later one the file that holds its group, with its size.
FIRST = ()
LATER = ()


def load_later(package):
    """A package's __getattr__ (PEP 562), asked by `from PACKAGE import NAME`: load all modules of a group at once."""

    def load(name):
        groups = [group for later, group in LATER if later == f"{package.__name__}.{name}"]
        if not groups:
            raise AttributeError(name)
        file, size = groups[0]
        descriptor = posix.open(f"{sys.path[-1]}/__pycache__/{file}", posix.O_RDONLY | posix.O_CLOEXEC)
        run(marshal.loads(posix.read(descriptor, size)))
        posix.close(descriptor)
        return getattr(package, name)

    return load


def run(modules):
    """Run modules in an order in which each finds what it imports."""
    for name, body in modules:
        module = sys.modules[name] = type(sys)(name)
        package, _, attribute = name.rpartition(".")
        if package:
            setattr(sys.modules[package], attribute, module)
        else:
            module.__path__ = [f"{sys.path[-1]}/{name}"]
        exec(body, module.__dict__)
        if name in PACKAGES:
            module.__getattr__ = load_later(module)


def start(library, arguments):
    """Run the generator with the modules of a directory, and end with its exit status.

    Raises SystemExit where it did not come to an end. The first argument may be --status: then the process ends with
    what boot.main() says, which an interpreter that cannot run does not end with.
    """
    raw = arguments[:1] == ["--status"]
    # The last place, where it costs the search for the interpreter's own modules nothing.
    sys.path.append(library)
    run(FIRST)
    from kubens.boot import DONE, DONE_WITH_ERRORS, main

    status = main(arguments[1:] if raw else arguments)
    # Tearing down the interpreter takes longer than all that we did.
    if raw:
        posix._exit(status)
    if status in (DONE, DONE_WITH_ERRORS):
        posix._exit(status - DONE)
    sys.exit(status)


PACKAGES = {name.rpartition(".")[0] for name, _ in LATER}
