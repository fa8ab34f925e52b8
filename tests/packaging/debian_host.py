"""Host: a Debian with systemd as its first process, in a container, on which the package is installed."""

import json
import subprocess
from pathlib import Path

import debian_base

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "xenops/test-host"
NAME = "xenops-test-host"
PATIENCE_S = 600.0
CREDENTIALS = "/etc/xenops/credentials"
PACKAGES = "python3 systemd systemd-sysv rabbitmq-server qemu-system-x86 qemu-utils iproute2 nftables"
UNTIL_UP = "until systemctl is-system-running --wait | grep -E 'running|degraded'; do sleep 0.2; done"
DOCKERFILE = f"""\
FROM {{base}}
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends {PACKAGES}
RUN rm -f /etc/dpkg/dpkg.cfg.d/*  # by which images, but no host, leave out documents and man pages
CMD ["sh", "-c", "mount --make-rshared / && exec /sbin/init"]
"""


class Host:
    """It runs until `remove`; all that is done on it is done by root."""

    def __init__(self, package: Path) -> None:
        docker(
            "build",
            "--quiet",
            "--network",
            "host",
            "--tag",
            IMAGE,
            "-",
            told=DOCKERFILE.format(base=debian_base.find()),
        )
        docker(
            *("run", "--detach", "--name", NAME, "--tmpfs", "/run", "--tmpfs", "/tmp"),  # noqa: S108  its own
            *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined"),
            *(
                "--cgroupns",
                "private",
                "--volume",
                "/sys/fs/cgroup:/sys/fs/cgroup",
                "--env",
                "container=docker",
            ),
            *("--device", "/dev/net/tun", IMAGE),
        )
        self.run("sh", "-c", UNTIL_UP)
        self.run("chmod", "666", "/dev/net/tun")  # as udev does
        docker("cp", str(package), f"{NAME}:/root/xenops.deb")
        self.run("dpkg", "--install", "/root/xenops.deb")

    def run(self, *command: str, told: str = "") -> str:
        """What a command prints; it must end well."""
        return docker("exec", "--interactive", NAME, *command, told=told)

    def tell(self, path: str, text: str) -> None:
        """Write a file."""
        self.run("tee", path, told=text)

    def prop(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit).strip()

    def failures(self, unit: str) -> list[float]:
        """When a unit's process has ended as a failure, each time, in seconds since the epoch."""
        told = self.run("journalctl", "--output", "json", "--unit", unit, "UNIT_RESULT=exit-code")
        return [int(json.loads(line)["__REALTIME_TIMESTAMP"]) / 1e6 for line in told.splitlines()]

    def xenops(self, instance: str, *arguments: str) -> str:
        """What the command prints, as an operator."""
        line = f'XENOPS_INSTANCE={instance} XENOPS_BROKER=$(cat {CREDENTIALS}/operator/url) xenops "$@"'
        return self.run("sh", "-c", line, "xenops", *arguments)

    def capabilities(self, pid: str) -> int:
        """Of a process, those that it has."""
        lines = self.run("cat", f"/proc/{pid}/status").splitlines()
        return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))

    def remove(self) -> None:
        """End it and all on it."""
        docker("rm", "--force", "--volumes", NAME)


def docker(*arguments: str, told: str = "") -> str:
    """What Docker's client prints; it must end well."""
    done = subprocess.run(
        ["docker", *arguments], input=told, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout
