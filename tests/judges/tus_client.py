"""A stock tus client (tuspy) uploads a file as an enrolled device and remembers where, so that the next run goes on from there.

usage: tus_client.py URL FILE CERTIFICATE KEY STORAGE        the relay's CA comes from REQUESTS_CA_BUNDLE
Prints one JSON object: where the upload lies, where this run began, where it ended, and what stopped it.
"""
import json
import sys

from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.storage.filestorage import FileStorage

url, file, certificate, key, storage = sys.argv[1:]
client = TusClient(url, client_cert=(certificate, key))
uploader = client.uploader(file, store_url=True, url_storage=FileStorage(storage), retries=0)
said = {"began": uploader.offset, "stopped_by": None}
try:
    uploader.upload()
except TusCommunicationError as error:
    said["stopped_by"] = type(error).__name__
print(json.dumps({**said, "url": uploader.url, "ended": uploader.offset}))
