"""What pydicom reads from the header of every file below a folder: one JSON object a line. A second opinion for our walker.

usage: pydicom_judge.py FOLDER
"""
import json
import pathlib
import sys
import warnings

import pydicom

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

folder = pathlib.Path(sys.argv[1])
for path in sorted(p for p in folder.rglob("*") if p.is_file()):
    try:
        dataset = pydicom.dcmread(path, specific_tags=None, stop_before_pixels=True)
        meta = dataset.file_meta
    except Exception:
        continue

    def text(keyword):
        value = dataset.get(keyword)
        if value is None or isinstance(value, pydicom.multival.MultiValue):
            return None
        return str(value).strip(" \0") or None

    print(json.dumps({
        "path": str(path.relative_to(folder)),
        "transfer_syntax": str(meta.get("TransferSyntaxUID", "")),
        "sop_instance": text("SOPInstanceUID"),
        "study": text("StudyInstanceUID"),
        "series": text("SeriesInstanceUID"),
        "modality": text("Modality"),
        "patient_id": text("PatientID"),
        "patient_name": text("PatientName"),
    }, ensure_ascii=False))
