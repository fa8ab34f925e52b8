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

_TOP, _TEXT_AT, _LOADED_AT = 6, 7, 0x7C00

FINDS = "xenops guest: its hypervisor is "

PROBE = bytes.fromhex(
    "66b8 00000040 0fa2"  # mov eax,0x40000000: where a hypervisor says what it is; cpuid
    "66891e 0000"  # mov [name],ebx
    "66890e 0000"  # mov [name+4],ecx
    "668916 0000"  # mov [name+8],edx
)

_NAMES_AT = (11, 16, 21)
_NAME_BYTES = 12


def boot_sector() -> bytes:
    """A disk's first sector, with the mark of one that boots."""
    return _sector(b"", SAYS)


def probing_sector() -> bytes:
    """One that says what it finds a hypervisor to be called, as `XenVMMXenVMM`."""
    name = _LOADED_AT + len(CODE) + len(PROBE) + len(FINDS)
    probe = bytearray(PROBE)
    for number, place in enumerate(_NAMES_AT):
        probe[place : place + 2] = struct.pack("<H", name + 4 * number)
    return _sector(bytes(probe), FINDS + " " * _NAME_BYTES)


def _sector(first: bytes, says: str) -> bytes:
    """`first` is done once, before it says anything."""
    code = bytearray(CODE[:_TOP] + first + CODE[_TOP:])
    code[_TEXT_AT + len(first) : _TEXT_AT + len(first) + 2] = struct.pack("<H", _LOADED_AT + len(code))
    return (bytes(code) + says.encode() + b"\r\n\0").ljust(SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"
