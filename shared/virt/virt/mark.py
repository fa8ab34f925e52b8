"""Mark: our element in a domain's metadata, by which a domain is known as ours and of which life."""

from virt.xml import Element, node, parsed

MARK = "https://xapi-project.org/xmlns/xenops/1"
"""The namespace of the element."""


def mark(instance: str, vm: str, life: str) -> Element:
    """Whose the domain is; `life` is another one for each domain that a VM ever has."""
    return node(f"{{{MARK}}}vm", instance=instance, id=vm, life=life)


def life_of(mark: str | None) -> str | None:
    """Which life a domain's mark speaks of; None: it is not ours."""
    return None if mark is None else parsed(mark).get("life")


def instance_of(mark: str | None) -> str | None:
    """Which instance it is of."""
    return None if mark is None else parsed(mark).get("instance")
