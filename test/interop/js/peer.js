// Drives sigstore-js for the interoperability tests: it signs and verifies with whatever the TUF repository of an instance
// says, the way its own users do. Arguments are --NAME VALUE pairs after the command; results go to standard output.
//
//   node peer.js sign   --mirror URL --root FILE --cache DIR --token FILE --in FILE [--type PAYLOADTYPE] --out FILE
//   node peer.js verify --mirror URL --root FILE --cache DIR --bundle FILE [--in FILE] --identity WHO --issuer URL
'use strict';

const fs = require('node:fs');
const { bundleFromJSON, bundleToJSON } = require('@sigstore/bundle');
const { SigningConfig } = require('@sigstore/protobuf-specs');
const { bundleBuilderFromSigningConfig } = require('@sigstore/sign');
const tuf = require('@sigstore/tuf');
const sigstore = require('sigstore');
const newer = require('sigstore-verify-4');

function options(words) {
  const found = {};
  for (let i = 0; i < words.length; i += 2) {
    if (!words[i].startsWith('--') || words[i + 1] === undefined) throw new Error(`not a pair: ${words[i]}`);
    found[words[i].slice(2)] = words[i + 1];
  }
  return found;
}

const network = { timeout: 20000, retry: { retries: 0 } };

function repository(o) {
  return { mirrorURL: o.mirror, rootPath: o.root, cachePath: o.cache, ...network };
}

async function sign(o) {
  const client = await tuf.initTUF(repository(o));
  const config = SigningConfig.fromJSON(JSON.parse(await client.getTarget('signing_config.v0.2.json')));
  const token = fs.readFileSync(o.token, 'utf8').trim();
  const builder = bundleBuilderFromSigningConfig({
    signingConfig: config,
    identityProvider: { getToken: () => Promise.resolve(token) },
    bundleType: o.type ? 'dsseEnvelope' : 'messageSignature',
    fetchOptions: network,
  });
  const artifact = { data: fs.readFileSync(o.in) };
  if (o.type) artifact.type = o.type;
  const bundle = await builder.create(artifact);
  fs.writeFileSync(o.out, JSON.stringify(bundleToJSON(bundle)));
}

async function verify(o) {
  const bundle = JSON.parse(fs.readFileSync(o.bundle, 'utf8'));
  if (bundle.dsseEnvelope) return verifyStatement(o, bundle);
  const settings = {
    tufMirrorURL: o.mirror, tufRootPath: o.root, tufCachePath: o.cache,
    certificateIssuer: o.issuer, tlogThreshold: 1, ctLogThreshold: 1, ...network,
  };
  settings[o.identity.includes('://') ? 'certificateIdentityURI' : 'certificateIdentityEmail'] = o.identity;
  report(await sigstore.verify(bundle, fs.readFileSync(o.in), settings));
}

// sigstore 4.1.1 holds the digest in a Rekor v2 entry against the payload alone, so that it accepts no statement from a
// log since rekor-tiles 2.3, its own included. The verifier of the next release holds it against what is signed. That
// release asks for a newer Node, but runs on this one.
async function verifyStatement(o, bundle) {
  const root = await tuf.getTrustedRoot(repository(o));
  const verifier = new newer.Verifier(newer.toTrustMaterial(root), { tlogThreshold: 1, ctlogThreshold: 1, timestampThreshold: 1 });
  report(verifier.verify(newer.toSignedEntity(bundleFromJSON(bundle)), {
    subjectAlternativeName: o.identity, extensions: { issuer: o.issuer },
  }));
}

function report(signer) {
  console.log(JSON.stringify({ identity: signer.identity.subjectAlternativeName }));
}

const commands = { sign, verify };

async function main() {
  const [name, ...words] = process.argv.slice(2);
  if (!Object.hasOwn(commands, name)) throw new Error(`no command ${name}; there are ${Object.keys(commands).join(', ')}`);
  await commands[name](options(words));
}

main().catch((err) => {
  console.error(err.stack, err.cause ? `\ncause: ${err.cause.stack ?? err.cause}` : '');
  process.exitCode = 1;
});
