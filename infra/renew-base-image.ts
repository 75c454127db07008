// npm run renew-base-image: pins the base image in Pulumi.yaml to what its tag means now, on every platform. Docker asks the
// registry.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const file = "Pulumi.yaml";
/** The default of baseImage: what is before it, `NAME:TAG`, and its digest. */
const pinned = /(\n {2}baseImage:\n(?: {4}.*\n)*? {4}default: )([^\s@]+)(@sha256:[0-9a-f]{64})?/;

const text = readFileSync(file, "utf8");
const [, , image, digest] = pinned.exec(text) ?? [];
if (image === undefined) throw new Error(`${file} has no default of baseImage`);
const told = execFileSync("docker", ["pull", image], { encoding: "utf8" });
const [, found] = /^Digest: (sha256:[0-9a-f]{64})$/m.exec(told) ?? [];
if (found === undefined) throw new Error(`docker pull ${image} told no digest`);
writeFileSync(file, text.replace(pinned, `$1$2@${found}`));
const isNew = digest !== `@${found}`;
const news = isNew
  ? `${file}: ${image}@${found}. \`pulumi up\` builds on it.`
  : `${image} is still the one in ${file}.`;
process.stdout.write(`${news}\n`);
