"""Writes the packaged templates of network namespaces: templates.py LIBRARY DIRECTORY."""

import sys

library, directory = sys.argv[1:]
sys.path.insert(0, library)

from kubens import netns, netns_units  # noqa: E402

for name, text in netns_units.packaged(netns.SHIPPED).items():
    with open(f"{directory}/{name}", "w", encoding="utf-8") as unit:
        unit.write(text)
