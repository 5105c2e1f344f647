"""Judges what a relay's log says, by the definitions alone: RFC 6962, HMAC, C2SP signed notes, cosignatures, proofs and tiles.

    tlog_judge.py export FILE.jsonl VKEY [WITNESS_VKEY...]
    tlog_judge.py proof FILE.tlog-proof VKEY
    tlog_judge.py stamp FILE.checkpoint VKEY

Prints what it found; ends with 1 if anything is not as signed.
"""
import base64, hashlib, hmac, json, struct, sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def H(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(text):
    return base64.b64decode(text, validate=True)


def leaf(entry):
    return H(b"\0", entry)


def node(left, right):
    return H(b"\1", left, right)


def mth(leaves):
    """RFC 6962 section 2.1, over the hashes of leaves."""
    if not leaves:
        return H()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node(mth(leaves[:k]), mth(leaves[k:]))


def root_of(path, index, size, at):
    """RFC 9162 section 2.1.3.2."""
    fn, sn, r = index, size - 1, at
    assert index < size, "beyond the tree"
    for p in path:
        assert sn != 0, "the path is too long"
        if fn & 1 or fn == sn:
            r = node(p, r)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            r = node(r, p)
        fn >>= 1
        sn >>= 1
    assert sn == 0, "the path is too short"
    return r


def note(text, vkey, kind=1):
    """The text of a note, if the key signed it; with the time of a cosignature."""
    name, key_id, key = vkey.strip().split("+", 2)
    key = b64(key)
    assert key[0] == kind and H(name.encode(), b"\n", key)[:4].hex() == key_id, "not that kind of key"
    body, signatures = text.rsplit("\n\n", 1)
    body += "\n"
    for line in signatures.splitlines():
        _, signer, signature = line.split(" ")
        signature = b64(signature)
        if signer != name or signature[:4].hex() != key_id:
            continue
        message, value, time = body.encode(), signature[4:], None
        if kind == 4:
            (time,), value = struct.unpack(">Q", value[:8]), value[8:]
            message = b"cosignature/v1\ntime %d\n" % time + message
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(value, message)
        return body, time
    raise AssertionError("not signed by " + name)


def checkpoint(text, vkey):
    body, _ = note(text, vkey)
    origin, size, root = body.splitlines()[:3]
    assert vkey.startswith(origin + "+"), "of another log"
    return int(size), b64(root)


def commitment(salt, body):
    assert len(salt) == 32
    return hmac.new(salt, body, hashlib.sha256).digest()


def cover(start, end):
    """The fewest whole subtrees over [start, end): level and width of each."""
    while start < end:
        level = 0
        while start % (2 << level) == 0 and start + (2 << level) <= end:
            level += 1
        yield level
        start += 1 << level


def export(path, vkey, *witnesses):
    with open(path, encoding="utf-8") as lines:
        head = json.loads(next(lines))
        assert head["trail"] == "hikyaku-trail/1"
        size, root = checkpoint(head["checkpoint"], vkey)
        # The right edge of the tree: level and hash of each whole subtree.
        peaks, at, roots, records = [], 0, {}, 0

        def push(level, value):
            nonlocal at
            assert at % (1 << level) == 0, "a subtree does not begin here"
            at += 1 << level
            while peaks and peaks[-1][0] == level:
                value = node(peaks.pop()[1], value)
                level += 1
            peaks.append((level, value))
            r = peaks[-1][1]
            for _, left in reversed(peaks[:-1]):
                r = node(left, r)
            roots[at] = r

        for line in lines:
            line = json.loads(line)
            if "skipped" in line:
                start, end = line["skipped"]
                assert start == at and (head["facility"] or head["extract"]), "left out"
                levels = list(cover(start, end))
                assert len(levels) == len(line["nodes"])
                for level, value in zip(levels, line["nodes"]):
                    push(level, b64(value))
                continue
            assert line["position"] == at, "position %d at %d" % (line["position"], at)
            if line.get("erased"):
                push(0, leaf(b64(line["commitment"])))
                continue
            entry = commitment(b64(line["salt"]), line["body"].encode())
            assert entry == b64(line["commitment"]), "position %d is not what was committed" % at
            push(0, leaf(entry))
            records += 1
    assert at == size and roots[size] == root, "not the root that was signed"
    if head["facility"] and not head["extract"]:
        numbers, gone = [], []
        with open(path, encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                if "body" in line:
                    body = json.loads(line["body"])
                    numbers.append(body["facility_seq"][head["facility"]])
                    if body["kind"] == "KeyDestroyed":
                        gone.append(body["erased"][head["facility"]])
        missing = set(range(1, numbers[-1] + 1)) - set(numbers)
        assert numbers == sorted(set(numbers)), "numbers out of order"
        for erased in gone:
            within = {number for number in missing if erased["first"] <= number <= erased["last"]}
            assert len(within) == erased["records"], "other numbers are missing than were erased"
            missing -= within
        assert not missing, "a number is missing"
        assert body["kind"] == "TrailRead" and body["facility"] == head["facility"], "its end is missing"
    told = "%d records of %d" % (records, size)
    for witness in witnesses:
        for text in [head["checkpoint"], *head["witnessed"]]:
            try:
                _, time = note(text, witness, 4)
            except AssertionError:
                continue
            seen, seen_root = checkpoint(text, vkey)
            assert roots[seen] == seen_root, "the witness saw another log"
            told += ", %s cosigned %d at %d" % (witness.split("+")[0], seen, time)
            break
        else:
            raise AssertionError("not cosigned by " + witness)
    return told


def proof(path, vkey):
    text = open(path, encoding="utf-8").read()
    head, signed = text.split("\n\n", 1)
    lines = head.splitlines()
    assert lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra ") and lines[2].startswith("index ")
    extra, index = b64(lines[1][6:]), int(lines[2][6:])
    size, root = checkpoint(signed, vkey)
    at = leaf(commitment(extra[:32], extra[32:]))
    assert root_of([b64(line) for line in lines[3:]], index, size, at) == root, "the log does not contain it"
    return "position %d of %d: %s" % (index, size, json.loads(extra[32:])["kind"])


def stamp(path, vkey):
    size, _ = checkpoint(open(path, encoding="utf-8").read(), vkey)
    return "checkpoint of %d" % size


if __name__ == "__main__":
    try:
        print({"export": export, "proof": proof, "stamp": stamp}[sys.argv[1]](*sys.argv[2:]))
    except (AssertionError, InvalidSignature, ValueError, KeyError) as error:
        print("refused: %r" % error)
        sys.exit(1)
