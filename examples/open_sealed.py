#!/usr/bin/env python3
"""Opens what a relay keeps, without the relay: for the day when its program is gone and its files and an identity are left.

    python3 open_sealed.py keys/identity.txt data/containers/NAME OUT

Writes the container and what lies beside it into the folder OUT. Needs the package `cryptography`; for an identity in a token
(AGE-PLUGIN-…) the program `age` with that plugin. The format: CONTRACTS.md, section 10; the key files: https://c2sp.org/age.
"""
import base64, hashlib, hmac, os, pathlib, re, struct, subprocess, sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HEAD = b"hikyaku\n" + struct.pack(">HHI", 1, 0, 65536)
SEALED = 12 + 65536 + 16  # nonce, content, tag


def derive(secret, salt, info):
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def unpadded(text):
    return base64.b64decode(text + "=" * (-len(text) % 4))


def identities(path):
    """The X25519 keys of an identity file, out of their Bech32."""
    for line in pathlib.Path(path).read_text().split():
        if line.startswith("AGE-SECRET-KEY-1"):
            values = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(c) for c in line[len("AGE-SECRET-KEY-1"):-6].lower()]
            bits = "".join(f"{value:05b}" for value in values)
            yield X25519PrivateKey.from_private_bytes(int(bits[:256], 2).to_bytes(32, "big"))


def file_key(header, identity):
    """The file key, if one of the header's X25519 stanzas is for this identity."""
    public = identity.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    for share, body in re.findall(rb"-> X25519 (\S+)\n(\S+)\n", header):
        share, body = unpadded(share.decode()), unpadded(body.decode())
        shared = identity.exchange(X25519PublicKey.from_public_bytes(share))
        try:
            wrap = derive(shared, share + public, b"age-encryption.org/v1/X25519")
            return ChaCha20Poly1305(wrap).decrypt(bytes(12), body, None)
        except InvalidTag:
            continue


def data_key(path, identity_file):
    """The 32 bytes in an age file."""
    wrapped = path.read_bytes()
    header, mac, payload = re.match(rb"(age-encryption\.org/v1\n.*?\n---) (\S+)\n(.*)", wrapped, re.S).groups()
    for identity in identities(identity_file):
        if key := file_key(header, identity):
            if not hmac.compare_digest(hmac.digest(derive(key, b"", b"header"), header, "sha256"), unpadded(mac.decode())):
                sys.exit(f"{path}: its header was changed")
            # One chunk, the last: counter 0, flag 1.
            return ChaCha20Poly1305(derive(key, payload[:16], b"payload")).decrypt(bytes(11) + b"\1", payload[16:], None)
    return subprocess.run(["age", "-d", "-i", identity_file, path], capture_output=True, check=True).stdout


def open_sealed(path, key, name, out):
    """Opens a file segment by segment; each is bound to the file's name, to its place and to the end."""
    bound, size, index = HEAD + struct.pack(">H", len(name)) + name.encode(), path.stat().st_size, 0
    with path.open("rb") as sealed, out.open("wb") as content:
        if sealed.read(len(HEAD)) != HEAD:
            sys.exit(f"{path}: no sealed file of version 1")
        while segment := sealed.read(SEALED):
            last = sealed.tell() == size
            aad = bound + struct.pack(">QB", index, last)
            content.write(AESGCM(key).decrypt(segment[:12], segment[12:], aad))
            index += 1
    if index == 0:
        sys.exit(f"{path}: cut off behind its head")


def main(identity_file, folder, out):
    folder, out = pathlib.Path(folder), pathlib.Path(out)
    # What is written is a letter in the clear: for its owner alone.
    os.umask(0o077)
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.sealed")):
        file = path.name.removesuffix(".sealed")
        key = data_key(folder / ("container.key" if file == "container.asice" else "beside.key"), identity_file)
        open_sealed(path, key, f"{folder.name.rpartition('.')[2]}/{file}", out / file)
        print(hashlib.sha256((out / file).read_bytes()).hexdigest(), out / file)


if __name__ == "__main__":
    main(*sys.argv[1:])
