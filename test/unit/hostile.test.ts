// Anything that a hostile user of a namespace can write where the helper reads: it must neither break the helper nor fill its memory.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readConfig } from "../../helper/config/helper-config.ts";
import { createLog } from "../../helper/runtime/logger.ts";
import { sanitize } from "../../helper/shared/messages.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import { compareOwnership } from "../../helper/resources/managed-fields.ts";
import { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import { Planner } from "../../helper/controller/plan.ts";
import {
  readOwnEntries,
  hasOwnEntries,
  listsOnlyOwnEntries,
  projectAccount,
  serviceAccountPatch,
  type ServiceAccount,
} from "../../helper/resources/service-account.ts";
import { decodeTokens } from "../../helper/resources/token-annotation.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { oddities } from "../support/arbitraries.ts";

const config = readConfig(helperEnvironment);
const key = "ecr-helper/ecr-helper-test";
const own = { "app.kubernetes.io/managed-by": "ecr-helper", "app.kubernetes.io/instance": "ecr-helper-test" };
const wanted = { secrets: ["ecr-creds"], imagePullSecrets: ["ecr-creds-pull"] };

/** Any JSON, and texts that resemble what the helper writes. */
const anyJson = fc.oneof(
  fc.json(),
  fc.constantFrom(
    "null",
    "[]",
    "7",
    '"x"',
    "{",
    '{"secrets":null}',
    '{"secrets":{"length":9}}',
    '{"secrets":[null,7,{}]}',
  ),
  fc.record({ secrets: fc.jsonValue(), imagePullSecrets: fc.jsonValue() }).map((value) => JSON.stringify(value)),
  fc.constantFrom(...oddities),
);
const references = fc.option(
  fc.array(
    fc.oneof(
      fc.constant({ name: "ecr-creds" }),
      fc.record({ name: fc.string() }),
      // The API server omits an empty name.
      fc.constant({} as { name: string }),
    ),
    { maxLength: 5 },
  ),
  { nil: undefined },
);
const account = (
  annotation: string,
  secrets?: { name: string }[],
  imagePullSecrets?: { name: string }[],
): ServiceAccount => ({
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: { name: "builder-sa", namespace: "team", resourceVersion: "7", annotations: { [key]: annotation } },
  ...(secrets && { secrets }),
  ...(imagePullSecrets && { imagePullSecrets }),
});

describe("a hostile service account", () => {
  it("is read whatever its annotation contains, and keeps all entries that the annotation does not list as the helper's", () => {
    fc.assert(
      fc.property(anyJson, references, references, (annotation, secrets, pulls) => {
        const found = account(annotation, secrets, pulls);
        for (const entries of [wanted, { secrets: [], imagePullSecrets: [] }]) {
          const patch = serviceAccountPatch(config, found, entries) as { secrets?: object[] } | undefined;
          const added = readOwnEntries(config, found).secrets;
          const theirs = (secrets ?? []).filter(({ name }) => !added.includes(name));
          for (const one of theirs) assert.ok((patch?.secrets ?? secrets ?? []).includes(one));
        }
        assert.equal(hasOwnEntries(config, found), true);
        listsOnlyOwnEntries(config, found);
      }),
      { numRuns: 2_000 },
    );
  });

  it("takes up no memory for names that are not the helper's", () => {
    const names = Array.from({ length: 30_000 }, () => ({ name: "ecr-creds" }));
    const large = JSON.stringify({ secrets: Array.from({ length: 20_000 }, (_, index) => `name-${String(index)}`) });
    for (const annotation of ["x".repeat(240 * 1024), large, `{"secrets":["${"a".repeat(250 * 1024)}"]}`]) {
      assert.ok(JSON.stringify(projectAccount(config, account(annotation, names, names))).length < 500);
    }
  });

  it("needs the same patch when only its projection is kept", () => {
    for (const annotation of ['{"secrets":null}', "null", '{"secrets":["ecr-creds"]}', "{ }"]) {
      const found = account(annotation, [{ name: "ecr-creds" }], [{ name: "ecr-creds-pull" }]);
      const [fromAll, fromProjection] = [found, projectAccount(config, found)].map(
        (one) => serviceAccountPatch(config, one, wanted) !== undefined,
      );
      assert.equal(fromProjection, fromAll, annotation);
    }
  });
});

describe("a hostile secret", () => {
  const never = (): never => assert.fail("nothing is watched");
  const project = (metadata: Record<string, unknown>): object =>
    new ClusterCache(config, never, never, never).projectSecret("ecr-creds", {
      metadata: { name: "ecr-creds", namespace: "team", uid: "uid", resourceVersion: "7", ...metadata },
    });

  it("is projected whatever its metadata contains", () => {
    const odd = fc.record({
      labels: fc.oneof(fc.constant(own), fc.constant(undefined), fc.dictionary(fc.string(), fc.string())),
      annotations: fc.option(
        fc.dictionary(fc.constantFrom("ecr-helper/revision", "ecr-helper/refreshed-at"), fc.string()),
        {
          nil: undefined,
        },
      ),
      managedFields: fc.oneof(
        fc.jsonValue(),
        fc.array(
          fc.record({
            manager: fc.constant("ecr-helper"),
            operation: fc.constant("Apply"),
            time: fc.jsonValue(),
            fieldsV1: fc.jsonValue(),
          }),
        ),
      ),
    });
    fc.assert(
      fc.property(odd, (metadata) => assert.ok(JSON.stringify(project(metadata)).length < 1_000)),
      { numRuns: 2_000 },
    );
  });

  it("takes up no memory for its annotations, whoever made it", () => {
    const annotations = {
      "ecr-helper/revision": "x".repeat(240 * 1024),
      "ecr-helper/refreshed-at": "9".repeat(10_000),
    };
    for (const labels of [own, {}]) assert.ok(JSON.stringify(project({ labels, annotations })).length < 300);
  });

  it("has no managed fields that exist only on a prototype", () => {
    const fieldsV1 = { "f:type": {}, "f:data": {}, "f:metadata": {} };
    const entries = [{ manager: "ecr-helper", operation: "Apply", fieldsV1 }];
    assert.equal(
      compareOwnership({ managedFields: entries }, { "f:data": { constructor: {} } }).modifiedBy,
      "an unknown field manager",
    );
  });

  it("yields only complete tokens, whatever it contains", () => {
    fc.assert(
      fc.property(anyJson, anyJson, (annotation, data) => {
        const metadata = { name: "ecr-creds-pull", labels: own, annotations: { "ecr-helper/tokens": annotation } };
        const encoded = { ".dockerconfigjson": Buffer.from(data).toString("base64") };
        for (const token of decodeTokens(config, { metadata, data: encoded }).values()) {
          assert.ok(token.issuedAt >= 0 && token.password !== "");
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("text that others wrote", () => {
  it("becomes one line of the log, without control or bidirectional characters", () => {
    const lines: string[] = [];
    for (const format of ["text", "json"] as const) {
      const log = createLog(format, "info", (line) => lines.push(line));
      fc.assert(
        fc.property(fc.string({ unit: "binary" }), fc.constantFrom(...oddities), (text, odd) => {
          log("error", `${text}${odd}\u001b[2J\r\n${text}`);
          const line = lines.pop() ?? "";
          assert.ok(
            line.endsWith("\n") && !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(line.slice(0, -1)),
            JSON.stringify(line),
          );
        }),
      );
    }
    assert.equal(sanitize("a\nb\u001b[2J\u202e"), "a\\nb\\u{1b}[2J\\u{202e}");
    assert.ok(sanitize("x".repeat(10_000_000)).length < 5_000);
  });

  it("makes a service account no larger in memory, however many entries its annotation lists", () => {
    const names = Array.from({ length: 5_000 }, (_, index) => `entry-${String(index)}`);
    const annotation = JSON.stringify({ secrets: names, imagePullSecrets: names });
    const metadata = { name: "a", annotations: { [key]: annotation.slice(0, 1 << 16) } };
    for (const annotations of [
      metadata.annotations,
      { [key]: JSON.stringify({ secrets: names, imagePullSecrets: [] }) },
    ]) {
      const account = {
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { ...metadata, annotations },
        secrets: names.map((name) => ({ name })),
      } as const;
      assert.ok(JSON.stringify(projectAccount(config, account)).length < 500);
      assert.notEqual(serviceAccountPatch(config, account, wanted), undefined);
    }
  });

  it("has the helper keep no set of service accounts that are not named, of which each may be another one", () => {
    const all = readConfig({ ...helperEnvironment, ECR_HELPER_SERVICE_ACCOUNTS: "*" });
    const nothing = (): void => undefined;
    const cache = new ClusterCache(all, nothing, nothing, nothing);
    const planner = new Planner(all, cache);
    const { sink } = cache.watchTargets.find(({ path }) => path.includes("serviceaccounts")) ?? assert.fail();
    const kept = (count: number): ReadonlySet<string> => {
      for (let index = 0; index < count; index++) {
        const metadata = { name: `a-${String(index)}`, namespace: "a", uid: String(index), resourceVersion: "1" };
        sink.set({ metadata });
      }
      return planner.converged("a", new Set());
    };
    assert.equal(kept(5), kept(5));
    assert.equal(kept(1_000).size, 1_000);
    assert.notEqual(kept(1_000), kept(1_000));
  });

  it("is not quoted from a refusal of a request with a body, except the reason and who refused", () => {
    const secret = "c2VjcmV0";
    for (const status of [400, 403, 409, 413, 422, 500, 503]) {
      const body = JSON.stringify({
        reason: "Invalid",
        message: `Secret "x" is invalid: data: "${secret}"`,
        details: {},
      });
      for (const method of ["POST", "PATCH", "PUT", "DELETE"] as const) {
        const { message } = new KubeError({ method, path: "/x", body: { data: secret } }, status, body);
        assert.ok(!message.includes(secret) && message.includes("Invalid"), message);
      }
    }
    const call = { method: "PATCH", path: "/x", body: {} } as const;
    const messageOf = (message: string): string =>
      new KubeError(call, 403, JSON.stringify({ reason: "Forbidden", message })).message;
    assert.match(
      messageOf(`admission webhook "a.example" denied the request: ${secret}`),
      / Forbidden, refused by admission webhook "a.example"$/,
    );
    const user =
      'User "system:serviceaccount:a:b" cannot patch resource "secrets" in API group "" in the namespace "team"';
    assert.match(messageOf(`secrets "x" is forbidden: ${user}: ${secret}`), new RegExp(` Forbidden, ${user}$`));
    assert.match(messageOf(`admission webhook "${secret} \n" denied`), / Forbidden$/);
  });
});
