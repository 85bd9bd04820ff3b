"""Puts the code of the boot path's modules into one file, for start.py: bundle.py INSTALLED-LIBRARY FINAL-PATH."""

import ast
import marshal
import os
import sys

library, final = sys.argv[1:]


class Module:
    """One module: its code, and the modules of the package that it imports at once and later (in functions)."""

    def __init__(self, name):
        self.name = name
        path = name.replace(".", "/") + ("/__init__.py" if os.path.isdir(f"{library}/{name}") else ".py")
        with open(f"{library}/{path}", encoding="utf-8") as source:
            tree = ast.parse(source.read())
        tree = ForMachines().visit(tree)
        self.imports = imported(node for node in tree.body if isinstance(node, ast.ImportFrom))
        self.late_imports = imported(
            node for function in ast.walk(tree) if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function) if isinstance(node, ast.ImportFrom)
        )  # fmt: skip
        # Optimised as by -OO, without assertions and docstrings.
        self.code = compile(tree, f"{final}/{path}", "exec", dont_inherit=True, optimize=2)


class ForMachines(ast.NodeTransformer):
    """Takes away what only people and type checkers read: annotations, and all that is imported for them."""

    def visit_ImportFrom(self, node):
        return None if node.module == "__future__" else node

    def visit_If(self, node):
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if node.value is None:
            return None
        assignment = ast.Assign(targets=[node.target], value=node.value)
        return self.generic_visit(ast.fix_missing_locations(ast.copy_location(assignment, node)))

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node):
        node.annotation = None
        return node


def imported(nodes):
    """`from kubens import a, b` and `from kubens.a import x` as kubens.a, kubens.b."""
    names = []
    for node in nodes:
        if node.module == "kubens":
            names += [f"kubens.{alias.name}" for alias in node.names]
        elif node.module.startswith("kubens."):
            names.append(node.module)
    return names


def add(name, modules):
    """Add a module behind all that it imports at once."""
    if name not in modules:
        module = Module(name)
        for other in module.imports:
            add(other, modules)
        modules[name] = module


def dump(modules):
    return marshal.dumps(tuple((module.name, module.code) for module in modules))


first = {}
add("kubens", first)
add("kubens.boot", first)
everything = dict(first)
for module in first.values():
    for name in module.late_imports:
        add(name, everything)
later = [module for name, module in everything.items() if name not in first]
with open(f"{library}/boot.{sys.implementation.cache_tag}", "wb") as bundle:
    marshal.dump((dump(first.values()), dump(later), tuple(module.name for module in later)), bundle)
