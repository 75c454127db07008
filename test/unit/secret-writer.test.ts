import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClusterCache } from "../../helper/cache/cluster-cache.ts";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { SecretWriter } from "../../helper/controller/secret-writer.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { desiredSecrets } from "../../helper/resources/secrets.ts";
import { dataMistake, type SecretDefinition } from "../../helper/shared/secret-definition.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { secretDefinition } from "../support/secret-definition.ts";
import { SimulatedWatch } from "../support/simulated-watch.ts";

const environmentOf = (type: string, data: SecretDefinition["data"]): Record<string, string> => ({
  ...helperEnvironment,
  ECR_HELPER_SECRETS: JSON.stringify([secretDefinition({ name: "x", type, data })]),
});
const opaque = environmentOf("Opaque", { "config.json": "${dockerconfig}" });
const dockerConfig = environmentOf("kubernetes.io/dockerconfigjson", { ".dockerconfigjson": "${dockerconfig}" });

/** The methods of the requests with which a helper writes a secret of another type. `present` is its Deployment's environment. */
async function writesOf(config: HelperConfig, present: Record<string, string>): Promise<string[]> {
  const nothing = (): void => undefined;
  const cache = new ClusterCache(config, nothing, nothing, nothing);
  const watch = new SimulatedWatch(config, cache);
  watch.setDeployment(present);
  const token = { username: "AWS", password: "p", issuedAt: 1_000, expiresAt: 2_000 };
  const tokens = new Map([...config.tokenRequests.keys()].map((name) => [name, token]));
  const secret = desiredSecrets(config, tokens, []).find(({ name }) => name === "x") ?? assert.fail();
  const { metadata } = JSON.parse(secret.toApply()) as { metadata: { name: string } };
  watch.setSecret("default", metadata);
  const methods: string[] = [];
  const kube: Kube = async <T>(request: Parameters<Kube>[0]) => {
    methods.push(request.method);
    if (methods.length > 1) return Promise.resolve({ metadata: { ...metadata, uid: "2", resourceVersion: "9" } } as T);
    throw new KubeError(request, 422, JSON.stringify({ reason: "Invalid", details: { causes: [{ field: "type" }] } }));
  };
  const seen = cache.secrets.get("x")?.get("default") ?? assert.fail();
  const written = new SecretWriter(kube, cache).write("default", secret, seen, new AbortController().signal);
  await written.catch((error: unknown) => methods.push(String(error)));
  return methods;
}

describe("a secret whose type the configuration has changed", () => {
  it("is deleted and created again, as no type ever changes", async () => {
    assert.deepEqual(await writesOf(readConfig(dockerConfig), dockerConfig), ["PUT", "DELETE", "PATCH"]);
  });

  it("is not deleted by a helper with the former type, such as one that works on after a rollout that failed", async () => {
    const [put, ...further] = await writesOf(readConfig(opaque), dockerConfig);
    assert.equal(put, "PUT");
    assert.match(further.join(), /^Error: PUT .* 422 Invalid$/);
  });

  it("may have a type that every object has a field of", () => {
    assert.equal(dataMistake("constructor", { a: "b" }), undefined);
  });
});
