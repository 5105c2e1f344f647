"""pyHanko judges a detached signature over a file: integrity, mathematics, path to ROOT, signature time stamp under TSA_ROOT.

usage: pyhanko_judge.py ROOT.pem TSA_ROOT.pem SIGNATURE CONTENT      exit 0 only if all of it holds; revocation is not asked for
"""
import asyncio
import logging
import sys

from asn1crypto import cms
from pyhanko.keys import load_cert_from_pemder
from pyhanko.sign.validation.generic_cms import async_validate_detached_cms
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext


async def main(root, tsa_root, signature, content):
    with open(signature, 'rb') as file:
        signed_data = cms.ContentInfo.load(file.read())['content']

    def trusting(anchor):
        return ValidationContext(trust_roots=[load_cert_from_pemder(anchor)], allow_fetching=False, revocation_mode='soft-fail')

    with open(content, 'rb') as file:
        status = await async_validate_detached_cms(
            file, signed_data, trusting(root), ts_validation_context=trusting(tsa_root),
            key_usage_settings=KeyUsageConstraints(key_usage={'non_repudiation'}))
    stamp = status.timestamp_validity
    good = status.intact and status.valid and status.trusted
    if stamp is not None:
        good = good and stamp.valid and stamp.trusted
    print('intact', status.intact, 'valid', status.valid, 'trusted', status.trusted, 'stamp', stamp and stamp.trusted)
    return 0 if good else 1


if len(sys.argv) != 5:
    sys.exit(__doc__)
logging.disable(logging.CRITICAL)
sys.exit(asyncio.run(main(*sys.argv[1:])))
