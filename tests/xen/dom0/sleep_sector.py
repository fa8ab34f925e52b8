"""Sleep sector: a boot sector that sleeps in its memory when its button is pressed, and says that it has."""

from boot_sector import SAYS, SECTOR_BYTES

WOKE = "xenops guest: it has slept and is awake"

CODE = bytes.fromhex(
    "fa 31c0 8ed8 8ed0 bc007c fc"  # cli; xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7c00; cld
    "0f0116 cc7c"  # lgdt [table]: to reach all memory by fs
    "0f20c0 0c01 0f22c0"  # mov eax,cr0; or al,1; mov cr0,eax
    "bb0800 8ee3 24fe 0f22c0"  # mov bx,8; mov fs,bx; and al,0xfe; mov cr0,eax
    "66bb 00000f00"  # mov ebx,0xf0000: where ACPI's tables begin
    "646766813b 52534420 750c"  # scan: cmp dword fs:[ebx],"RSD "; jne next
    "646766817b04 50545220 7405"  # cmp dword fs:[ebx+4],"PTR "; je found
    "83c310 75e4"  # next: add bx,16; jnz scan
    "6467668b5b10 6683c324"  # found: mov ebx,fs:[ebx+16]: the RSDT; add ebx,36: what it lists
    "6467668b13 6683c304"  # look: mov edx,fs:[ebx]; add ebx,4
    "646766813a 46414350 75ec"  # cmp dword fs:[edx],"FACP"; jne look
    "6467668b5224"  # mov edx,fs:[edx+36]: the FACS
    "646766c7420c 787c0000"  # mov dword fs:[edx+12],woken: where to begin after a sleep
    "bdd27c fb eb0e"  # mov bp,up; sti; jmp top
    "fa 31c0 8ed8 8ed0 bc007c fc"  # woken: cli; xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7c00; cld
    "bd0000"  # mov bp,woke
    "89ee"  # top: mov si,bp
    "ac 84c0 7406"  # say: lodsb; test al,al; jz quiet
    "baf803 ee ebf5"  # mov dx,0x3f8: the serial port; out dx,al; jmp say
    "b90010"  # quiet: mov cx,0x1000
    "ba00b0 ed"  # wait: mov dx,0xb000: ACPI's events, as Xen has them; in ax,dx
    "f6c401 7509"  # test ah,1: the power button; jnz off
    "f6c402 7509"  # test ah,2: the sleep button; jnz sleep
    "e2f0 ebde"  # loop wait; jmp top
    "b80020 eb07"  # off: mov ax,0x2000: sleep of type 0; jmp do
    "b80002 ef"  # sleep: mov ax,0x200; out dx,ax: the button is heard
    "b80024"  # mov ax,0x2400: sleep of type 1, in memory
    "ba04b0 ef"  # do: mov dx,0xb004: ACPI's control; out dx,ax
    "ebfe 6690"  # stay: jmp stay; nop
    "0000000000000000 ffff00000092cf00"  # descriptors: none; all of memory
    "0f00 bc7c0000"  # table: its limit, its place
)
"""16-bit code. It says so again and again; after a sleep the firmware goes on where the FACS says."""

_WOKE_AT, _LOADED_AT = 0x84, 0x7C00


def sleep_sector() -> bytes:
    """A disk's first sector."""
    up, woke = (words.encode() + b"\r\n\0" for words in (SAYS, WOKE))
    place = (_LOADED_AT + len(CODE) + len(up)).to_bytes(2, "little")
    code = CODE[:_WOKE_AT] + place + CODE[_WOKE_AT + 2 :]
    return (code + up + woke).ljust(SECTOR_BYTES - 2, b"\0") + b"\x55\xaa"
