"""What a bootloader has found by its own words, which a guest may have put into its mouth."""

import pytest
from worker_xen.classic.boot.output import (
    TEXT_BYTES_MAX,
    BadOutputError,
    Output,
    command,
    end_of,
    parsed,
    reason_of,
    whole_line,
)

KERNEL = b"kernel /out/boot_kernel.a1\n"


def test_a_bootloader_is_asked_with_the_words_of_its_configuration() -> None:
    assert command("") == ["--output-format=simple", "-q", "--output-directory=/out", "/disk"]
    assert command(" --entry=1  --offset=512")[3:] == ["--entry=1", "--offset=512", "/disk"]


def test_kernel_ramdisk_and_arguments_are_told_apart() -> None:
    said = KERNEL + b"ramdisk /out/boot_ramdisk.b2\nargs ro root=/dev/xvda1 console=hvc0\n\n"
    assert parsed(said) == Output("boot_kernel.a1", "boot_ramdisk.b2", "ro root=/dev/xvda1 console=hvc0")
    assert parsed(KERNEL) == Output("boot_kernel.a1")


def test_lines_without_a_name_or_a_value_say_nothing() -> None:
    assert parsed(b"\n hello\nargs\n" + KERNEL + b"\n") == Output("boot_kernel.a1")


def test_the_command_line_is_that_of_the_disk_then_the_old_one_then_the_extra_one() -> None:
    assert whole_line("ro", "old", "extra") == "ro old extra"
    assert whole_line("", "", "") == "  "


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (b"", "No kernel found in "),
        (b"args quiet\n", "No kernel found in args quiet\n"),
        (KERNEL + KERNEL, "More than one kernel line"),
        (KERNEL + b"ramdisk /out/a\nramdisk /out/b", "More than one ramdisk line"),
        (KERNEL + b"args a\nargs b", "More than one args line"),
        (KERNEL + b"Usage: hello", "Unrecognised start of line when parsing bootloader result: line=Usage:"),
        (b"kernel boot_kernel.a1", "relative path for kernel or ramdisk: boot_kernel.a1"),
        (b"kernel  /out/a", "relative path for kernel or ramdisk:  /out/a"),
        (b"kernel /etc/shadow", "Malicious guest?"),
        (b"kernel /out/../etc/shadow", "outside the allowed directories: /out/../etc/shadow"),
        (b"kernel /out/deep/er", "Malicious guest?"),
        (b"kernel /out/", "Malicious guest?"),
        (b"kernel /out/.", "Malicious guest?"),
        (b"kernel /out/..", "Malicious guest?"),
        (KERNEL + b"ramdisk /dev/mem", "Malicious guest?"),
        (KERNEL + b"args a\0b", "a zero among them"),
        (KERNEL + b"args " + bytes([97]) * TEXT_BYTES_MAX, "It has said"),
    ],
)
def test_what_makes_no_sense_or_is_elsewhere_is_refused(said: bytes, sentence: str) -> None:
    with pytest.raises(BadOutputError) as refused:
        parsed(said)
    assert sentence in str(refused.value)


def test_a_name_of_its_directory_by_way_of_another_is_that_name() -> None:
    assert parsed(b"kernel /out/x/../boot_kernel.a1") == Output("boot_kernel.a1")


def test_bytes_of_no_text_are_replaced() -> None:
    assert parsed(KERNEL + b"args \xff") == Output("boot_kernel.a1", arguments="�")


def test_a_reason_stands_behind_its_usual_word() -> None:
    assert reason_of("Traceback\nRuntimeError: Unable to find partition containing kernel\n") == (
        "Unable to find partition containing kernel"
    )
    assert reason_of("Segmentation fault") is None


def test_of_a_complaint_the_end_is_told() -> None:
    assert end_of("\n".join(str(number) for number in range(100))).splitlines() == [
        str(number) for number in range(80, 100)
    ]
