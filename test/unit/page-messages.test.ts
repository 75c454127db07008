// The pages say what to do about messages: those of this repository's own are found in its code.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { read, root } from "../support/pages.ts";

/** What Docker, ECR, IAM, Kubernetes, Node and Pulumi say. */
const messagesOfOthers = new Set([
  '"ecr-helper" already exists',
  "401 Unauthorized",
  "403 Forbidden",
  "already exists",
  "Cannot exceed quota for AccessKeysPerUser: 2",
  "cannot be overwritten because the tag is immutable",
  "containers with unready status: [ecr-helper]",
  "configured Kubernetes cluster is unreachable",
  "DeleteConflict",
  "did not become ready",
  "does not exist in the registry",
  "EntityAlreadyExists",
  "ERR_HTTP2",
  "exec format error",
  "failed to load cache key: invalid response status 403",
  "failed to load checkpoint: EOF",
  "failed to connect to any docker daemon",
  "Failed to establish tunnel to HOST via PROXY",
  "incorrect passphrase",
  "is not authorized to perform: ACTION",
  "manifest unknown",
  "Minimum number of live Pods was not attained",
  "name unknown",
  "no application protocol",
  "no basic auth credentials",
  "no identity-based policy allows the ecr:ACTION action",
  "no match for platform in manifest",
  'no matches for kind "MutatingAdmissionPolicy"',
  'no matches for kind "ValidatingAdmissionPolicy"',
  "no resource-based policy allows the ecr:ACTION action",
  "NoSuchEntity",
  "not found",
  "pending operations from previous deployment",
  "Pulumi CLI version ... does not satisfy the version range",
  "RepositoryAlreadyExistsException",
  "RepositoryNotEmptyException",
  "Server-Side Apply field conflict detected",
  "the stack is currently locked by 1 lock(s)",
  "unsupported checkpoint version",
]);

/** The texts in the code, with those that go over several lines put together. */
const code = globSync("{helper,infra,test/local}/**/*.ts", { cwd: root })
  .map((file) => readFileSync(join(root, file), "utf8"))
  .join("\n")
  .replace(/["'`] \+\s*["'`]/g, "");

/** The messages that head the entries of a page's chapter Errors. */
function messagesOn(page: string): string[] {
  const [, errors = ""] = read(page).split("\n## Errors\n");
  return [...errors.matchAll(/^- \*\*([^]*?)\*\*/gm)].flatMap(([, heads = ""]) =>
    heads.split(/,\s+(?=`)/).flatMap((head) => /^`([^`]+)`/.exec(head)?.[1] ?? []),
  );
}

/** What is the same in every message of the kind: what is not in capitals, and not left out. */
const fragments = (message: string): string[] =>
  message
    .split(/\.\.\.|\b[A-Z]+\b/)
    .map((part) => part.replace(/^[\s:/]+|[\s:/]+$/g, ""))
    .filter((part) => part.length > 5);

describe("the messages on the pages", () => {
  const all = ["helper/README.md", "infra/README.md", "test/README.md"].flatMap(messagesOn);

  it("are in the code, unless they are messages of other programs", () => {
    const own = all.filter((message) => !messagesOfOthers.has(message));
    assert.ok(own.length > 12, String(own.length));
    const unknown = own.filter((message) => {
      const parts = fragments(message);
      return parts.length === 0 || parts.some((part) => !code.includes(part));
    });
    assert.deepEqual(unknown, []);
  });

  it("of other programs are all used", () => {
    const unused = [...messagesOfOthers].filter((message) => !all.includes(message));
    assert.deepEqual(unused, []);
  });
});
