"""Boot sector: the smallest HVM guest: it says that it is up, and ends when it is asked."""

import struct

SAYS = "xenops guest: a boot sector is up"
SECTOR_BYTES = 512

CODE = bytes.fromhex(
    "fb 31c0 8ed8 fc"  # sti; xor ax,ax; mov ds,ax; cld
    "be 0000"  # top: mov si,text
    "ac 84c0 7406"  # next: lodsb; test al,al; jz quiet
    "ba f803 ee ebf5"  # mov dx,0x3f8: the serial port; out dx,al; jmp next
    "b9 2000"  # quiet: mov cx,32
    "f4 ba 00b0 ed"  # wait: hlt; mov dx,0xb000: ACPI's events, as Xen has them; in ax,dx
    "a9 0001 7504"  # test ax,0x100: the power button; jnz off
    "e2f4 ebe1"  # loop wait; jmp top
    "b8 0020 ba 04b0 ef"  # off: mov ax,0x2000: sleep of type 0; mov dx,0xb004: ACPI's control; out dx,ax
    "ebfe"  # stay: jmp stay
)
"""16-bit code. It says so again and again: nobody may have listened at first."""

_TEXT_AT, _LOADED_AT = 7, 0x7C00


def boot_sector() -> bytes:
    """A disk's first sector, with the mark of one that boots."""
    text = struct.pack("<H", _LOADED_AT + len(CODE))
    code = CODE[:_TEXT_AT] + text + CODE[_TEXT_AT + 2 :]
    return (code + SAYS.encode() + b"\r\n\0").ljust(SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"
