#!/usr/bin/env python3
"""Makes rsa.txt: RSA signatures over b"content" that are not what PKCS #1 says, made with the private operation alone.

Needs the package cryptography. The keys are thrown away; the file is kept.
"""
import hashlib
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SIZE = 256
HASH = hashlib.sha256(b"content").digest()
INFO = bytes.fromhex("3031300d060960864801650304020105000420") + HASH


def padded(info, filling=None, kind=1, separator=b"\0"):
    filling = SIZE - 2 - len(separator) - len(info) if filling is None else filling
    return bytes([0, kind]) + b"\xff" * filling + separator + info


def with_rubbish(before):
    return before + b"\x5a" * (SIZE - len(before))


def cube_root(number):
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low


def forged():
    """As Bleichenbacher showed in 2006: a cube that begins as it must, for any modulus of this size."""
    head = padded(INFO, 8)
    ceiling = int.from_bytes(head + b"\xff" * (SIZE - len(head)), "big")
    root = cube_root(ceiling)
    assert (root**3).to_bytes(SIZE, "big").startswith(head)
    return root.to_bytes(SIZE, "big")


CASES = {
    "honest": padded(INFO),
    "rubbish_behind_the_hash": with_rubbish(padded(INFO, 8)),
    "rubbish_in_the_parameters": padded(bytes.fromhex("3039301506096086480165030402010508") + b"\x5a" * 8 + b"\x04\x20" + HASH),
    "no_parameters": padded(bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + HASH),
    "a_length_in_two_octets": padded(bytes.fromhex("308131300d060960864801650304020105000420") + HASH),
    "a_length_of_many_octets": padded(b"\x30\x88" + b"\x00" * 7 + INFO[1:]),
    "an_inner_length_in_two_octets": padded(bytes.fromhex("303230810d060960864801650304020105000420") + HASH),
    "a_length_without_end": padded(bytes.fromhex("3080300d060960864801650304020105000420") + HASH + b"\0\0"),
    "the_hash_alone": padded(HASH),
    "another_hash_function_named": padded(bytes.fromhex("3031300d060960864801650304020205000420") + HASH),
    "padding_of_another_kind": padded(INFO, kind=2),
    "padding_that_is_not_all_ones": padded(INFO)[:20] + b"\xfe" + padded(INFO)[21:],
    "no_separator": padded(INFO, separator=b""),
    "a_first_octet_that_is_not_zero": b"\x00\x01" + b"\x00" + padded(INFO)[3:],
}


def main():
    with open("rsa.txt", "w") as out:
        for exponent in (3, 65537):
            key = rsa.generate_private_key(public_exponent=exponent, key_size=8 * SIZE)
            numbers = key.private_numbers()
            modulus = numbers.public_numbers.n
            spki = key.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            print("key", exponent, spki.hex(), file=out)
            for name, message in CASES.items():
                assert len(message) == SIZE, name
                signature = pow(int.from_bytes(message, "big"), numbers.d, modulus)
                print(name, exponent, signature.to_bytes(SIZE, "big").hex(), file=out)
            if exponent == 3:
                print("a_cube_root", exponent, forged().hex(), file=out)


main()
