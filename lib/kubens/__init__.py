"""kubens: give services the namespaces their administrator wrote down.

The boot path (what the generator imports) and the public modules kubens.nsenter and kubens.pods live here.
Nothing in this package imports anything outside the standard library.
"""

__version__ = "0.1.0"
