"""A simulated smart card for tests: a NIST SP 800-73-4 PIV application behind the virtual reader of vsmartcard-vpcd.

usage: pivcard.py STATE.json PORT 9A=key.pem,cert.pem 9C=key.pem,cert.pem

9A is the authentication key, 9C the signature key, which wants the PIN before every signature. Everything above the card is
real: pcscd, the reader driver, OpenSC. PORT is that of the virtual reader (35963, the second 35964). The retry counter lives
in STATE.json, so a locked card stays locked. A fresh card has PIN 123456 and PUK 12345678.

environment: PIV_REMOVE_AFTER=N pulls the card out after N commands; PIV_REMOVE_AT_SIGN=1 pulls it out at the first signature;
PIV_DELAY=SECONDS makes signatures slow.
"""
import hashlib
import json
import os
import socket
import struct
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa, utils

AID = bytes.fromhex('a000000308')
ATR = bytes.fromhex('3b8c80018073c021c0a000000308000000')
CERT_OBJECT = {0x9A: '5fc105', 0x9C: '5fc10a', 0x9D: '5fc10b', 0x9E: '5fc101'}
OK = b'\x90\x00'
BLOCKED = b'\x69\x83'


def tlv(tag, value):
    n = len(value)
    length = bytes([n]) if n < 128 else bytes([0x81, n]) if n < 256 else b'\x82' + n.to_bytes(2, 'big')
    return tag + length + value


def read_tlv(b, i):
    t, n = b[i], b[i + 1]
    i += 2
    if n & 0x80:
        k = n & 0x7F
        n = int.from_bytes(b[i:i + k], 'big')
        i += k
    return t, b[i:i + n], i + n


class Card:
    def __init__(self, state_file, slots):
        self.file = state_file
        if os.path.exists(state_file):
            with open(state_file) as f:
                self.state = json.load(f)
        else:
            self.state = dict(pin='123456', puk='12345678', tries=3, putries=3)
        self.keys = {}
        self.objects = {}
        for slot, (k, c) in slots.items():
            with open(k, 'rb') as f:
                self.keys[slot] = ser.load_pem_private_key(f.read(), None)
            with open(c, 'rb') as f:
                der = x509.load_pem_x509_certificate(f.read()).public_bytes(ser.Encoding.DER)
            self.objects[CERT_OBJECT[slot]] = tlv(b'\x53', tlv(b'\x70', der) + b'\x71\x01\x00\xfe\x00')
        guid = hashlib.sha256(state_file.encode()).digest()[:16]
        self.objects['5fc102'] = tlv(b'\x53', bytes.fromhex('3019d4e739da739ced39ce739d836858210842108421c84210c3eb')
                                 + tlv(b'\x34', guid) + tlv(b'\x35', b'20301231') + b'\x3e\x00\xfe\x00')
        self.objects['5fc107'] = tlv(b'\x53', bytes.fromhex('f015a000000116ff02') + guid[:14]
                                 + bytes.fromhex('f10121f20121f300f40100f50110f600f700fa00fb00fc00fd00fe00'))
        self.reset()

    def save(self):
        with open(self.file, 'w') as f:
            json.dump(self.state, f)

    def reset(self):
        self.verified = False
        self.chain = b''
        self.out = b''

    def respond(self, data):
        self.out = data
        return self.more()

    def more(self):
        d, self.out = self.out[:256], self.out[256:]
        if not self.out:
            return d + OK
        return d + b'\x61' + bytes([len(self.out) if len(self.out) < 256 else 0])

    def answer(self, a):
        cla, ins, _, p2 = a[:4]
        if len(a) <= 5:
            data = b''
        elif a[4] == 0 and len(a) > 6:
            data = a[7:7 + int.from_bytes(a[5:7], 'big')]
        else:
            data = a[5:5 + a[4]]
        if cla & 0x10:                                  # command chaining
            self.chain += data
            return OK
        data, self.chain = self.chain + data, b''
        if ins == 0xA4:                                 # SELECT; must not drop the PIN state
            if data[:5] == AID:
                return self.respond(tlv(b'\x61', bytes.fromhex('4f060000100001007907') + b'\x4f\x05' + AID))
            return b'\x6a\x82'
        if ins == 0xC0:                                 # GET RESPONSE
            return self.more()
        if ins == 0xCB:                                 # GET DATA
            o = self.objects.get(data[2:2 + data[1]].hex())
            return self.respond(o) if o else b'\x6a\x82'
        if ins == 0x20:
            return self.verify(p2, data)
        if ins in (0x2C, 0x24):
            return self.change(ins, p2, data)
        if ins == 0x87:
            return self.sign(p2, data)
        return b'\x6d\x00'

    def tries_left(self, counter):
        n = self.state[counter]
        return b'\x63' + bytes([0xC0 | n]) if n else BLOCKED

    def verify(self, p2, data):
        if p2 != 0x80:
            return b'\x6a\x88'
        if not data:
            return OK if self.verified else self.tries_left('tries')
        if self.state['tries'] == 0:
            return BLOCKED
        if data.rstrip(b'\xff').decode('latin1') == self.state['pin']:
            self.state['tries'] = 3
            self.save()
            self.verified = True
            return OK
        self.state['tries'] -= 1
        self.save()
        self.verified = False
        return self.tries_left('tries')

    def change(self, ins, p2, data):                    # 24 CHANGE REFERENCE DATA, 2C RESET RETRY COUNTER
        kind = 'puk' if ins == 0x2C or p2 == 0x81 else 'pin'
        counter = 'putries' if kind == 'puk' else 'tries'
        if self.state[counter] == 0:
            return BLOCKED
        old, new = [x.rstrip(b'\xff').decode('latin1') for x in (data[:8], data[8:16])]
        if old != self.state[kind]:
            self.state[counter] -= 1
            self.save()
            return self.tries_left(counter)
        self.state[counter] = 3
        if ins == 0x2C:
            self.state['pin'] = new
            self.state['tries'] = 3
        else:
            self.state[kind] = new
        self.save()
        return OK

    def sign(self, slot, data):                         # GENERAL AUTHENTICATE
        k = self.keys.get(slot)
        if not k:
            return b'\x6a\x88'
        if not self.verified:
            return b'\x69\x82'
        if slot == 0x9C:                                # SP 800-73: PIN ALWAYS for the signature key
            self.verified = False
        _, inner, _ = read_tlv(data, 0)
        i, body = 0, None
        while i < len(inner):
            t, v, i = read_tlv(inner, i)
            if t == 0x81:
                body = v
        if isinstance(k, rsa.RSAPrivateKey):
            n = k.private_numbers()
            mod = n.public_numbers.n
            sig = pow(int.from_bytes(body, 'big'), n.d, mod).to_bytes((mod.bit_length() + 7) // 8, 'big')
        else:
            sig = k.sign(body, ec.ECDSA(utils.Prehashed(hashes.SHA256() if len(body) == 32 else hashes.SHA384())))
        return self.respond(tlv(b'\x7c', tlv(b'\x82', sig)))


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    card = Card(sys.argv[1], {int(a[:2], 16): a[3:].split(',') for a in sys.argv[3:]})
    k = socket.create_connection(('127.0.0.1', int(sys.argv[2])))
    delay = float(os.environ.get('PIV_DELAY', 0))
    pull = int(os.environ.get('PIV_REMOVE_AFTER', 0))
    pull_at_sign = os.environ.get('PIV_REMOVE_AT_SIGN')
    count = 0

    def rx(n):
        b = b''
        while len(b) < n:
            c = k.recv(n - len(b))
            if not c:
                sys.exit(0)
            b += c
        return b

    while True:
        m = rx(struct.unpack('!H', rx(2))[0])
        if len(m) == 1:                                 # vpcd control: 0 off, 1 on, 2 reset, 4 ATR
            if m[0] in (0, 1, 2):
                card.reset()
            elif m[0] == 4:
                k.sendall(struct.pack('!H', len(ATR)) + ATR)
            continue
        count += 1
        if (pull and count > pull) or (pull_at_sign and m[1] == 0x87):
            k.close()
            sys.exit(0)
        r = card.answer(m)
        if delay and m[1] == 0x87:
            time.sleep(delay)
        k.sendall(struct.pack('!H', len(r)) + r)


main()
