// npm run renew-base-image: pins the base image in Pulumi.yaml to the current digest of its tag, for all platforms.
// Docker looks it up in the registry.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const file = "Pulumi.yaml";
/** The default of baseImage. Groups: the text before it, `NAME:TAG`, and `@DIGEST`. */
const pinned = /(\n {2}baseImage:\n(?: {4}.*\n)*? {4}default: )([^\s@]+)(@sha256:[0-9a-f]{64})?/;

const text = readFileSync(file, "utf8");
const [, , image, digest] = pinned.exec(text) ?? [];
if (image === undefined) throw new Error(`${file} has no default of baseImage`);
const output = execFileSync("docker", ["pull", image], { encoding: "utf8" });
const [, newDigest] = /^Digest: (sha256:[0-9a-f]{64})$/m.exec(output) ?? [];
if (newDigest === undefined) throw new Error(`docker pull ${image} printed no digest`);
writeFileSync(file, text.replace(pinned, `$1$2@${newDigest}`));
const isNew = digest !== `@${newDigest}`;
const message = isNew
  ? `${file}: ${image}@${newDigest}. \`pulumi up\` builds on it.`
  : `${image} is still the one in ${file}.`;
process.stdout.write(`${message}\n`);
