"""A private Docker engine: what Debian's programs are told that are not where they were made for."""

from pathlib import Path

from docker_engine import unpacked


def test_unpacked_programs_find_their_libraries_and_iptables_its_extensions(tmp_path: Path) -> None:
    for place in ("usr/lib/x86_64-linux-gnu/xtables", "lib/x86_64-linux-gnu", "usr/lib/python3"):
        (tmp_path / place).mkdir(parents=True)
    assert unpacked(tmp_path) == {
        "LD_LIBRARY_PATH": f"{tmp_path}/usr/lib/x86_64-linux-gnu:{tmp_path}/lib/x86_64-linux-gnu",
        "XTABLES_LIBDIR": f"{tmp_path}/usr/lib/x86_64-linux-gnu/xtables",
    }
