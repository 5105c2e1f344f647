#!/usr/bin/env bash
# Fetches the test corpora that are not kept in this repository into target/corpora, each pinned by version and digest.
#   target/corpora/pkits   NIST PKITS certificates and CRLs with machine-readable verdicts (pyhanko-certvalidator, MIT)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pkits=target/corpora/pkits
version=0.33.0
digest=a4c3309f99c77cdcad24532f75340bd8cc8b108aa8992b8102d44f250ebd449c
[ -f "$pkits/pkits.json" ] && exit 0
command -v python3 >/dev/null || { echo "no python3 here: the PKITS test will be skipped"; exit 0; }
pip=(python3 -m pip)
[ -x target/venv/bin/python ] && pip=(target/venv/bin/python -m pip)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${pip[@]}" download --quiet --no-deps --no-binary :all: --dest "$work" "pyhanko-certvalidator==$version" ||
    { echo "cannot fetch PKITS: its test will be skipped"; exit 0; }
archive=$work/pyhanko_certvalidator-$version.tar.gz
echo "$digest  $archive" | sha256sum --check --quiet
tar -xzf "$archive" -C "$work"
mkdir -p target/corpora
rm -rf "$pkits"
mv "$work/pyhanko_certvalidator-$version/tests/fixtures/nist_pkits" "$pkits"
