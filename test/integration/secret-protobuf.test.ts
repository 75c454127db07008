import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { readConfig } from "../../helper/config/helper-config.ts";
import { createKubeClient } from "../../helper/kube/client.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { Tokens } from "../../helper/ecr/token.ts";
import { ownerReference, type OwnerReference } from "../../helper/resources/owners.ts";
import { encodeSecret, protobufType } from "../../helper/resources/secret-protobuf.ts";
import { secretsOf } from "../../helper/resources/secrets.ts";
import type { Secret } from "../../helper/resources/types.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { kubeconfig } from "../local/settings.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { secretPath } from "../support/kept-objects.ts";
import { TestNamespaces } from "../support/test-namespaces.ts";

const config = readConfig({ ...helperEnvironment, AWS_ACCESS_KEY_ID: "AKIAEXAMPLE" });
const tokensOf = (password: string): Tokens =>
  new Map(
    [...config.tokenRequests.keys()].map((name) => [name, { username: "AWS", password, issuedAt: 1, expiresAt: 2 }]),
  );

interface Stored extends Secret {
  readonly metadata: Secret["metadata"] & { resourceVersion: string; managedFields: { fieldsV1: object }[] };
}

/** What does not depend on when and where an object was written. */
const contentOf = ({ metadata: { managedFields, ...metadata }, ...rest }: Stored): object => ({
  ...rest,
  metadata: { ...metadata, namespace: "", uid: "", resourceVersion: "", creationTimestamp: "" },
  fields: managedFields.map(({ fieldsV1 }) => fieldsV1),
});

describe("a secret that is written as protobuf", () => {
  const admin = createKubeClient(readKubeconfig(kubeconfig));
  const namespaces = new TestNamespaces(admin);
  const id = randomBytes(3).toString("hex");
  const [json, protobuf] = [`${id}-json`, `${id}-protobuf`];

  let owners: readonly OwnerReference[];

  before(async () => {
    for (const name of [json, protobuf]) await namespaces.create(name);
    // Kubernetes' own: an object whose owners do not exist is deleted.
    owners = await Promise.all(
      ["view", "edit"].map(async (name) => {
        const path = `/apis/rbac.authorization.k8s.io/v1/clusterroles/${name}`;
        const { metadata } = await admin<{ metadata: { uid: string } }>({ method: "GET", path });
        return ownerReference(name, metadata.uid);
      }),
    );
  });
  after(async () => namespaces.remove(json));

  const asJson = ({ metadata, ...rest }: Secret, references: readonly OwnerReference[], resourceVersion?: string) => ({
    body: { ...rest, metadata: { ...metadata, ownerReferences: references, resourceVersion } },
  });
  const asProtobuf = (secret: Secret, references: readonly OwnerReference[], resourceVersion?: string) => ({
    body: encodeSecret(secret, references)(resourceVersion),
    contentType: protobufType,
  });
  const write = async (namespace: string, encoded: object, replaced?: string): Promise<Stored> =>
    admin<Stored>(
      replaced === undefined
        ? { method: "POST", path: `/api/v1/namespaces/${namespace}/secrets`, ...encoded }
        : { method: "PUT", path: secretPath(namespace, replaced), ...encoded },
    );

  for (const [index, secret] of secretsOf(config, tokensOf("first")).entries()) {
    const { name } = secret.metadata;

    it(`is stored as from JSON: ${secret.type}, created and then replaced at its resourceVersion`, async () => {
      const created = [await write(json, asJson(secret, owners)), await write(protobuf, asProtobuf(secret, owners))];
      assert.deepEqual(...(created.map(contentOf) as [object, object]));
      const [next] = secretsOf(config, tokensOf("second")).slice(index);
      assert.ok(next && next.metadata.name === name);
      const [left, right] = created.map(({ metadata }) => metadata.resourceVersion);
      const replaced = [
        await write(json, asJson(next, owners.slice(1), left), name),
        await write(protobuf, asProtobuf(next, owners.slice(1), right), name),
      ];
      assert.deepEqual(...(replaced.map(contentOf) as [object, object]));
      assert.deepEqual(replaced[1]?.data, next.data);
      assert.deepEqual(replaced[1].metadata.ownerReferences, owners.slice(1));
    });

    it(`replaces nothing at another resourceVersion: ${secret.type}`, async () => {
      const stale = write(protobuf, asProtobuf(secret, owners, "1"), name);
      await assert.rejects(stale, (error) => error instanceof KubeError && error.status === 409);
    });
  }
});
