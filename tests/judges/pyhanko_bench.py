"""Prints the seconds pyHanko takes to validate the signature of a fixture folder: signature, stamp, paths, CRLs; no fetching.

    python pyhanko_bench.py FOLDER CRL…
"""
import asyncio
import datetime
import io
import logging
import pathlib
import sys
import time
import tomllib
import zipfile

from asn1crypto import cms, crl, pem, x509
from pyhanko.sign.validation.generic_cms import async_validate_detached_cms
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext

folder = pathlib.Path(sys.argv[1])
moment = datetime.datetime.fromisoformat(tomllib.loads((folder / 'case.toml').read_text())['now'].replace('Z', '+00:00'))


def der(path):
    content = path.read_bytes()
    return pem.unarmor(content)[2] if pem.detect(content) else content


def files(name, among=None):
    return [der(path) for path in sorted((folder / name).glob('*')) if among is None or path.name in among]


with zipfile.ZipFile(folder / 'container.asice') as archive:
    manifest = archive.read('META-INF/ASiCManifest001.xml')
    signature = archive.read('META-INF/signature001.p7s')
anchors = {name: files('trust/' + name) for name in ('hpki', 'tsa')}
others = files('trust/intermediates')
lists = files('evidence', sys.argv[2:])


def trusting(name):
    return ValidationContext(
        trust_roots=[x509.Certificate.load(one) for one in anchors[name]],
        other_certs=[x509.Certificate.load(one) for one in others],
        crls=[crl.CertificateList.load(one) for one in lists],
        allow_fetching=False, revocation_mode='soft-fail', moment=moment)


async def validate():
    signed_data = cms.ContentInfo.load(signature)['content']
    status = await async_validate_detached_cms(
        io.BytesIO(manifest), signed_data, trusting('hpki'), ts_validation_context=trusting('tsa'),
        key_usage_settings=KeyUsageConstraints(key_usage={'non_repudiation'}))
    assert status.intact and status.valid and status.trusted, status
    assert status.timestamp_validity.intact and status.timestamp_validity.valid and status.timestamp_validity.trusted


async def main():
    least = float('inf')
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(5):
            await validate()
        least = min(least, (time.perf_counter() - began) / 5)
    print(least)


logging.disable(logging.CRITICAL)
asyncio.run(main())
