"""pyHanko judges many signatures in one run: integrity, mathematics, path, signature time stamp. Revocation is not asked for.

Standard input: a JSON list of {"name", "signature", "content" or null, "hpki": [file], "tsa": [file], "others": [file],
"signed": time, "now": time}. Standard output: a JSON object, name -> null if it accepts, else why not.
"""
import asyncio
import datetime
import json
import logging
import sys

from asn1crypto import cms
from pyhanko.keys import load_certs_from_pemder
from pyhanko.sign.validation.generic_cms import async_validate_cms_signature, async_validate_detached_cms
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureStatus
from pyhanko_certvalidator import ValidationContext


def trusting(anchors, others, moment):
    return ValidationContext(
        trust_roots=list(load_certs_from_pemder(anchors)), other_certs=list(load_certs_from_pemder(others)),
        allow_fetching=False, revocation_mode='soft-fail', moment=datetime.datetime.fromisoformat(moment.replace('Z', '+00:00')))


async def judge(case):
    with open(case['signature'], 'rb') as file:
        signed_data = cms.ContentInfo.load(file.read())['content']
    signer = trusting(case['hpki'], case['others'], case['signed'])
    usage = KeyUsageConstraints(key_usage={'non_repudiation'})
    if signed_data['encap_content_info']['content'].native is not None:
        status = await async_validate_cms_signature(
            signed_data, SignatureStatus, validation_context=signer, key_usage_settings=usage)
        stamp = None
    else:
        if case['content'] is None:
            return 'no content'
        with open(case['content'], 'rb') as file:
            status = await async_validate_detached_cms(
                file, signed_data, signer, ts_validation_context=trusting(case['tsa'], case['others'], case['now']),
                key_usage_settings=usage)
        stamp = status.timestamp_validity
    wrong = [name for name in ('intact', 'valid', 'trusted') if not getattr(status, name)]
    if stamp is not None:
        wrong += ['stamp ' + name for name in ('intact', 'valid', 'trusted') if not getattr(stamp, name)]
    return ', '.join('not ' + name for name in wrong) or None


async def main():
    verdicts = {}
    for case in json.load(sys.stdin):
        try:
            verdicts[case['name']] = await judge(case)
        except Exception as error:
            verdicts[case['name']] = type(error).__name__ + ': ' + str(error)
    json.dump(verdicts, sys.stdout, indent=1)


logging.disable(logging.CRITICAL)
asyncio.run(main())
