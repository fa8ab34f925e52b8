"""PCI sector: a boot sector that says which network card it finds, and lets go of what it is asked for."""

from boot_sector import SECTOR_BYTES

NO_CARD = "no card is there"
NEW_CARD = "a card is there, without an address yet"
CARD = "a card answers from its memory"

CODE = bytes.fromhex(
    "fb 31c0 8ed8 fc"  # sti; xor ax,ax; mov ds,ax; cld
    "fa 660f0116 ae7c"  # cli; lgdt [table]: to reach all memory by fs
    "0f20c0 0c01 0f22c0"  # mov eax,cr0; or al,1; mov cr0,eax
    "bb0800 8ee3 24fe 0f22c0 fb"  # mov bx,8; mov fs,bx; and al,0xfe; mov cr0,eax; sti
    "be b47c"  # top: mov si,no_card
    "66bb 00000080 b92000"  # mov ebx,0x80000000: the first device; mov cx,32
    "bf0000 e85c00"  # scan: mov di,0: its name; call read
    "663d 86800e10 740b"  # cmp eax,0x100e8086: the card of tools/xen_machine.py; je found
    "6681c3 00080000 e2e9 eb1f"  # add ebx,0x800; loop scan; jmp say
    "bf1000 e84300 24f0"  # found: mov di,0x10: where its memory is; call read; and al,0xf0
    "be c77c"  # mov si,new_card
    "6467668b80 00540000"  # mov eax,fs:[eax+0x5400]: its address, which the card's memory begins with
    "663d 52540012 7503"  # cmp eax,0x12005452; jne say
    "be f17c"  # mov si,card
    "ac 84c0 7406"  # say: lodsb; test al,al; jz quiet
    "baf803 ee ebf5"  # mov dx,0x3f8: the serial port; out dx,al; jmp say
    "ba10ae 6631c0 66ef"  # quiet: mov dx,0xae10; xor eax,eax; out dx,eax: which bus
    "ba04ae 66ed 6685c0 7405"  # mov dx,0xae04; in eax,dx: what shall go; test eax,eax; jz rest
    "ba08ae 66ef"  # mov dx,0xae08; out dx,eax: it may
    "b91000 f4 e2fd eb92"  # rest: mov cx,16; hlt; loop hlt; jmp top
    "6689d8 09f8 baf80c 66ef bafc0c 66ed c3"  # read: of device ebx what is at di
    "0000000000000000 ffff00000092cf00"  # descriptors: none; all of memory
    "0f00 9e7c0000"  # table: its limit, its place
)
"""16-bit code. It looks and says so again and again."""


def pci_sector() -> bytes:
    """A disk's first sector."""
    said = b"".join(words.encode() + b"\r\n\0" for words in (NO_CARD, NEW_CARD, CARD))
    return (CODE + said).ljust(SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"
