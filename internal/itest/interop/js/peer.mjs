// Reads one case a line, {secret, headers, body}, and answers for each whether
// the library accepts it and how it would sign it: {accepted, signature}.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  const peer = new Webhook(secret);
  const at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  let accepted = true;
  try {
    peer.verify(body, headers);
  } catch {
    accepted = false;
  }
  console.log(JSON.stringify({ accepted, signature: peer.sign(headers["webhook-id"], at, body) }));
}
