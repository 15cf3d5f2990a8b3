"""``signoff.jsonl``: who signed what and when, one entry a line, each with the hash of the one before; only appended.

An entry's ``hash`` is over the whole entry, its signature included; the signature, where a person has a key, is over
the entry without the two. A chain shows that a line was changed or taken out of the middle. It cannot show that its end
was cut off; the pages therefore write the first digits of the entry that they rest on.
"""

import base64
import binascii
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from kpitoolkit.errors import ToolkitError

FILE, NAMESPACE = "signoff.jsonl", "kpitoolkit"
ROLE = "[a-z][a-z0-9_]{0,31}"
_UNHASHED = ("signature", "hash")
_ABSENT = "ssh-keygen is not on this machine. Install OpenSSH's client (Debian, Ubuntu: apt-get install openssh-client)"


class Figure(BaseModel):
    """A KPI as it was signed."""

    model_config = ConfigDict(extra="forbid")

    value: float | None
    value_unit: str
    currency: str


class Statement(BaseModel):
    """What a signature says of one unit: its inputs and outputs by their hashes, its definitions, and its figures."""

    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, str]
    parameters: dict[str, Any]
    catalogue: str
    outputs: dict[str, str]
    figures: dict[str, Figure] = {}
    not_examined: list[str] = []

    @property
    def digest(self) -> str:
        """One hash of inputs, definitions and outputs."""
        return digest([self.inputs, self.parameters, self.catalogue, self.outputs])


class Signed(BaseModel):
    """One entry of the register. ``signature`` and ``fingerprint`` are empty where it was signed without a key."""

    model_config = ConfigDict(extra="forbid")

    number: int
    previous: str
    case: str
    time: AwareDatetime
    role: str = Field(pattern=f"^{ROLE}$")
    name: str
    units: dict[str, Statement]
    toolkit: str
    commit: str
    fingerprint: str = ""
    signature: str = ""
    hash: str = ""

    @property
    def written(self) -> dict[str, Any]:
        """The entry as its line says it: what a later version of this class would add is not in it."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def message(self) -> bytes:
        """The bytes that a key signs."""
        return canonical({k: v for k, v in self.written.items() if k not in _UNHASHED})

    @property
    def right_hash(self) -> str:
        """What ``hash`` must be."""
        return digest({k: v for k, v in self.written.items() if k != "hash"})


@dataclass(frozen=True, eq=False)
class Register:
    """The entries that chain, and what is wrong: nothing behind the first fault is believed.

    ``torn`` says that the last line is cut off; the entries before it stand. ``whole`` is false where any line was
    changed, moved or taken out: then no signature of the register counts.
    """

    entries: tuple[Signed, ...]
    faults: tuple[str, ...] = ()
    torn: str = ""

    @property
    def whole(self) -> bool:
        """Whether every complete line stands in the chain."""
        return not self.faults

    @property
    def said(self) -> list[str]:
        """All that is wrong."""
        return [*self.faults, *([self.torn] if self.torn else [])]


def canonical(value: object) -> bytes:
    """Return the one way to write a value as JSON.

    Examples
    --------
    >>> canonical({"b": 1, "a": "è"}).decode()
    '{"a":"è","b":1}'
    """
    words = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return words.encode("utf-8", "surrogatepass")


def digest(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


def read(home: Path) -> Register:
    """Read the register of a case's outputs and check its chain; a case that nobody signed has an empty one."""
    try:
        content = (home / FILE).read_bytes()
    except FileNotFoundError:
        return Register(())
    except OSError as error:
        return Register((), (f"{FILE}: cannot be read ({error.strerror})",))
    lines = content.split(b"\n")
    ended = not lines[-1]
    lines = lines[:-1] if ended else lines
    entries: list[Signed] = []
    for number, line in enumerate(lines, start=1):
        fault, entry = _checked(line, number, entries[-1] if entries else None)
        if entry is None:
            if number == len(lines) and not ended:
                torn = (
                    f"{FILE}: its last line is cut off after {len(line)} bytes (a power cut, a full disk?): "
                    f"{_entries(len(entries))} before it stand. Remove that line; whoever signed it signs again"
                )
                return Register(tuple(entries), torn=torn)
            return Register(tuple(entries), (f"{FILE}: line {number} {fault}. No signature in it can be believed",))
        entries.append(entry)
    return Register(tuple(entries))


def _entries(count: int) -> str:
    return "the 1 entry" if count == 1 else f"the {count} entries"


def _checked(line: bytes, number: int, before: Signed | None) -> tuple[str, Signed | None]:
    try:
        entry = Signed.model_validate(json.loads(line.decode("utf-8")))
        right = canonical(entry.written) == line and entry.right_hash == entry.hash
        right &= clean_name(entry.name) == entry.name
    except (ValueError, RecursionError, ToolkitError):
        return "is not an entry of a register", None
    if not right:
        return "was changed after it was signed: its hash is another", None
    if entry.number != number or entry.previous != (before.hash if before else ""):
        return "does not follow the line before it: an entry was taken out, added or moved", None
    if before and entry.time < before.time:
        return "is dated before the entry above it", None
    return "", entry


def append(home: Path, entry: Signed) -> None:
    """Append an entry: one write, on disk before it counts; taken back where it cannot be written whole.

    The caller holds the case's lock.
    """
    line = canonical(entry.written) + b"\n"
    path = home / FILE
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and _last_byte(descriptor) != b"\n":
            line = b"\n" + line  # whole, but for the end of its line
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(None, "the disk is full: nothing was signed", str(path))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if os.name != "nt":
        folder = os.open(home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _last_byte(descriptor: int) -> bytes:
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1)


def clean_name(name: str) -> str:
    """Return a person's name with single blanks; refuse what could pass for another name on a page.

    Examples
    --------
    >>> clean_name("  Anna   Bianchi ")
    'Anna Bianchi'
    >>> clean_name("Ann\\u0430 Bianchi")
    Traceback (most recent call last):
    kpitoolkit.errors.ToolkitError: --name: mixes letters of two scripts (CYRILLIC, LATIN). Write it in one
    """
    tidy = " ".join(unicodedata.normalize("NFC", name).split())
    if not tidy or len(tidy) > 80 or not any(letter.isalpha() for letter in tidy):
        raise ToolkitError("--name: state the name of a person, of 80 characters at most")
    odd = sorted({f"U+{ord(c):04X}" for c in tidy if unicodedata.category(c)[0] == "C" or c in "<>"})
    if odd:
        raise ToolkitError(f"--name: holds characters that no name has ({', '.join(odd)}). Write it plainly")
    scripts = sorted(
        {unicodedata.name(c, "").split(" ")[0] for c in unicodedata.normalize("NFKC", tidy) if c.isalpha()}
    )
    if len(scripts) > 1 and set(scripts) & {"LATIN", "CYRILLIC", "GREEK"}:
        raise ToolkitError(f"--name: mixes letters of two scripts ({', '.join(scripts)}). Write it in one")
    return tidy


def same_person(one: str, other: str) -> bool:
    """Tell whether two names are of one person, whatever their case, accents, order and marks.

    Examples
    --------
    >>> same_person("José  Di Pietro", "DI PIETRO, Jose"), same_person("Anna Bianchi", "Anna Bianco")
    (True, False)
    """
    return _plain(one) == _plain(other)


def _plain(name: str) -> list[str]:
    letters = unicodedata.normalize("NFKD", name.casefold())
    kept = "".join(c if c.isalnum() else "" if unicodedata.combining(c) or c in "'’" else " " for c in letters)
    return sorted(kept.split())


def fingerprint(signature: str) -> str:
    """Return the SHA-256 fingerprint of the public key that stands in an SSH signature.

    Raises
    ------
    ToolkitError
        Where the text is no SSH signature.
    """
    lines = signature.strip().splitlines()
    if len(lines) < 3 or "BEGIN SSH SIGNATURE" not in lines[0] or "END SSH SIGNATURE" not in lines[-1]:
        raise ToolkitError("is no SSH signature")
    try:
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise ToolkitError("is no SSH signature") from error
    size = int.from_bytes(blob[10:14], "big")
    key = blob[14 : 14 + size]
    if blob[:6] != b"SSHSIG" or len(key) != size or not key:
        raise ToolkitError("is no SSH signature")
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def key_fingerprint(key: Path) -> str:
    """Return the fingerprint of a person's key, before it signs.

    Raises
    ------
    ToolkitError
        Where ssh-keygen is not there, or the file holds no key.
    """
    if not key.is_file():
        raise ToolkitError(f"--key: there is no file {key}")
    ran = _ran(["-l", "-f", str(key)])
    words = ran.stdout.decode("utf-8", "replace").split()
    if ran.returncode or len(words) < 2:
        raise ToolkitError(
            f"--key: {key} holds no SSH key. Name the file that ssh-keygen made, such as ~/.ssh/id_ed25519"
        )
    return words[1]


def sign_with(key: Path) -> Callable[[bytes], str]:
    """Return what signs a message with a person's key; ssh-keygen itself asks for the key's passphrase."""

    def sign(message: bytes) -> str:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "entry"
            file.write_bytes(message)
            ran = _ran(["-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key), str(file)])
            made = file.with_name("entry.sig")
            if ran.returncode or not made.is_file():
                said = " ".join(ran.stderr.decode("utf-8", "replace").split()) or "no reason given"
                raise ToolkitError(f"--key: ssh-keygen could not sign with {key}: {said}")
            return made.read_text(encoding="ascii")

    return sign


def signer(entry: Signed, allowed: Path, principal: str = "") -> str:
    """Return who, of the allowed signers, signed an entry.

    Parameters
    ----------
    entry : Signed
    allowed : Path
        The allowed signers, as ssh-keygen(1) describes them.
    principal : str, optional
        Who it must be.

    Raises
    ------
    ToolkitError
        Where the signature is none, is of another text or key, the key is not allowed, or ssh-keygen is absent.
    """
    if fingerprint(entry.signature) != entry.fingerprint:
        raise ToolkitError("its signature is of another key than it says")
    if not allowed.is_file():
        raise ToolkitError(f"its signature cannot be checked: there is no file of allowed signers {allowed}")
    at = "verify-time=" + entry.time.strftime("%Y%m%d%H%M%S")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "signature"
        file.write_text(entry.signature, encoding="ascii")
        tail = ["-s", str(file), "-f", str(allowed), "-O", at]
        found = _ran(["-Y", "find-principals", *tail])
        known = found.stdout.decode("utf-8", "replace").replace(",", "\n").split("\n")
        for name in [principal] if principal else [each for each in known if each]:
            if not _ran(["-Y", "verify", "-n", NAMESPACE, "-I", name, *tail], entry.message).returncode:
                return name
    if found.returncode:
        raise ToolkitError(f"its key {entry.fingerprint} is not among the allowed signers ({allowed.name})")
    if principal and principal not in known:
        raise ToolkitError(f"its key is not that of {principal}")
    raise ToolkitError("its signature is not of this entry")


def _ran(words: list[str], given: bytes | None = None) -> subprocess.CompletedProcess:
    """Run ssh-keygen; its words in English, its times in UTC."""
    program = shutil.which("ssh-keygen")
    if not program:
        raise ToolkitError(_ABSENT)
    clean = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run([program, *words], input=given, capture_output=True, env=clean, check=False)
