"""Names of classes that people give, against those that a model knows. Pure."""

import difflib
from collections.abc import Iterable, Sequence


def unknown_classes(given: Iterable[str], known: Sequence[str]) -> str:
    """A clause that names what of *given* is not *known*, what is, and what was perhaps meant; empty where all is."""
    unknown = [name for name in given if name not in known]
    if not unknown:
        return ""
    near = {name: difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8) for name in unknown}
    meant = ", ".join(f"{name} is perhaps {found[0]}" for name, found in near.items() if found)
    return f"knows no class {', '.join(unknown)}; it knows {', '.join(known)}" + (f" ({meant})" if meant else "")
