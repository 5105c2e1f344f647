// Whether PKI.js accepts a detached signature and its certificate path: exit 0 or 1.
//
//   node pkijs_judge.mjs MODULES SIGNATURE CONTENT ROOT.pem
import fs from "node:fs";
import path from "node:path";
import { webcrypto } from "node:crypto";
import { createRequire } from "node:module";

const [modules, signature, content, root] = process.argv.slice(2);
const pkijs = createRequire(path.join(modules, "judge.cjs"))("pkijs");

const exact = (buffer) => buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.length);
const file = (name) => exact(fs.readFileSync(name));
const certificate = (name) => {
  const text = fs.readFileSync(name, "latin1");
  const body = text.split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0];
  return pkijs.Certificate.fromBER(exact(Buffer.from(body, "base64")));
};

pkijs.setEngine("node", new pkijs.CryptoEngine({ name: "node", crypto: webcrypto }));
const signed = new pkijs.SignedData({ schema: pkijs.ContentInfo.fromBER(file(signature)).content });
try {
  const verdict = await signed.verify({
    signer: 0,
    data: file(content),
    trustedCerts: [certificate(root)],
    checkChain: true,
    extendedMode: true,
  });
  console.log(`signature ${verdict.signatureVerified}, path ${verdict.signerCertificateVerified}`);
  process.exit(verdict.signatureVerified && verdict.signerCertificateVerified ? 0 : 1);
} catch (error) {
  console.log(`refused: ${error.message ?? error}`);
  process.exit(1);
}
