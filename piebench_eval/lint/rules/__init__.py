"""One file per kind of fault; each rule takes a ``Table`` and returns findings."""
