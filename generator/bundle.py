"""Compiles start.py of a directory together with the modules of the boot path that are there: bundle.py LIBRARY.

They come in groups, each of which is loaded at once: what every run needs, with start.py itself; what a run needs when
something is configured; and what only some runs need (GROUPS). All of it goes where Python looks for compiled modules,
PEP 3147, and so another interpreter takes the source.
"""

import ast
import importlib.util
import marshal
import os
import sys
import types

(library,) = sys.argv[1:]
start = f"{library}/start.py"

# The beginnings of modules' names, and the group that they are in; "later" is all the rest.
GROUPS = (
    ("kubens.netns", "netns"),
    ("kubens.pods.kube", "kube"),
    ("kubens.pods.appc", "appc"),
    ("kubens.pods.manifest", "appc"),
    ("kubens.pods.mounts", "appc"),
    ("kubens.pods.parser", "appc"),
    ("kubens.pods.place", "place"),
    ("kubens.pods", "pods"),
    ("kubens.manifests", "pods"),
    ("kubens.aliases", "aliases"),
    ("kubens.commandline", "unplain"),
    ("kubens.unplain", "unplain"),
    ("kubens.selinux", "selinux"),
    ("kubens.sandbox_rules", "sandbox"),
    ("kubens.foreign", "foreign"),
    ("kubens.order", "order"),
    ("kubens.failures", "findings"),
    ("kubens.log", "findings"),
)


class Module:
    """One module: its code, and the modules of the package that it imports at once and later (in functions)."""

    def __init__(self, name):
        self.name = name
        path = name.replace(".", "/")
        path += "/__init__.py" if os.path.isdir(f"{library}/{path}") else ".py"
        tree = ForMachines().visit(parse(f"{library}/{path}"))
        self.imports = imported(node for node in tree.body if isinstance(node, ast.ImportFrom))
        self.late_imports = imported(
            node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function) if isinstance(node, ast.ImportFrom)
        )  # fmt: skip
        # Optimised as by -OO, without assertions and docstrings.
        self.code = compile(tree, path, "exec", dont_inherit=True, optimize=2)


def parse(path):
    with open(path, encoding="utf-8") as source:
        return ast.parse(source.read())


class ForMachines(ast.NodeTransformer):
    """Takes away what only people and type checkers read: annotations, and all that is imported for them.

    A class is one of lists, then, and not of lists of anything: to make that takes Python twice as long.
    """

    def visit_ImportFrom(self, node):
        return None if node.module == "__future__" else node

    def visit_If(self, node):
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(other) for other in node.orelse]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if node.value is None:
            return None
        assignment = ast.Assign(targets=[node.target], value=node.value)
        return self.generic_visit(ast.fix_missing_locations(ast.copy_location(assignment, node)))

    def visit_ClassDef(self, node):
        node.bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node


def imported(nodes):
    """The modules that such lines import, and behind a package what is in it: `from kubens.pods import kube`."""
    names = []
    for node in nodes:
        if node.module.partition(".")[0] == "kubens":
            package = node.module.rpartition(".")[0]
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name for name in (package, node.module, *within) if name.count(".") and is_module(name)]
    return names


def is_module(name):
    path = f"{library}/{name.replace('.', '/')}"
    return os.path.exists(f"{path}.py") or os.path.isdir(path)


def add(name, modules):
    """Add a module behind all that it imports at once."""
    if name not in modules:
        module = Module(name)
        for other in module.imports:
            add(other, modules)
        modules[name] = module


def bare(code):
    """Without what only tracebacks show: names of files and classes, and which line an instruction belongs to."""
    without = {"co_filename": "", "co_linetable" if sys.version_info >= (3, 10) else "co_lnotab": b""}
    if sys.version_info >= (3, 11):
        without["co_qualname"] = code.co_name
    constants = (bare(constant) if isinstance(constant, types.CodeType) else constant for constant in code.co_consts)
    return code.replace(co_consts=tuple(constants), **without)


def pairs(modules):
    return tuple((module.name, bare(module.code)) for module in modules)


def group(name):
    return next((kind for beginning, kind in GROUPS if name.startswith(beginning)), "later")


first = {}
add("kubens", first)
add("kubens.boot", first)
everything = dict(first)
waiting = list(first.values())
while waiting:
    known = len(everything)
    for name in waiting.pop().late_imports:
        add(name, everything)
    waiting += list(everything.values())[known:]
os.makedirs(f"{library}/__pycache__", exist_ok=True)
groups = {}
for name, module in everything.items():
    if name not in first:
        groups.setdefault(group(name), []).append(module)
later = {}
for name, modules in groups.items():
    file = f"{name}.{sys.implementation.cache_tag}"
    with open(f"{library}/__pycache__/{file}", "wb") as compiled:
        size = compiled.write(marshal.dumps(pairs(modules)))
    for module in modules:
        later[module.name] = (file, size)
# The compiler takes no code for a constant, so there are words in its place first.
tree = parse(start)
values = {"FIRST": pairs(first.values()), "LATER": tuple(later.items())}
for node in tree.body:
    if isinstance(node, ast.Assign) and node.targets[0].id in values:
        node.value = ast.copy_location(ast.Constant(node.targets[0].id), node.value)
code = bare(compile(tree, "start.py", "exec", dont_inherit=True, optimize=2))
constants = tuple(values.pop(constant, constant) if type(constant) is str else constant for constant in code.co_consts)
code = code.replace(co_consts=constants)
if values:
    sys.exit(f"{start}: nowhere to put {' '.join(values)}")
target = importlib.util.cache_from_source(start)
with open(f"{target}.new", "wb") as compiled:
    # PEP 552: the first flag and not the second, so that nobody compares it with its source.
    compiled.write(importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code))
os.rename(f"{target}.new", target)
