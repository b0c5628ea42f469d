// Reads one case a line, {secret, public, headers, body}, and answers for each
// whether the signature verifies and how the secret signs: {accepted, signature}.
// No library for Standard Webhooks has v1a; this is its text on Node's crypto.
import { createInterface } from "node:readline";
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";

const bytes = (text, prefix) => Buffer.from(text.replace(prefix, ""), "base64");
// What RFC 8410 puts before the 32 bytes of a key.
const privateKey = (text) =>
  createPrivateKey({ key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), bytes(text, "whsk_")]), format: "der", type: "pkcs8" });
const publicKey = (text) =>
  createPublicKey({ key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), bytes(text, "whpk_")]), format: "der", type: "spki" });

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, public: known, headers, body } = JSON.parse(line);
  const message = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const given = headers["webhook-signature"].split(" ").find((s) => s.startsWith("v1a,"));
  const accepted = verify(null, message, publicKey(known), bytes(given, "v1a,"));
  console.log(JSON.stringify({ accepted, signature: "v1a," + sign(null, message, privateKey(secret)).toString("base64") }));
}
