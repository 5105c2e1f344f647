"""Judges archive time stamps with asn1crypto and cryptography alone, sharing no code with the house.

Input (stdin): a JSON list of {"name", "file", "content"}; file is an .asice or a .p7s, content the detached content or null.
Output: {name: null | "why the archive evidence is not sound"}. Sound means: there is at least one archive time stamp; every one is
over what it says it is over, every reference and every hash index entry matches, every part of the signature is in the index, and
every token is signed by the certificate it carries. Whether that certificate is trusted at some time is not judged here.
"""

import base64
import hashlib
import json
import sys
import zipfile
from urllib.parse import unquote
from xml.etree import ElementTree

from asn1crypto import algos, cms, core, tsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

ASIC = "{http://uri.etsi.org/02918/v1.2.1#}"
DSIG = "{http://www.w3.org/2000/09/xmldsig#}"
XML_HASHES = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
ARCHIVE_V1 = "1.2.840.113549.1.9.16.2.27"
ARCHIVE_V2 = "1.2.840.113549.1.9.16.2.48"
ARCHIVE_V3 = "0.4.0.1733.2.4"
ARCHIVES = (ARCHIVE_V1, ARCHIVE_V2, ARCHIVE_V3)
INDEX_V3 = "0.4.0.19122.1.5"
INDEX_V1 = "0.4.0.1733.2.5"


class Unsound(Exception):
    pass


def demand(holds, why):
    if not holds:
        raise Unsound(why)


def digest(name, data):
    return hashlib.new(name, data).digest()


def header(der, at):
    """Length of header and of content of the DER element at a position."""
    first = der[at + 1]
    if first < 0x80:
        return 2, first
    count = first & 0x7F
    return 2 + count, int.from_bytes(der[at + 2 : at + 2 + count], "big")


def contents(der):
    size, length = header(der, 0)
    demand(size + length == len(der), "bytes follow an element")
    return der[size:]


def children(der):
    """The raw elements inside a constructed DER element."""
    body = contents(der)
    found, at = [], 0
    while at < len(body):
        end = at + sum(header(body, at))
        found.append(body[at:end])
        at = end
    demand(at == len(body), "an element does not end where its parent does")
    return found


def encoded(tag, body):
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


class Signed:
    """A SignedData as raw elements."""

    def __init__(self, der):
        info = children(der)
        demand(core.ObjectIdentifier.load(info[0]).dotted == "1.2.840.113549.1.7.2", "not a SignedData")
        parts = children(children(info[1])[0])
        self.encapsulated = parts[2]
        self.certificates = next((part for part in parts[3:-1] if part[0] == 0xA0), None)
        self.crls = next((part for part in parts[3:-1] if part[0] == 0xA1), None)
        self.signer = children(children(parts[-1])[0])
        self.unsigned = []
        if self.signer[-1][0] == 0xA1:
            for attribute in children(self.signer[-1]):
                kind, values = children(attribute)
                oid = core.ObjectIdentifier.load(kind).dotted
                self.unsigned.append((oid, kind, children(values), attribute))
        self.fields = b"".join(field for field in self.signer if field[0] != 0xA1)
        inside = children(self.encapsulated)
        self.content_type = inside[0]
        self.content = None
        if len(inside) > 1:
            self.content = core.OctetString.load(children(inside[1])[0]).native


def token_info(token):
    signed = Signed(token)
    return tsp.TSTInfo.load(signed.content)


def gen_time(token):
    return token_info(token)["gen_time"].native


def token_is_signed(token):
    """The token's signature is over its TSTInfo, by the certificate its signing-certificate attribute names."""
    signed = Signed(token)
    signer = cms.SignerInfo.load(encoded(0x30, signed.fields))
    hash_name = signer["digest_algorithm"]["algorithm"].native
    attributes = {attribute["type"].dotted: attribute for attribute in signer["signed_attrs"]}
    stated = core.OctetString.load(attributes["1.2.840.113549.1.9.4"]["values"][0].dump()).native
    demand(stated == digest(hash_name, signed.content), "a token's message digest is not of its TSTInfo")
    attributes_as_set = encoded(0x31, contents(signer["signed_attrs"].dump()))
    v2 = attributes.get("1.2.840.113549.1.9.16.2.47")
    v1 = attributes.get("1.2.840.113549.1.9.16.2.12")
    named = (v2 or v1)["values"][0].dump()
    certificate_id = children(children(named)[0])[0]
    fields = children(certificate_id)
    hash_field, hash_of = fields[0], "sha256" if v2 else "sha1"
    if hash_field[0] == 0x30:
        hash_of = algos.DigestAlgorithm.load(hash_field)["algorithm"].native
        hash_field = fields[1]
    wanted = core.OctetString.load(hash_field).native
    own = [one for one in children(signed.certificates or b"\xa0\x00") if digest(hash_of, one) == wanted]
    demand(len(own) == 1, "a token does not carry the certificate it names")
    key = x509.load_der_x509_certificate(own[0]).public_key()
    chosen = {"sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}[hash_name]()
    signature = signer["signature"].native
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, attributes_as_set, padding.PKCS1v15(), chosen)
        else:
            demand(isinstance(key, ec.EllipticCurvePublicKey), "a token's key is of another kind")
            key.verify(signature, attributes_as_set, ec.ECDSA(chosen))
    except Unsound:
        raise
    except Exception as error:
        raise Unsound(f"a token's signature does not verify: {error!r}") from error


def imprint(token):
    stated = token_info(token)["message_imprint"]
    return stated["hash_algorithm"]["algorithm"].native, stated["hashed_message"].native


def check_container(path):
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifests = [
        name for name in entries if name.startswith("META-INF/ASiCArchiveManifest") and name.endswith(".xml")
    ]
    stamps, covered = 0, set()
    for name in manifests:
        root = ElementTree.fromstring(entries[name])
        demand(root.tag == ASIC + "ASiCManifest", f"{name} is no manifest")
        token = unquote(root.find(ASIC + "SigReference").get("URI"))
        demand(token in entries, f"{name} names a token that is not there")
        references = set()
        for reference in root.findall(ASIC + "DataObjectReference"):
            target = unquote(reference.get("URI"))
            demand(target in entries, f"{name} refers to something that is not there")
            algorithm = XML_HASHES[reference.find(DSIG + "DigestMethod").get("Algorithm")]
            value = base64.b64decode("".join(reference.find(DSIG + "DigestValue").text.split()))
            demand(digest(algorithm, entries[target]) == value, f"{name}: a reference does not match")
            references.add(target)
        algorithm, value = imprint(entries[token])
        demand(digest(algorithm, entries[name]) == value, f"{token} is not over {name}")
        token_is_signed(entries[token])
        stamps += 1
        covered |= references
    own = ("META-INF/ASiCArchiveManifest", "META-INF/timestamp")
    for name in entries:
        if name != "mimetype" and not name.endswith("/") and not name.startswith(own):
            demand(not manifests or name in covered, "an entry is covered by no archive manifest")
    signatures = [name for name in entries if name.startswith("META-INF/") and name.endswith(".p7s")]
    for name in signatures:
        number = name.removeprefix("META-INF/signature").removesuffix(".p7s")
        stamps += check_signature(entries[name], entries.get(f"META-INF/ASiCManifest{number}.xml"))
    demand(stamps > 0, "there is no archive time stamp")


def check_signature(der, content):
    signed = Signed(der)
    if signed.content is not None:
        content = signed.content
    stamps = 0
    for oid, _, values, _ in signed.unsigned:
        if oid in ARCHIVES:
            (token,) = values
            if oid == ARCHIVE_V3:
                check_v3(signed, token, content)
            else:
                # TS 101 733 1.5.1 to 1.6.3 leave content outside to the signer's digest of it.
                check_whole(signed, token, content if oid == ARCHIVE_V2 else b"")
            token_is_signed(token)
            stamps += 1
    return stamps


def check_v3(signed, token, content):
    hash_name, value = imprint(token)
    indices = [one for one in Signed(token).unsigned if one[0] in (INDEX_V3, INDEX_V1)]
    demand(len(indices) == 1 and len(indices[0][2]) == 1, "there is not one hash index")
    kind, index = indices[0][0], indices[0][2][0]
    whole = signed.content_type + digest(hash_name, content) + signed.fields + index
    demand(digest(hash_name, whole) == value, "an archive-time-stamp-v3 is over something else")
    fields = children(index)
    algorithm = "sha256"
    if len(fields) == 4:
        algorithm = algos.DigestAlgorithm.load(fields[0])["algorithm"].native
        fields = fields[1:]
    else:
        demand(kind == INDEX_V1, "a hash index names no algorithm")
    named = [{core.OctetString.load(one).native for one in children(field)} for field in fields]
    certificates = {digest(algorithm, one) for one in children(signed.certificates or b"\xa0\x00")}
    crls = {digest(algorithm, one) for one in children(signed.crls or b"\xa1\x00")}
    own_time, older, present = gen_time(token), set(), set()
    for oid, kind_der, values, attribute in signed.unsigned:
        hashed = (
            [digest(algorithm, kind_der + one) for one in values]
            if kind == INDEX_V3
            else [digest(algorithm, attribute)]
        )
        present |= set(hashed)
        if oid not in ARCHIVES or all(gen_time(one) < own_time for one in values):
            older |= set(hashed)
    demand(named[0] <= certificates and named[1] <= crls and named[2] <= present, "a hash index names more than there is")
    demand(
        named[0] == certificates and named[1] == crls and older <= named[2],
        "a hash index leaves out parts of the signature",
    )


def check_whole(signed, token, content):
    hash_name, value = imprint(token)
    own_time = gen_time(token)
    attributes = b"".join(
        attribute
        for oid, _, values, attribute in signed.unsigned
        if oid not in ARCHIVES or all(gen_time(one) < own_time for one in values)
    )
    outside = b"" if signed.content is not None else content
    before = signed.encapsulated + outside + (signed.certificates or b"") + (signed.crls or b"") + signed.fields
    accepted = [digest(hash_name, before + encoded(0xA1, attributes)), digest(hash_name, before + attributes)]
    demand(value in accepted, "an archive time stamp of the whole signature is over something else")


def judge(trial):
    try:
        if trial["file"].endswith(".asice"):
            check_container(trial["file"])
        else:
            with open(trial["file"], "rb") as file:
                der = file.read()
            content = None
            if trial["content"]:
                with open(trial["content"], "rb") as file:
                    content = file.read()
            demand(check_signature(der, content) > 0, "there is no archive time stamp")
        return None
    except Unsound as why:
        return str(why)
    except Exception as error:  # what cannot be read is not sound either
        return f"cannot be read: {error!r}"


if __name__ == "__main__":
    json.dump({trial["name"]: judge(trial) for trial in json.load(sys.stdin)}, sys.stdout)
