"""pyHanko as maker and as judge of signed PDFs.

usage: pyhanko_pdf.py make FOLDER LETTER TSA_URL             writes the signed variants of LETTER
       pyhanko_pdf.py judge FOLDER HPKI_ROOT TSA_ROOT FILE…  prints a JSON object: file name -> what it says

FOLDER holds key.pem and cert.pem (certificate, then chain), crls/ and roots/ (every root).
"""
import asyncio
import json
import logging
import sys
from pathlib import Path

from asn1crypto import crl, x509
from pyhanko.keys import load_cert_from_pemder, load_certs_from_pemder, load_private_key_from_pemder
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign import PdfSignatureMetadata, PdfSigner, PdfTimeStamper, SimpleSigner
from pyhanko.sign.fields import MDPPerm, SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.timestamps import HTTPTimeStamper
from pyhanko.sign.validation import async_validate_pdf_signature, async_validate_pdf_timestamp
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

USAGE = KeyUsageConstraints(key_usage={'non_repudiation'})


def lists(folder):
    return [crl.CertificateList.load(path.read_bytes()) for path in sorted((folder / 'crls').iterdir())]


def context(folder, **more):
    roots = [x509.Certificate.load(path.read_bytes()) for path in sorted((folder / 'roots').iterdir())]
    return ValidationContext(trust_roots=roots, allow_fetching=False, crls=lists(folder), revocation_mode='soft-fail', **more)


async def make(folder, letter, tsa):
    own, *chain = load_certs_from_pemder([folder / 'cert.pem'])
    signer = SimpleSigner(own, load_private_key_from_pemder(folder / 'key.pem', None), SimpleCertificateStore.from_certs(chain))
    stamper = HTTPTimeStamper(tsa)
    cades, adobe = SigSeedSubFilter.PADES, SigSeedSubFilter.ADOBE_PKCS7_DETACHED

    async def sign(name, source, field='Signature1', timestamper=None, new_field=None, strict=True, **metadata):
        with open(folder / source, 'rb') as file:
            writer = IncrementalPdfFileWriter(file, strict=strict)
            made = PdfSigner(
                PdfSignatureMetadata(field_name=field, md_algorithm='sha256', signer_key_usage={'non_repudiation'}, **metadata),
                signer=signer, timestamper=timestamper, new_field_spec=new_field)
            out = await made.async_sign_pdf(writer)
        (folder / name).write_bytes(out.getbuffer())

    def long_term(**more):
        return {'embed_validation_info': True, 'validation_context': context(folder), **more}

    (folder / 'letter.pdf').write_bytes(Path(letter).read_bytes())
    await sign('b.pdf', 'letter.pdf', subfilter=cades)
    await sign('t.pdf', 'letter.pdf', subfilter=cades, timestamper=stamper)
    await sign('lt.pdf', 'letter.pdf', subfilter=cades, timestamper=stamper, **long_term())
    await sign('lta.pdf', 'letter.pdf', subfilter=cades, timestamper=stamper, **long_term(use_pades_lta=True))
    await sign('adbe.pdf', 'letter.pdf', subfilter=adobe, timestamper=stamper)
    await sign('adbe-dss.pdf', 'letter.pdf', subfilter=adobe, timestamper=stamper, **long_term())
    await sign('twice.pdf', 't.pdf', field='Signature2', subfilter=cades, timestamper=stamper)
    box = SigFieldSpec('Signature1', box=(50, 50, 250, 120))
    await sign('visible.pdf', 'letter.pdf', subfilter=cades, timestamper=stamper, new_field=box)
    await sign('visible-then-lta.pdf', 'visible.pdf', field='Signature2', subfilter=cades, timestamper=stamper, **long_term(use_pades_lta=True))
    box = SigFieldSpec('Signature2', box=(50, 150, 250, 220))
    await sign('twice-visible.pdf', 't.pdf', field='Signature2', subfilter=cades, timestamper=stamper, new_field=box)
    await sign('certified.pdf', 'letter.pdf', subfilter=cades, timestamper=stamper, certify=True, docmdp_permissions=MDPPerm.FILL_FORMS)
    with open(folder / 't.pdf', 'rb') as file:
        stamp = PdfTimeStamper(stamper)
        out = await stamp.async_timestamp_pdf(IncrementalPdfFileWriter(file), 'sha256', context(folder))
    (folder / 't-stamped.pdf').write_bytes(out.getbuffer())


async def judge(folder, hpki, tsa, path):
    def trusting(root):
        return ValidationContext(trust_roots=[load_cert_from_pemder(root)], allow_fetching=False,
                                 other_certs=list(load_certs_from_pemder([folder / 'cert.pem'])), revocation_mode='soft-fail')

    said = []
    with open(path, 'rb') as file:
        reader = PdfFileReader(file)
        for one in reader.embedded_signatures:
            if one.sig_object_type == '/DocTimeStamp':
                status = await async_validate_pdf_timestamp(one, trusting(tsa))
            else:
                status = await async_validate_pdf_signature(
                    one, signer_validation_context=trusting(hpki), ts_validation_context=trusting(tsa), key_usage_settings=USAGE)
            said.append({'field': one.field_name, 'bottom_line': bool(getattr(status, 'bottom_line', status.intact and status.valid and status.trusted)), 'intact': status.intact,
                         'valid': status.valid, 'trusted': status.trusted,
                         'coverage': str(status.coverage), 'modification_level': str(getattr(status, 'modification_level', None))})
    return said


async def main(what, folder, *arguments):
    folder = Path(folder)
    if what == 'make':
        await make(folder, *arguments)
        return
    hpki, tsa, *files = arguments
    verdicts = {}
    for path in files:
        try:
            verdicts[Path(path).name] = {'signatures': await judge(folder, hpki, tsa, path), 'error': None}
        except Exception as error:
            verdicts[Path(path).name] = {'signatures': [], 'error': type(error).__name__ + ': ' + str(error)}
    json.dump(verdicts, sys.stdout, indent=1)


if len(sys.argv) < 5:
    sys.exit(__doc__)
logging.disable(logging.CRITICAL)
asyncio.run(main(*sys.argv[1:]))
